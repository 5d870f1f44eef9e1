"""One photo to N hypotheses and their posterior."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import mvdiff
from mvdiff.backbones.memory import memory_told
from mvdiff.backbones.novelty import Novelty, judge
from mvdiff.backbones.options import load_painter, registration_features
from mvdiff.backbones.registry import load_sampler
from mvdiff.devices import pick_device
from mvdiff.helpers.geometry import ImageGeometry
from mvdiff.helpers.observing import GeometryPrior
from mvdiff.helpers.semantic_novelty import SemanticNovelty, load_semantic
from mvdiff.reconstructors.registry import load_reconstructor
from mvdiff.runs.capabilities import check_capabilities, check_shape_options
from mvdiff.runs.folder import FolderStore
from mvdiff.runs.placed_shapes import fields_of_shapes, hypotheses_of_shapes, shape_notes
from mvdiff.runs.result import GenerationResult
from mvdiff.runs.store import MemoryStore, RunStore
from mvdiff.sampling.calibrations import Calibrations, settings_of
from mvdiff.sampling.candidates import candidate_seeds, hypothesis_seed, most_consistent
from mvdiff.sampling.conditions import Conditions
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.sampler import OnStep, Sampled, SamplingRequest, SelfJudging, ShapeGiving, ViewSampler
from mvdiff.weights import packing
from mvdiff.weights.pulled import weights_folder
from recon import ReconstructionConfig, ViewSet, reconstruct
from recon.core.errors import InputError
from recon.fusion.reconstructor import Reconstructor
from recon.fusion.tsdf import FusedFields
from recon.objects import fitted_fields
from recon.posterior import Hypothesis, Posterior, PosteriorConfig
from recon.posterior.calibration import Calibration
from recon.posterior.convergence import convergence
from recon.posterior.weighting import weigh_by_photo

Photo = str | os.PathLike | Image.Image | np.ndarray | ReferenceImage
#: Called with a stage's name and its finished and total steps.
Progress = Callable[[str, int, int], None]

#: Numbers of hypotheses that "auto" tries, in turn.
AUTO_COUNTS = (4, 8, 16, 32)
_COARSE = 48
STAGES = ("sample", "reconstruct", "posterior", "write")


@dataclass(frozen=True)
class ImageTo3D:
    """The whole way from a photo to hypotheses: prepare, sample, reconstruct, infer. Each step can be called alone.

    Example:
        >>> from mvdiff import ImageTo3D
        >>> model = ImageTo3D.from_pretrained("embedded")  # doctest: +SKIP
        >>> result = model.generate("photo.png", num_hypotheses=8, seed=0)  # doctest: +SKIP
    """

    sampler: ViewSampler
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    posterior: PosteriorConfig = field(default_factory=PosteriorConfig)
    calibrations: Calibrations = field(default_factory=Calibrations)
    chunk_size: int | None = None
    """Objects sampled at a time; by default 16 on a GPU and 2 on a CPU."""
    geometry: GeometryPrior | None = None
    """Estimator of the photo's geometry, a further observation of the visible side."""
    reconstructor: Reconstructor | None = None
    """Source of the shapes, or None for fusion and fitting."""
    semantic: SemanticNovelty | None = None
    """Comparison of the photo with known ones in the features of a pretrained encoder."""

    @staticmethod
    def from_pretrained(
        weights: str | Path = "embedded",
        device: str = "auto",
        dtype: torch.dtype | None = None,
        reconstruction: ReconstructionConfig | None = None,
        posterior: PosteriorConfig | None = None,
        lora: str | Path | None = None,
        calibration: str = "default",
        lora_scale: float = 1.0,
        backbone: str = "embedded",
        attention_backend: str = "native",
        reconstructor: str = "fusion",
        reconstructor_weights: str | Path | None = None,
        features: str | Path | None = None,
        paint: str | None = None,
        known_photos: str | Path | None = None,
        offload: bool = False,
    ) -> "ImageTo3D":
        """Load a model.

        Args:
            weights: "embedded", or a folder of weights of the backbone's architecture.
            device: "auto", "cpu", "cuda" or "cuda:N".
            dtype: precision of the networks; the device's fast one by default.
            reconstruction: settings of the way from views to meshes.
            posterior: settings of the statistics over hypotheses.
            lora: file of an adapter, fused into the weights.
            calibration: "default" (the file beside the weights, where there is one), "none", or a file.
            lora_scale: factor of the adapter, above 0.
            attention_backend: implementation of attention, see :mod:`mvdiff.models.attention_backends`.
            backbone: source of the views, see :func:`mvdiff.backbones.registry.backbone_names`.
            reconstructor: "fusion", or another way from views to shapes, see :mod:`mvdiff.reconstructors.registry`.
            reconstructor_weights: folder of the reconstructor's weights, where it has any.
            features: folder of DINOv2, for registration (of backbones that register) and for semantic novelty.
            paint: backbone of views, as NAME or NAME:FOLDER, that colors shapes where the photo does not show them.
            known_photos: folder of photos of known objects, or a file of their features, for semantic novelty.
            offload: keep on the GPU only the network that is in use.

        Raises:
            InputError: one of these does not exist or does not fit the others.
        """
        options: dict[str, Any] = {"weights": weights, "device": device, "dtype": dtype, "lora": lora}
        options |= {"lora_scale": lora_scale} if lora is not None or lora_scale != 1.0 else {}
        options |= {"attention_backend": attention_backend} if attention_backend != "native" else {}
        options["features"] = registration_features(backbone, features, known_photos is not None)
        options["offload"] = offload or None
        options["painter"] = None if paint is None else load_painter(paint, device)
        semantic = load_semantic(features, known_photos, device)
        made = load_reconstructor(reconstructor, reconstructor_weights, pick_device(device))
        model = ImageTo3D(
            load_sampler(backbone, **options),
            reconstruction or ReconstructionConfig(),
            posterior or PosteriorConfig(),
            reconstructor=made,
            semantic=semantic,
        )
        folder = packing.resolve(weights) if backbone == "embedded" else weights_folder(backbone, weights)
        return replace(model, calibrations=Calibrations.find(calibration, folder, model.weights))

    @property
    def device(self) -> torch.device:
        return self.sampler.device

    @property
    def weights(self) -> dict[str, Any]:
        """Record of the weights: name, hash, adapters; those of the reconstructor, where it has any."""
        if self.reconstructor is None:
            return dict(self.sampler.info.weights)
        info = self.reconstructor.info
        return {**self.sampler.info.weights, "reconstructor": {"kind": info.name, **info.weights}}

    def generate(
        self,
        photo: Photo,
        output_dir: str | os.PathLike | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
        reference: ReferenceImage | None = None,
        **settings: Any,
    ) -> GenerationResult:
        """Sample hypotheses of the object in a photo, and infer their posterior.

        Args:
            photo: path, picture, array, or a prepared :class:`ReferenceImage`.
            output_dir: folder or fsspec URL to which every result is written as soon as it is known; a call with the
                same inputs continues an interrupted one. None keeps everything in memory.
            overwrite: replace the results of other inputs in that folder.
            progress: called with a stage's name and its finished and total steps.
            reference: what :meth:`prepare` made of the photo, where that is known already.
            settings: fields of :class:`GenerationConfig`, such as ``num_hypotheses=8, seed=0``; what is left out is
                the backbone's own default.

        Raises:
            InputError: an input cannot be used; raised before anything is written.
        """
        config = GenerationConfig(**{**self.sampler.info.defaults, **settings})
        config.check()
        reference = reference or self.prepare(photo, config)
        seen = None if self.geometry is None else self.geometry.see(photo)
        store: RunStore = MemoryStore()
        if output_dir is not None:
            name = Path(photo).name if isinstance(photo, str | os.PathLike) else None
            store = FolderStore.create(output_dir, self.inputs(reference, config, name), overwrite)
        if store.complete:
            return store.load_result()
        store.save_photo(reference, photo)
        if config.num_hypotheses == "auto":
            config = replace(config, num_hypotheses=self.enough(reference, config, store, progress))
            store.note(num_hypotheses=config.num_hypotheses)
        return self.run(reference, config, store, progress, seen=seen)

    def run(
        self,
        reference: ReferenceImage,
        config: GenerationConfig,
        store: RunStore | None = None,
        progress: Progress | None = None,
        conditions: Conditions | None = None,
        reweight: Callable[[list[Hypothesis]], list[Hypothesis]] = list,
        seen: ImageGeometry | None = None,
    ) -> GenerationResult:
        """All steps after the photo is prepared; stages that ``store`` holds are loaded instead of computed.

        ``conditions`` is what is known beyond the photo, and ``reweight`` gives the finished hypotheses their weights.
        ``seen`` is the geometry of the photo by :attr:`geometry`.
        """
        store, progress = store or MemoryStore(), progress or _no_progress
        with _timed(store, "sample"):
            sampled = self.sample(reference, config, store, progress, conditions)
        views, photo_cameras = sampled
        hypotheses = store.load_hypotheses(views)
        if hypotheses is None:
            progress("reconstruct", 0, 1)
            with _timed(store, "reconstruct"):
                hypotheses = self.hypotheses(sampled, config, reference, seen)
                if config.weighting == "photo":
                    cameras = photo_cameras.cameras(reference.rgba.shape[-1])
                    hypotheses = weigh_by_photo(hypotheses, reference.rgba, cameras).of(hypotheses)
                hypotheses = reweight(hypotheses)
            with _timed(store, "write"):
                store.save_hypotheses(hypotheses)
        progress("posterior", 0, 1)
        with _timed(store, "posterior"):
            posterior = self.infer(hypotheses, config)
            # Views that are known beyond the photo come first, and are no sample of the photo's own.
            novelty = None if conditions else self.novelty(reference, views, photo_cameras, config)
            likeness = None if self.semantic is None else self.semantic.judge(reference)
            notes = [*(novelty.warnings if novelty else ()), *(likeness.warnings if likeness else ())]
            notes += shape_notes(sampled.shapes)
            posterior = replace(posterior, warnings=(*posterior.warnings, *notes))
        result = GenerationResult(reference, views, photo_cameras, tuple(hypotheses), posterior, novelty, likeness)
        progress("write", 0, 1)
        with _timed(store, "write"):
            store.save_result(result, str(self.device))
        progress("write", 1, 1)
        return result

    def enough(
        self,
        reference: ReferenceImage,
        config: GenerationConfig,
        store: RunStore,
        progress: Progress | None = None,
    ) -> int:
        """Number of hypotheses (4, 8, 16 or 32) that brings the occupancy's standard error below ``config.tolerance``.

        Judged on coarse closed-form shapes. Samples stay in ``store``: hypothesis k is the same whatever their number.
        """
        coarse = replace(self.reconstruction, resolution=_COARSE, fit=replace(self.reconstruction.fit, steps=0))
        for count in AUTO_COUNTS:
            sampled = self.sample(reference, replace(config, num_hypotheses=count), store, progress)
            inside = self.sampled_fields(sampled, coarse).values.cpu() < 0
            if convergence(inside)[-1].occupancy_error <= config.tolerance:
                break
        return count

    def prepare(self, photo: Photo, config: GenerationConfig | None = None) -> ReferenceImage:
        """Cut the object out of its photo and frame it for the sampler."""
        config = config or GenerationConfig()
        if isinstance(photo, ReferenceImage):
            return photo
        return self.sampler.prepare(photo, matting=config.matting, framing=config.framing)

    def sample(
        self,
        reference: ReferenceImage,
        config: GenerationConfig | None = None,
        store: RunStore | None = None,
        progress: Progress | None = None,
        conditions: Conditions | None = None,
    ) -> Sampled:
        """Views [n v] and photo cameras [n], chunk by chunk; samples that ``store`` holds are loaded.

        Views that ``conditions`` knows come first.
        """
        config, store, progress = config or GenerationConfig(), store or MemoryStore(), progress or _no_progress
        if config.num_hypotheses == "auto":
            raise InputError(
                'num_hypotheses="auto" needs reconstructed shapes: pass a number when only sampling views.'
            )
        check_capabilities(self.sampler.info, config, (conditions or Conditions()).given)
        steps, total = config.num_inference_steps, config.num_hypotheses * config.num_inference_steps
        chunk = max(1, self._objects_at_a_time // config.candidates)
        found: list[Sampled] = []
        for start in range(0, config.num_hypotheses, chunk):
            indices = range(start, min(start + chunk, config.num_hypotheses))
            kept = {k: store.load_sample(k) for k in indices}
            missing = [k for k in indices if kept[k] is None]
            if missing:
                report = _progress_of_chunk(progress, missing, steps, total)
                new = self._sample_chunk(reference, config, missing, conditions or Conditions(), report)
                kept |= new
                store.save_samples(new)
            found += [sample for sample in kept.values() if sample is not None]
            progress("sample", (start + len(indices)) * steps, total)
        views, cameras = zip(*found, strict=True)
        shapes = tuple(shape for each in found for shape in each.shapes)
        return Sampled(ViewSet.cat(views), PhotoCamera.cat(cameras), shapes)

    @property
    def _objects_at_a_time(self) -> int:
        return self.chunk_size or (16 if self.device.type == "cuda" else 2)

    def _sample_chunk(
        self,
        reference: ReferenceImage,
        config: GenerationConfig,
        indices: Sequence[int],
        conditions: Conditions,
        report: OnStep,
    ) -> dict[int, Sampled]:
        """Best-of-k candidates of some hypotheses."""
        request = SamplingRequest(
            reference,
            candidate_seeds(config.seed, indices, config.candidates),
            config,
            config.elevation,
            conditions.select([k for k in indices for _ in range(config.candidates)]),
        )
        sampler = self.sampler.meshed(self.reconstruction) if isinstance(self.sampler, ShapeGiving) else self.sampler
        with memory_told(self.device, len(request.seeds)):
            drawn = sampler.sample(request, report)
        views, cameras, shapes = drawn.views.rounded(), drawn.photo_cameras, drawn.shapes
        kept = most_consistent(views, config.candidates).tolist()
        return {
            k: Sampled(views[i].to("cpu"), cameras[i : i + 1].to("cpu"), shapes[i : i + 1])
            for k, i in zip(indices, kept, strict=True)
        }

    def sampled_fields(self, sampled: Sampled, config: ReconstructionConfig | None = None) -> FusedFields:
        """Signed distances of each hypothesis: of its own shape where the source gives shapes, else of its views."""
        config = config or self.reconstruction
        return fields_of_shapes(sampled.shapes, config) if sampled.shapes else self.fields(sampled.views, config)

    def hypotheses(
        self,
        sampled: Sampled,
        config: GenerationConfig | None = None,
        reference: ReferenceImage | Sequence[ReferenceImage] | None = None,
        seen: ImageGeometry | None = None,
    ) -> list[Hypothesis]:
        """The sampled shapes themselves, or what :meth:`reconstruct` makes of the sampled views."""
        if sampled.shapes:
            return hypotheses_of_shapes(sampled, (config or GenerationConfig()).seed)
        return self.reconstruct(sampled.views, sampled.photo_cameras, config, reference, seen)

    def fields(self, views: ViewSet, config: ReconstructionConfig | None = None) -> FusedFields:
        """Signed distances of each hypothesis of ``views`` [n v], before anything is meshed."""
        return fitted_fields(views.to(self.device), config or self.reconstruction, reconstructor=self.reconstructor)

    def reconstruct(
        self,
        views: ViewSet,
        photo_cameras: PhotoCamera | None = None,
        config: GenerationConfig | None = None,
        reference: ReferenceImage | Sequence[ReferenceImage] | None = None,
        seen: ImageGeometry | None = None,
    ) -> list[Hypothesis]:
        """One object for each hypothesis of ``views`` [n v], all fitted together.

        With ``reference`` (one, or each hypothesis' own) and its cameras [n] the textures show the photo's own pixels
        where it sees the surface. ``seen`` is the geometry of that one photo by :attr:`geometry`.
        """
        seed = (config or GenerationConfig()).seed
        photo = None
        if reference is not None and photo_cameras is not None:
            references = [reference] * len(views) if isinstance(reference, ReferenceImage) else reference
            photo = [
                each.views(photo_cameras[k : k + 1]).to(self.device)
                for k, each in zip(range(len(views)), references, strict=True)
            ]
        observation = None
        if self.geometry and seen and isinstance(reference, ReferenceImage) and photo_cameras is not None:
            observation = self.geometry.observation(seen, reference, photo_cameras, views.cameras.width)
        objects = reconstruct(
            views.to(self.device),
            self.reconstruction,
            photo=photo,
            reconstructor=self.reconstructor,
            observation=observation,
        )
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
        """The posterior of the hypotheses, corrected by the calibration that fits ``config``, if there is one."""
        config = config or GenerationConfig()
        calibration, notes = self._calibration(config)
        posterior = Posterior.from_hypotheses(
            hypotheses, replace(self.posterior, coverage=config.coverage), calibration
        )
        if self.geometry is not None and calibration is not None:
            notes = (*notes, "The calibration was made without geometry of the photo: what is stated may not hold.")
        return replace(posterior, warnings=(*posterior.warnings, *notes))

    def novelty(
        self,
        reference: ReferenceImage,
        views: ViewSet,
        photo_cameras: PhotoCamera,
        config: GenerationConfig | None = None,
    ) -> Novelty | None:
        """Compare the sampler's own errors on the photo with those on known objects; None if it measures none."""
        if not isinstance(self.sampler, SelfJudging):
            return None
        scores = self.sampler.self_errors(reference, Sampled(views, photo_cameras))
        calibration, _ = self._calibration(config or GenerationConfig())
        return judge(scores, calibration.scores if calibration else {})

    def _calibration(self, config: GenerationConfig) -> tuple[Calibration | None, tuple[str, ...]]:
        calibration, notes = self.calibrations.choose(
            config.framing, settings_of(config, self.reconstruction, "depth" in self.sampler.info.channels)
        )
        if calibration is not None:  # what cannot be promised is refused before anything is sampled
            most = AUTO_COUNTS[-1] if config.num_hypotheses == "auto" else config.num_hypotheses
            for margin in (calibration.at(most)[1].band, calibration.at(1)[1].band):
                margin.factor(config.coverage)
        return calibration, notes

    def check(self, config: GenerationConfig) -> None:
        """Raise :class:`InputError` where the backbone cannot do what ``config`` asks for."""
        check_capabilities(self.sampler.info, config)
        if self.sampler.info.gives == "shapes":
            check_shape_options(self.sampler.info, self.reconstructor is not None, self.geometry is not None)

    def inputs(self, reference: ReferenceImage, config: GenerationConfig, photo: str | None = None) -> dict[str, Any]:
        """All that the results depend on, for the manifest.

        Raises:
            InputError: the backbone cannot do what ``config`` asks for.
        """
        digest = hashlib.sha256(reference.picture().tobytes()).hexdigest()
        return {"photo": {"name": photo, "sha256": digest}, **self.settings(config)}

    def settings(self, config: GenerationConfig) -> dict[str, Any]:
        """All that the results of any photo depend on.

        Raises:
            InputError: the backbone cannot do what ``config`` asks for.
        """
        self.check(config)
        calibration, _ = self._calibration(config)
        return {
            "version": mvdiff.__version__,
            "weights": self.weights,
            "config": asdict(config),
            "reconstruction": asdict(self.reconstruction),
            "posterior": asdict(self.posterior),
            "calibration": None if calibration is None else calibration.name,
            **({} if self.geometry is None else {"geometry": self.geometry.record}),
            **({} if self.semantic is None else {"known_photos": self.semantic.record}),
        }


def _no_progress(stage: str, done: int, total: int) -> None:
    pass


def _progress_of_chunk(progress: Progress, indices: Sequence[int], steps: int, total: int) -> OnStep:
    return lambda finished: progress("sample", indices[0] * steps + finished * len(indices), total)


@contextlib.contextmanager
def _timed(store: RunStore, stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    store.add_seconds(stage, time.perf_counter() - start)
