"""The whole way: one photo to N hypotheses and their posterior."""

import hashlib
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import mvdiff
from mvdiff.runs.novelty import Novelty, novelty_scores
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.candidates import generators, hypothesis_seed, least_contradicted
from mvdiff.sampling.conditions import Conditions
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.runs.folder import GenerationFolder
from mvdiff.pipelines.lora_loader import lora_file
from mvdiff.pipelines.multiview_diffusion import MultiViewDiffusionPipeline
from mvdiff.sampling.reference import ReferenceImage, prepare
from mvdiff.sampling.rig import DEFAULT_RIG
from mvdiff.sampling.schedulers import make_scheduler
from mvdiff.weights import packing
from mvdiff.sampling.calibrations import Calibrations, settings_of
from recon import ReconstructionConfig, ViewSet, reconstruct
from recon.core.errors import InputError
from recon.posterior import Hypothesis, Posterior, PosteriorConfig
from recon.posterior.calibration import Calibration
from recon.posterior.convergence import convergence
from recon.posterior.novelty import novelty_p_value
from recon.posterior.weighting import weigh_by_photo
from recon.objects import fitted_fields

Photo = str | os.PathLike | Image.Image | np.ndarray | ReferenceImage
#: Called with a stage's name and its finished and total steps.
Progress = Callable[[str, int, int], None]

#: What "auto" tries, in turn.
AUTO_COUNTS = (4, 8, 16, 32)
_COARSE = 48
STAGES = ("sample", "reconstruct", "posterior", "write")


