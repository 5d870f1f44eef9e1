"""Acting on a finished run: more evidence or a user's judgment make a new run of it."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.runs.capabilities import check_capabilities
from mvdiff.runs.evidence import EditedView, SecondPhoto
from mvdiff.runs.folder import FolderStore
from mvdiff.runs.image_to_3d import ImageTo3D, Progress
from mvdiff.runs.result import GenerationResult
from mvdiff.runs.store import RunStore
from mvdiff.sampling.calibrations import Calibrations
from mvdiff.sampling.conditions import Conditions
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.sampler import Sampled
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.io.folders import MANIFEST
from recon.posterior import Hypothesis, Posterior
from recon.posterior.conditioning import Evidence, condition, uncertainty_record
from recon.posterior.feedback import LEAST, apply_judgement, bandwidth_of, check_choice, feedback_weights, systematic

#: Surface points by which a new hypothesis is compared with judged ones.
_SAMPLES = 2048

_UNMEASURED = "Calibrations are of runs from one photo: how well the statements of a refined run hold is not measured."

Reweight = Callable[[list[Hypothesis]], list[Hypothesis]]


@dataclass(frozen=True)
class Change:
    """A new run made from a finished one, and what it says before and after."""

    result: GenerationResult
    record: dict[str, Any]
    """JSON-ready: ``before``, ``reweighted`` (the same hypotheses with new weights) and ``after``, each with
    ``index_entropy_bits``, ``occupancy_entropy`` (bits times volume), ``ambiguity`` and ``effective_size``."""


@dataclass(frozen=True)
class FinishedRun:
    """Starting point of a derived run."""

    folder: FolderStore
    result: GenerationResult
    config: GenerationConfig

    @staticmethod
    def open(path: str | os.PathLike) -> "FinishedRun":
        """Raises :class:`InputError` where there is no complete run."""
        folder = FolderStore.open(path)
        config = GenerationConfig.from_manifest(folder.manifest["inputs"]["config"])
        return FinishedRun(folder, folder.load_result(), replace(config, num_hypotheses=folder.num_hypotheses))

    def next_config(self, num_hypotheses: int | None, seed: int | None) -> GenerationConfig:
        """The same settings; new hypotheses have seeds of their own."""
        count = self.config.num_hypotheses if num_hypotheses is None else num_hypotheses
        config = replace(self.config, num_hypotheses=count, seed=self.config.seed + 1 if seed is None else seed)
        config.check()
        return config

    def check_fits(self, model: ImageTo3D) -> None:
        """Raise :class:`InputError` where the pictures of this run have other sizes than ``model`` takes."""
        own, taken = (self.result.reference.size, self.result.views.rgb.shape[-1]), model.sampler.info.sizes
        if taken is not None and own != taken:
            raise InputError(
                f"The run in '{self.folder.path}' has references of {own[0]} and views of {own[1]} pixels, these "
                f"weights take {taken[0]} and {taken[1]}: pass the --weights that it was made with, or --no-resample."
            )

    def parent(self) -> dict[str, Any]:
        """Identity of the run, for the manifest of the next one."""
        manifest = self.folder.manifest
        digest = hashlib.sha256((self.folder.path / MANIFEST).read_bytes()).hexdigest()
        return {"folder": self.folder.path.name, "manifest_sha256": digest, "seeds": manifest["seeds"]}

    def begin(
        self, model: ImageTo3D, config: GenerationConfig, output_dir: str | os.PathLike, overwrite: bool, inputs: dict
    ) -> FolderStore:
        """The new run's folder, with the photo in it."""
        if Path(output_dir).resolve() == self.folder.path.resolve():
            raise InputError(f"The new run cannot go into its parent '{self.folder.path}': pass another --output-dir.")
        name = self.folder.manifest["inputs"]["photo"]["name"]
        own = model.inputs(self.result.reference, config, name) | {"parents": [self.parent()]} | inputs
        folder = FolderStore.create(output_dir, own, overwrite)
        if not folder.complete:
            folder.save_photo(self.result.reference, self.folder.photo or self.result.reference)
        return folder

    def run_reweighted(
        self, model: ImageTo3D, folder: FolderStore, weights: Float[Tensor, "n"], progress: Progress | None
    ) -> GenerationResult:
        """The same hypotheses with other weights, as a run of their own."""
        result = self.result
        kept = range(len(result.hypotheses))
        folder.save_samples({k: Sampled(result.views[k], result.photo_cameras[k : k + 1]) for k in kept})
        folder.save_hypotheses([replace(h, weight=float(w)) for h, w in zip(result.hypotheses, weights, strict=True)])
        return model.run(result.reference, self.config, folder, progress)


