"""MV-Adapter on SDXL (Huang et al. 2024): six orthographic views of an upright object, and the photo as the seventh.

Stock diffusers classes hold the weights. The network draws an object in its own canonical frame, whatever direction the
photo was taken from; registration to the photo brings each hypothesis into the photo's frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.backbones.catalog import find
from mvdiff.backbones.mvadapter.denoising import denoise
from mvdiff.backbones.mvadapter.loading import load_networks
from mvdiff.backbones.mvadapter.networks import Networks
from mvdiff.backbones.mvadapter.registration import in_photo_frame
from mvdiff.backbones.mvadapter.views import as_pixels, control_images, framed, rig
from mvdiff.backbones.unet_lora import Lora
from mvdiff.backbones.zero123.sheet import cut_out
from mvdiff.devices import fast_dtype, pick_device
from mvdiff.helpers.dinov2 import Dinov2Encoder, features_record
from mvdiff.sampling.candidates import generators
from mvdiff.sampling.generation import Framing
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage, prepare
from mvdiff.sampling.reframe import resized_rgba
from mvdiff.sampling.sampler import OnStep, Sampled, SamplerInfo, SamplingRequest
from mvdiff.weights.pulled import open_weights
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.registration.matching import Encoder

NAME, LICENSE = "mv-adapter", "Apache-2.0 AND CreativeML-OpenRAIL++-M"


@dataclass(frozen=True)
class MVAdapterSampler:
    """:class:`~mvdiff.sampling.sampler.ViewSampler` on the networks of MV-Adapter."""

    networks: Networks
    info: SamplerInfo
    view_size: int = 768
    """Pixels along each side of a view."""
    encoder: Encoder | None = None
    """Features that registration compares beside silhouettes and colors."""

    @staticmethod
    def from_pretrained(
        weights: str | Path = "embedded",
        device: str = "auto",
        dtype: torch.dtype | None = None,
        lora: str | Path | None = None,
        lora_scale: float = 1.0,
        features: str | Path | None = None,
        offload: bool = False,
    ) -> "MVAdapterSampler":
        """Load weights from this machine; nothing is fetched.

        Args:
            weights: folder of weights, or "embedded" for what ``mvdiff models pull`` stored.
            device: "auto", "cpu", "cuda" or "cuda:N".
            dtype: precision of the networks; the device's fast one by default.
            lora: file of a LoRA of SDXL's UNet, fused into it.
            lora_scale: factor of the LoRA.
            features: folder of DINOv2, whose features registration then compares.
            offload: keep on the device only the network that is in use.

        Raises:
            InputError: weights are missing, damaged or of another model.
        """
        place, adapter = pick_device(device), None if lora is None else Lora.read(lora, lora_scale)
        folder, record = open_weights(NAME, LICENSE, weights)
        encoder = None if features is None else Dinov2Encoder.from_folder(Path(features), place)
        record |= features_record(encoder) | ({} if adapter is None else adapter.record())
        info = SamplerInfo(
            name=NAME,
            license=LICENSE,
            weights=record,
            photo_camera="estimated",
            settings=frozenset({"num_inference_steps", "guidance_scale"}),
            defaults=find(NAME).defaults,
        )
        networks = load_networks(folder, place, dtype or fast_dtype(place), adapter, offload)
        return MVAdapterSampler(networks, info, encoder=encoder)

    @property
    def device(self) -> torch.device:
        return self.networks.device

    def prepare(self, photo: Any, matting: bool = True, framing: Framing = "recentre") -> ReferenceImage:
        """Cut the object out and recenter it; the networks see the finer of its two pictures."""
        return prepare(photo, matting=matting, framing=framing)

    @torch.no_grad()
    def sample(self, request: SamplingRequest, on_step: OnStep | None = None) -> Sampled:
        """Draw one object for each seed; views [n 7], the photo first."""
        self._check(request)
        settings, size = request.settings, self.view_size
        photo = _finest(request.reference).cpu()
        pixels = as_pixels(framed(replace(request.reference, rgba=photo).picture(), size))
        streams, control = generators(request.seeds), control_images(rig(size))
        steps, guidance = settings.num_inference_steps, settings.guidance_scale
        latents = denoise(self.networks, pixels, control, streams, steps, guidance, on_step)
        colors = self.networks.decode(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
        cameras = rig(size)[None].expand(len(streams), -1)
        six = cut_out(colors.cpu(), None, cameras, "gray")
        return self._placed(ViewSet(six.rgb, six.alpha, cameras), photo)

    def draw_photo_cameras(
        self, reference: ReferenceImage, seeds: Sequence[int], elevation: float | None = None, azimuth: float = 0.0
    ) -> PhotoCamera:
        """Refuse: a photo's camera is known only after its object's views are registered to it."""
        raise InputError(f"The backbone {NAME} takes one photo: use the embedded model to add a second one.")

    def _check(self, request: SamplingRequest) -> None:
        given = {name.replace("_", " ") for name in request.conditions.given}
        given |= set() if request.elevation is None else {"an elevation"}
        if given:
            raise InputError(
                f"The backbone {NAME} finds the photo's camera by registration and cannot be conditioned on "
                f"{' and '.join(sorted(given))}: leave it out, or use the embedded model."
            )

    def _placed(self, views: ViewSet, photo: Float[Tensor, "4 s s"]) -> Sampled:
        """Views [n 6] in the photo's frame, and before them the photo."""
        found = [in_photo_frame(views[k], photo, self.encoder) for k in range(len(views))]
        cameras = Cameras.cat([each for each, _ in found])
        photo_cameras = PhotoCamera.cat([each for _, each in found])
        size = self.view_size
        shown = resized_rgba(photo, size)[None, None].expand(len(views), -1, -1, -1, -1)
        of_photo = photo_cameras.cameras(size).reshape(len(views), 1)
        placed = ViewSet(
            torch.cat([shown[:, :, :3], views.rgb], 1),
            torch.cat([shown[:, :, 3:], views.alpha], 1),
            Cameras.cat([of_photo, cameras], 1),
        )
        return Sampled(placed.to(self.device), photo_cameras.to(self.device))


def _finest(reference: ReferenceImage) -> Float[Tensor, "4 s s"]:
    return reference.rgba if reference.detail is None else reference.detail