@dataclass(frozen=True)
class GenerationResult:
    """Everything that was made from one photo."""

    reference: ReferenceImage
    views: ViewSet
    """Sampled views [n v]."""
    photo_cameras: PhotoCamera
    """Where each hypothesis believes the photo was taken from, [n]."""
    hypotheses: tuple[Hypothesis, ...]
    posterior: Posterior
    novelty: Novelty | None = None
    """Whether the model knows this kind of photo."""


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` is CUDA where there is a device, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"'{name}' is no device: use auto, cpu or cuda.") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"The device '{name}' is not supported: use auto, cpu or cuda.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("There is no CUDA device that this installation of torch can use: pass --device cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"There is no device {name}: this machine has {torch.cuda.device_count()} CUDA devices.")
    return device


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, float32 elsewhere."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


class ImageTo3D:
    """Photo to hypotheses: prepare, sample, reconstruct, posterior. Each step can be called on its own."""

    def __init__(
        self,
        pipeline: MultiViewDiffusionPipeline,
        reconstruction: ReconstructionConfig | None = None,
        posterior: PosteriorConfig | None = None,
        weights: dict[str, str] | None = None,
        chunk_size: int | None = None,
        calibrations: Calibrations | None = None,
    ) -> None:
        """``weights``: name and hash for the record. ``chunk_size``: candidates of hypotheses sampled at a time."""
        self.pipeline = pipeline
        self.reconstruction = reconstruction or ReconstructionConfig()
        self.posterior = posterior or PosteriorConfig()
        self.weights = weights or {}
        self.calibrations = calibrations or Calibrations()
        self.chunk_size = chunk_size or (16 if pipeline.device.type == "cuda" else 2)

    @classmethod
    def from_pretrained(
        cls,
        weights: str | Path = "embedded",
        device: str = "auto",
        dtype: torch.dtype | None = None,
        reconstruction: ReconstructionConfig | None = None,
        posterior: PosteriorConfig | None = None,
        lora: str | Path | None = None,
        calibration: str = "default",
        lora_scale: float = 1.0,
    ) -> "ImageTo3D":
        """``weights``: "embedded" or a folder. ``lora``: file of an adapter, which is fused into them ``lora_scale``
        times. ``calibration``: default (the file beside the weights, where there is one), none, or a file."""
        if not 0 < lora_scale < math.inf:
            raise InputError(f"The scale of a LoRA is a positive number, not {lora_scale}.")
        place = pick_device(device)
        pipeline = MultiViewDiffusionPipeline.from_pretrained(weights, torch_dtype=dtype or fast_dtype(place))
        pipeline.set_progress_bar_config(disable=True)
        folder = packing.resolve(weights)
        record = {"name": str(weights), "sha256": packing.weights_hash(folder)}
        if lora is not None:
            pipeline.load_lora_weights(lora)
            pipeline.fuse_lora(lora_scale=lora_scale)
            record |= {"lora": str(lora), "lora_sha256": hashlib.sha256(lora_file(lora).read_bytes()).hexdigest()}
            record |= {"lora_scale": lora_scale}
        calibrations = Calibrations.find(calibration, folder, record)
        return cls(pipeline.to(place), reconstruction, posterior, weights=record, calibrations=calibrations)

    @property
    def device(self) -> torch.device:
        return self.pipeline.device

    def generate(
        self,
        photo: Photo,
        output_dir: str | os.PathLike | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
        reference: ReferenceImage | None = None,
        **settings,
    ) -> GenerationResult:
        """From one photo to hypotheses and their posterior.

        ``settings`` are the fields of :class:`GenerationConfig`: ``num_hypotheses=8, seed=0, ...``. With
        ``output_dir`` every result is written there as soon as it is known, and a call with the same inputs goes on
        where an earlier one was interrupted. ``reference`` is what :meth:`prepare` made of the photo, where that is
        known already. Raises :class:`InputError` before anything is written.
        """
        config = GenerationConfig(**settings)
        config.check()
        reference = reference or self.prepare(photo, config)
        folder = None
        if output_dir is not None:
            name = Path(photo).name if isinstance(photo, str | os.PathLike) else None
            folder = GenerationFolder.create(output_dir, self.inputs(reference, config, name), overwrite)
            if folder.complete:
                return folder.load()
            folder.write_reference(reference, photo)
        samples = folder or _Samples()
        if config.num_hypotheses == "auto":
            config = replace(config, num_hypotheses=self.enough(reference, config, samples, progress))
            if folder:
                folder.output.update(num_hypotheses=config.num_hypotheses)
        return self.run(reference, config, folder, progress, samples=samples)

    def run(
        self,
        reference: ReferenceImage,
        config: GenerationConfig,
        folder: GenerationFolder | None = None,
        progress: Progress | None = None,
        conditions: Conditions | None = None,
        reweight: Callable[[list[Hypothesis]], list[Hypothesis]] = list,
        samples: "_Samples | GenerationFolder | None" = None,
    ) -> GenerationResult:
        """All steps after the photo is prepared, into a folder that was created for it.

        ``conditions`` is what is known beyond the photo, ``reweight`` gives the finished hypotheses their weights, and
        ``samples`` holds what was sampled already, where that is not the folder.
        """
        progress = progress or (lambda stage, done, total: None)
        clock = _Clock(folder)
        views, photo_cameras = self.sample(reference, config, folder or samples, progress, conditions)
        clock.stop("sample")
        hypotheses = folder.load_stage(views) if folder else None
        if hypotheses is None:
            progress("reconstruct", 0, 1)
            hypotheses = self.reconstruct(views, photo_cameras, config, reference)
            if config.weighting == "photo":
                cameras = photo_cameras.cameras(reference.rgba.shape[-1])
                hypotheses = weigh_by_photo(hypotheses, reference.rgba, cameras).of(hypotheses)
            hypotheses = reweight(hypotheses)
            clock.stop("reconstruct")
            if folder:
                folder.save_stage(hypotheses)
                clock.stop("write")
        progress("posterior", 0, 1)
        posterior = self.infer(hypotheses, config)
        # Views that are known beyond the photo come first, and are no sample of the photo's own.
        novelty = None if conditions else self.novelty(reference, views, photo_cameras, config)
        if novelty:
            posterior = replace(posterior, warnings=(*posterior.warnings, *novelty.warnings))
        clock.stop("posterior")
        result = GenerationResult(reference, views, photo_cameras, tuple(hypotheses), posterior, novelty)
        if folder:
            progress("write", 0, 1)
            folder.write_transforms(views)
            folder.write_results(result, config.format)
            clock.stop("write")
            folder.finish(device=str(self.device))
        progress("write", 1, 1)
        return result

    def enough(
        self,
        reference: ReferenceImage,
        config: GenerationConfig,
        samples: "_Samples | GenerationFolder",
        progress: Progress | None = None,
    ) -> int:
        """How many hypotheses bring the occupancy's standard error below ``config.tolerance``: 4, 8, 16 or 32.

        Judged on coarse shapes, closed form. What was sampled stays in ``samples``: hypothesis k is the same whatever
        their number.
        """
        coarse = replace(self.reconstruction, resolution=_COARSE, fit=replace(self.reconstruction.fit, steps=0))
        for count in AUTO_COUNTS:
            views, _ = self.sample(reference, replace(config, num_hypotheses=count), samples, progress)
            inside = fitted_fields(views.to(self.device), coarse).values.cpu() < 0
            if convergence(inside)[-1].occupancy_error <= config.tolerance:
                break
        return count

    def prepare(self, photo: Photo, config: GenerationConfig | None = None) -> ReferenceImage:
        config = config or GenerationConfig()
        if isinstance(photo, ReferenceImage):
            return photo
        size = self.pipeline.transformer.config.reference_size
        return prepare(photo, size=size, matting=config.matting, framing=config.framing)

    def sample(
        self,
        reference: ReferenceImage,
        config: GenerationConfig | None = None,
        folder: "_Samples | GenerationFolder | None" = None,
        progress: Progress | None = None,
        conditions: Conditions | None = None,
    ) -> tuple[ViewSet, PhotoCamera]:
        """Views [n v] and photo cameras [n], chunk by chunk; chunks that ``folder`` holds are read from there.

        Views that ``conditions`` knows come first. The scheduler is the one that ``config`` names, whatever the
        pipeline's own.
        """
        config = config or GenerationConfig()
        progress = progress or (lambda stage, done, total: None)
        if config.num_hypotheses == "auto":
            raise InputError("How many hypotheses are enough is known with their shapes only: give their number here.")
        self.pipeline.scheduler = make_scheduler(config.scheduler, config.shift)
        total = config.num_hypotheses * config.num_inference_steps
        found: list[tuple[ViewSet, PhotoCamera]] = []
        chunk = max(1, self.chunk_size // config.candidates)
        for start in range(0, config.num_hypotheses, chunk):
            indices = range(start, min(start + chunk, config.num_hypotheses))
            kept = {k: folder.load_sample(k) if folder else None for k in indices}
            missing = [k for k in indices if kept[k] is None]
            if missing:
                given = conditions or Conditions()
                made = self._sample_chunk(
                    reference, config, missing, given, lambda done: progress("sample", done, total)
                )
                new = dict(zip(missing, made, strict=True))
                kept |= new
                if folder:
                    folder.save_samples(new)
            found += kept.values()
            progress("sample", (start + len(indices)) * config.num_inference_steps, total)
        return ViewSet.cat([views for views, _ in found]), PhotoCamera.cat([camera for _, camera in found])

    def _sample_chunk(
        self,
        reference: ReferenceImage,
        config: GenerationConfig,
        indices: Sequence[int],
        conditions: Conditions,
        report: Callable,
    ) -> list[tuple[ViewSet, PhotoCamera]]:
        def on_step(pipeline, index, timestep, tensors):
            report(indices[0] * config.num_inference_steps + (index + 1) * len(indices))
            return tensors

        output = self.pipeline(
            reference,
            num_hypotheses=len(indices) * config.candidates,
            num_inference_steps=config.num_inference_steps,
            guidance_scale=config.guidance_scale,
            elevation=config.elevation,
            elevation_prior=config.elevation_prior,
            camera_temperature=config.camera_temperature,
            generator=generators(config.seed, indices, config.candidates),
            rig=replace(DEFAULT_RIG, size=self.pipeline.transformer.config.sample_size),
            callback_on_step_end=on_step,
            **conditions.of([k for k in indices for _ in range(config.candidates)]),
        )
        # In the precision of the files, so that a resumed run gives what an uninterrupted one gives.
        views = _rounded(output.views)
        kept = least_contradicted(views, config.candidates).tolist()
        return [(views[i].to("cpu"), output.photo_cameras[i : i + 1].to("cpu")) for i in kept]

    def reconstruct(
        self,
        views: ViewSet,
        photo_cameras: PhotoCamera | None = None,
        config: GenerationConfig | None = None,
        reference: ReferenceImage | Sequence[ReferenceImage] | None = None,
    ) -> list[Hypothesis]:
        """One object for each hypothesis of ``views`` [n v], all fitted together.

        With ``reference`` (one, or each hypothesis' own) and its cameras [n] the textures show the photo's own pixels
        where it sees the surface.
        """
        seed = (config or GenerationConfig()).seed
        photo = None
        if reference is not None and photo_cameras is not None:
            references = [reference] * len(views) if isinstance(reference, ReferenceImage) else reference
            photo = [
                each.views(photo_cameras[k : k + 1]).to(self.device)
                for k, each in zip(range(len(views)), references, strict=True)
            ]
        objects = reconstruct(views.to(self.device), self.reconstruction, photo=photo)
        return [
            Hypothesis(
                mesh=made.mesh.to("cpu"),
                sdf=made.sdf.cpu(),
                extent=made.extent,
                seed=hypothesis_seed(seed, k),
                elevation=None if photo_cameras is None else float(photo_cameras.elevation[k]),
                residual=float(made.residual),
                views=views[k].to("cpu"),
            )
            for k, made in enumerate(objects)
        ]

    def infer(self, hypotheses: Sequence[Hypothesis], config: GenerationConfig | None = None) -> Posterior:
        """What the hypotheses say together, corrected by the calibration that fits ``config``, if there is one."""
        config = config or GenerationConfig()
        calibration, notes = self._calibration(config)
        posterior = Posterior.from_hypotheses(
            hypotheses, replace(self.posterior, coverage=config.coverage), calibration
        )
        return replace(posterior, warnings=(*posterior.warnings, *notes))

    def novelty(
        self,
        reference: ReferenceImage,
        views: ViewSet,
        photo_cameras: PhotoCamera,
        config: GenerationConfig | None = None,
    ) -> Novelty:
        """How the model's own errors on the photo compare with those on known objects; see :mod:`mvdiff.runs.novelty`."""
        scores = novelty_scores(self.pipeline, reference, views, photo_cameras)
        calibration, _ = self._calibration(config or GenerationConfig())
        return Novelty(scores, novelty_p_value(scores, calibration.scores if calibration else {}))

    def _calibration(self, config: GenerationConfig) -> tuple[Calibration | None, tuple[str, ...]]:
        calibration, notes = self.calibrations.choose(config.framing, settings_of(config, self.reconstruction))
        if calibration is not None:  # what cannot be promised is refused before anything is sampled
            most = AUTO_COUNTS[-1] if config.num_hypotheses == "auto" else config.num_hypotheses
            for margin in (calibration.at(most)[1].shells, calibration.at(1)[1].shells):
                margin.factor(config.coverage)
        return calibration, notes

    def inputs(self, reference: ReferenceImage, config: GenerationConfig, photo: str | None = None) -> dict:
        """All that the results depend on, for the manifest."""
        calibration, _ = self._calibration(config)
        return {
            "version": mvdiff.__version__,
            "photo": {"name": photo, "sha256": hashlib.sha256(reference.picture().tobytes()).hexdigest()},
            "weights": self.weights,
            "config": asdict(config),
            "reconstruction": asdict(self.reconstruction),
            "posterior": asdict(self.posterior),
            "calibration": None if calibration is None else calibration.name,
        }


def _rounded(views: ViewSet) -> ViewSet:
    def stored(value: torch.Tensor | None) -> torch.Tensor | None:
        return None if value is None else value.half().float()

    return replace(
        views, rgb=stored(views.rgb), alpha=stored(views.alpha), normal=stored(views.normal), depth=stored(views.depth)
    )


class _Samples:
    """Sampled hypotheses in memory, as a folder keeps them."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[ViewSet, PhotoCamera]] = {}

    def load_sample(self, index: int) -> tuple[ViewSet, PhotoCamera] | None:
        return self._kept.get(index)

    def save_samples(self, samples: Mapping[int, tuple[ViewSet, PhotoCamera]]) -> None:
        self._kept |= samples


class _Clock:
    """Seconds of each stage, added to those of an interrupted run."""

    def __init__(self, folder: GenerationFolder | None) -> None:
        self.folder = folder
        self.start = time.perf_counter()

    def stop(self, stage: str) -> None:
        now = time.perf_counter()
        if self.folder:
            self.folder.add_seconds(stage, now - self.start)
        self.start = now
