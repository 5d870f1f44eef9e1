"""The multi-view diffusion transformer of this package, or any weights of its architecture."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mvdiff.backbones.novelty import novelty_scores
from mvdiff.devices import fast_dtype, pick_device
from mvdiff.models.attention_backends import set_attention_backend
from mvdiff.pipelines.lora_loader import lora_file
from mvdiff.pipelines.multiview_diffusion import MultiViewDiffusionPipeline
from mvdiff.sampling.candidates import generators
from mvdiff.sampling.generation import Framing
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage, prepare
from mvdiff.sampling.rig import DEFAULT_RIG
from mvdiff.sampling.sampler import OnStep, OnViews, Sampled, SamplerInfo, SamplingRequest
from mvdiff.sampling.schedulers import make_scheduler
from mvdiff.weights import packing
from recon.core.errors import InputError


@dataclass(frozen=True)
class EmbeddedSampler:
    """:class:`~mvdiff.sampling.sampler.ViewSampler` on a :class:`MultiViewDiffusionPipeline`."""

    pipeline: MultiViewDiffusionPipeline
    info: SamplerInfo
    on_views: OnViews | None = None
    """Called after each denoising step with the expected views."""

    @staticmethod
    def from_pipeline(pipeline: MultiViewDiffusionPipeline, weights: dict[str, Any] | None = None) -> "EmbeddedSampler":
        """Wrap a loaded pipeline; ``weights`` is the record that manifests keep of it."""
        network = pipeline.transformer.config
        info = SamplerInfo(
            name="embedded",
            license="Apache-2.0",
            weights=weights or {},
            channels=frozenset({"rgb", "alpha", "normal", "depth"}),
            rig="any",
            photo_camera="estimated",
            conditions=frozenset({"elevation", "known_views", "more_photos", "initial_views", "photo_cameras"}),
            sizes=(network.reference_size, network.sample_size),
        )
        return EmbeddedSampler(pipeline, info)

    @staticmethod
    def from_pretrained(
        weights: str | Path = "embedded",
        device: str = "auto",
        dtype: torch.dtype | None = None,
        lora: str | Path | None = None,
        lora_scale: float = 1.0,
        attention_backend: str = "native",
    ) -> "EmbeddedSampler":
        """Load weights, with a LoRA fused into them where one is given.

        Args:
            weights: "embedded", or a folder of packed weights, of a saved pipeline or of a training run.
            device: "auto", "cpu", "cuda" or "cuda:N".
            dtype: precision of the networks; the device's fast one by default.
            lora: file or folder of a LoRA adapter.
            lora_scale: factor of the adapter, above 0.
            attention_backend: implementation of attention, see :mod:`mvdiff.models.attention_backends`.

        Raises:
            InputError: the device, the weights or the adapter cannot be used.
        """
        if not 0 < lora_scale < math.inf:
            raise InputError(f"The scale of a LoRA is a positive number, not {lora_scale}.")
        place = pick_device(device)
        pipeline = MultiViewDiffusionPipeline.from_pretrained(weights, torch_dtype=dtype or fast_dtype(place))
        pipeline.set_progress_bar_config(disable=True)
        set_attention_backend(pipeline.transformer, attention_backend, place)
        record: dict[str, Any] = {"name": str(weights), "sha256": packing.weights_hash(packing.resolve(weights))}
        if lora is not None:
            pipeline.load_lora_weights(lora)
            pipeline.fuse_lora(lora_scale=lora_scale)
            record |= {"lora": str(lora), "lora_sha256": hashlib.sha256(lora_file(lora).read_bytes()).hexdigest()}
            record |= {"lora_scale": lora_scale}
        return EmbeddedSampler.from_pipeline(pipeline.to(place), record)

    @property
    def device(self) -> torch.device:
        return self.pipeline.device

    def prepare(self, photo: Any, matting: bool = True, framing: Framing = "recentre") -> ReferenceImage:
        """Cut the object out and recentre it at the network's reference size."""
        size = self.pipeline.transformer.config.reference_size
        return prepare(photo, size=size, matting=matting, framing=framing)

    def sample(self, request: SamplingRequest, on_step: OnStep | None = None) -> Sampled:
        """Draw one object for each seed; views [n v] have all four channels, the photo's own view first."""
        settings, conditions = request.settings, request.conditions
        initial = conditions.initial_views

        def report(pipeline: Any, index: int, timestep: torch.Tensor, tensors: dict) -> dict:
            if on_step is not None:
                on_step(index + 1)
            if self.on_views is not None:
                expected = tensors["prediction"][:, :, :4].float().cpu()
                self.on_views(index + 1, (expected * 0.5 + 0.5).clamp(0, 1))
            return {}

        output = self.pipeline(
            request.reference,
            num_hypotheses=len(request.seeds),
            num_inference_steps=settings.num_inference_steps,
            scheduler=make_scheduler(settings.scheduler, settings.shift),
            guidance_scale=settings.guidance_scale,
            elevation=request.elevation,
            elevation_prior=settings.elevation_prior,
            camera_temperature=settings.camera_temperature,
            generator=generators(request.seeds),
            rig=replace(DEFAULT_RIG, size=self.pipeline.transformer.config.sample_size),
            callback_on_step_end=report,
            callback_on_step_end_tensor_inputs=("prediction",),
            photo_cameras=conditions.photo_cameras,
            more_photos=conditions.more_photos,
            known_views=conditions.known_views,
            initial_views=initial,
            strength=conditions.strength,
            cameras=None if initial is None else initial.cameras,
        )
        return Sampled(output.views, output.photo_cameras)

    def watched(self, on_views: OnViews) -> "EmbeddedSampler":
        """This sampler, calling ``on_views`` after each denoising step."""
        return replace(self, on_views=on_views)

    def draw_photo_cameras(
        self, reference: ReferenceImage, seeds: Sequence[int], elevation: float | None = None, azimuth: float = 0.0
    ) -> PhotoCamera:
        """Draw the camera [n] of a photo from the estimator's distribution."""
        drawn = self.pipeline.estimate_camera(reference, elevation).sample(generators(seeds))
        return PhotoCamera.from_parameters(drawn, azimuth=azimuth)

    def self_errors(self, reference: ReferenceImage, sampled: Sampled) -> dict[str, float]:
        """Errors of the network on the photo's own view, see :mod:`mvdiff.backbones.novelty`.

        Views of another size come from another source; the network has no errors on them.
        """
        if sampled.views.rgb.shape[-1] != self.pipeline.transformer.config.sample_size:
            return {}
        return novelty_scores(self.pipeline, reference, sampled.views, sampled.photo_cameras)