def refine(
    model: ImageTo3D,
    run_dir: str | os.PathLike,
    evidence: SecondPhoto | EditedView,
    output_dir: str | os.PathLike,
    resample: bool = True,
    num_hypotheses: int | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Change:
    """Condition a finished run on another picture of its object.

    The old hypotheses are weighted by how well they predict the picture; with ``resample`` new ones are then sampled
    with it as a condition and weighted in the same way. Raises :class:`InputError` before anything is written.
    """
    evidence.check()
    model = _uncalibrated(model)
    run = FinishedRun.open(run_dir)
    posterior = run.result.posterior
    if resample:
        run.check_fits(model)
    config = run.next_config(num_hypotheses, seed) if resample else run.config
    if resample:
        check_capabilities(model.sampler.info, config, {evidence.condition, "photo_cameras"})
    shown = evidence.evidence(model, config.seed)
    conditioned = condition([h.mesh for h in run.result.hypotheses], posterior.weights, shown)
    inputs = {"verb": "refine", "evidence": evidence.record(), "resampled": resample}
    folder = run.begin(model, config, output_dir, overwrite, inputs)
    record = {"before": uncertainty_record(posterior), "reweighted": _reweighted(posterior, conditioned.weights)}
    record["reweighted"]["temperature"] = conditioned.temperature
    if folder.complete:
        return _changed(folder.load_result(), record)
    folder.save_evidence(evidence.picture())
    folder.note(change=record)
    if not resample:
        return _changed(run.run_reweighted(model, folder, conditioned.weights, progress), record)
    reference, cameras = run.result.reference, run.result.photo_cameras
    found = resample_with(
        model, reference, config, evidence, cameras, conditioned.weights, shown, store=folder, progress=progress
    )
    return _changed(found, record)


def resample_with(
    model: ImageTo3D,
    reference: ReferenceImage,
    config: GenerationConfig,
    evidence: SecondPhoto | EditedView,
    photo_cameras: PhotoCamera,
    weights: Float[Tensor, "n"],
    shown: Evidence,
    store: RunStore | None = None,
    progress: Progress | None = None,
) -> GenerationResult:
    """New hypotheses of ``reference`` with ``evidence`` as a condition, weighted by how well they predict it.

    Where the photo was taken from is taken over from the hypotheses before, whose ``weights`` know of ``shown``.
    """

    def reweight(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        even = torch.full((len(hypotheses),), 1 / len(hypotheses))
        weights = condition([h.mesh for h in hypotheses], even, shown).weights
        return [replace(h, weight=float(w)) for h, w in zip(hypotheses, weights, strict=True)]

    first = photo_cameras[systematic(weights, config.count)]
    if isinstance(evidence, EditedView):  # the view belongs to the frame of its own hypothesis
        first = photo_cameras[[evidence.hypothesis] * config.count]
    conditions = evidence.conditions(model, config, first)
    return model.run(reference, config, store, progress, conditions, reweight)


def feedback(
    model: ImageTo3D,
    run_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    keep: Sequence[int] = (),
    reject: Sequence[int] = (),
    resample: bool = True,
    strength: float = 0.7,
    num_hypotheses: int | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Change:
    """Weigh a finished run's hypotheses by a judgment of some of them, and sample more like those that were kept.

    The new run holds the kept hypotheses first; the others start from views of kept ones (without any: of those not
    rejected), noised up to ``strength``. Raises :class:`InputError` before anything is written.
    """
    model = _uncalibrated(model)
    run = FinishedRun.open(run_dir)
    keep, reject = list(dict.fromkeys(keep)), list(dict.fromkeys(reject))
    posterior, result = run.result.posterior, run.result
    check_choice(keep, reject, len(posterior))
    if not 0 < strength <= 1:
        raise InputError(f"The strength lies above 0 and is at most 1, not {strength}.")
    if resample:
        run.check_fits(model)
    config = run.next_config(num_hypotheses, seed) if resample else run.config
    if resample:
        check_capabilities(model.sampler.info, config, {"initial_views", "photo_cameras"})
    if resample and config.count <= len(keep):
        raise InputError(f"{len(keep)} hypotheses are kept: pass --num-hypotheses {len(keep) + 1} or more.")
    weights = feedback_weights(posterior.distances, posterior.weights, keep, reject)
    judgement = {"keep": keep, "reject": reject, "strength": strength}
    inputs = {"verb": "feedback", "judgement": judgement, "resampled": resample}
    folder = run.begin(model, config, output_dir, overwrite, inputs)
    record = {"before": uncertainty_record(posterior), "reweighted": _reweighted(posterior, weights)}
    if folder.complete:
        return _changed(folder.load_result(), record)
    folder.note(change=record)
    if not resample:
        return _changed(run.run_reweighted(model, folder, weights, progress), record)

    allowed = torch.zeros_like(weights)
    allowed[keep or [k for k in range(len(weights)) if k not in reject]] = 1.0
    sources = keep + systematic(weights * allowed, config.count - len(keep))
    folder.save_samples(
        {
            k: Sampled(result.views[source], result.photo_cameras[source : source + 1])
            for k, source in enumerate(keep)
            if folder.load_sample(k) is None
        }
    )
    conditions = Conditions(
        photo_cameras=PhotoCamera.cat([result.photo_cameras[k : k + 1] for k in sources]),
        initial_views=ViewSet.cat([result.views[k] for k in sources]),
        strength=strength,
    )
    reweight = _judge(posterior, keep, reject)
    return _changed(model.run(result.reference, config, folder, progress, conditions, reweight), record)


def _judge(posterior: Posterior, keep: Sequence[int], reject: Sequence[int]) -> Reweight:
    """Weights of new hypotheses by their distance from the judged ones."""
    bandwidth = bandwidth_of(posterior.distances, posterior.weights)

    def reweight(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        distances = torch.stack([_distances(h, posterior) for h in hypotheses])
        even = torch.full((len(hypotheses),), 1 / len(hypotheses))
        weights = apply_judgement(even, distances[:, list(keep)], distances[:, list(reject)], bandwidth)
        return [replace(h, weight=max(float(w), LEAST)) for h, w in zip(hypotheses, weights, strict=True)]

    return reweight


def _distances(hypothesis: Hypothesis, posterior: Posterior) -> Float[Tensor, "n"]:
    """Mean distance of the surface from those of all hypotheses of ``posterior``."""
    if len(hypothesis.mesh) == 0:
        return torch.full((len(posterior),), 2 * posterior.grid.extent)
    points = hypothesis.mesh.sample_surface(_SAMPLES, torch.Generator().manual_seed(0))
    return posterior.grid.sample(posterior.fields, points).abs().mean(-1)


def _uncalibrated(model: ImageTo3D) -> ImageTo3D:
    """The model's calibration was measured on runs from one photo alone."""
    return replace(model, calibrations=Calibrations(note=_UNMEASURED))


def _reweighted(posterior: Posterior, weights: Float[Tensor, "n"]) -> dict[str, Any]:
    return uncertainty_record(replace(posterior, weights=weights)) | {"weights": weights.tolist()}


def _changed(result: GenerationResult, record: dict[str, Any]) -> Change:
    return Change(result, record | {"after": uncertainty_record(result.posterior)})
