"""Acting on a finished run of scenes: a second photo, a painted view, a judgment or another station make a new run."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.runs.image_to_scene import Draw, ImageToScene, Progress, random_stream
from mvdiff.runs.scene_edit import EditedSceneView
from mvdiff.runs.scene_folder import SceneFolder
from mvdiff.runs.scene_photo_pose import LocatedPhoto, SecondPhoto
from mvdiff.runs.scene_result import SceneResult, SceneSample, depth_spread
from mvdiff.sampling.candidates import hypothesis_seed
from mvdiff.sampling.scene_calibrations import SceneStatement
from mvdiff.sampling.scene_conditions import SceneConditions
from mvdiff.sampling.scene_settings import SceneGenerationConfig
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.io.folders import MANIFEST
from recon.posterior.conditioning import bayes_update, entropy_bits
from recon.posterior.feedback import check_choice, feedback_weights, systematic
from recon.posterior.scene_evidence import photo_log_likelihood

_UNMEASURED = "Calibrations are of runs from one photo: how well the statements of a refined run hold is not measured."
#: Stream of random numbers of an edited view.
_EDIT = 1 << 20

Weigh = Callable[[Sequence[SceneSample]], tuple[float, ...]]


@dataclass(frozen=True)
class SceneChange:
    """A new run made from a finished one."""

    result: SceneResult
    record: dict[str, Any]
    """JSON-ready: ``before``, ``reweighted`` (the same hypotheses with new weights) and ``after``."""


@dataclass(frozen=True)
class FinishedScenes:
    """Starting point of a derived run."""

    folder: SceneFolder
    result: SceneResult

    @staticmethod
    def open(path: str | os.PathLike) -> "FinishedScenes":
        """Raises :class:`InputError` where there is no complete run of scenes."""
        folder = SceneFolder.open(path)
        return FinishedScenes(folder, folder.load_result(SceneStatement(note=_UNMEASURED)))

    def check_fits(self, model: ImageToScene) -> None:
        """Raise :class:`InputError` where the pictures of this run have another size than ``model`` takes."""
        own = self.result.views.rgb.shape[-1]
        if own != model.size:
            raise InputError(
                f"The run in '{self.folder.path}' has views of {own} pixels, these weights take {model.size}: pass the "
                "--weights that it was made with, or --no-resample."
            )

    def next_config(self, num_hypotheses: int | None, seed: int | None, **changes: Any) -> SceneGenerationConfig:
        """The same settings; new hypotheses have seeds of their own."""
        config = self.result.config
        count = config.num_hypotheses if num_hypotheses is None else num_hypotheses
        own = {"num_hypotheses": count, "seed": config.seed + 1 if seed is None else seed, **changes}
        config = replace(config, **own)
        config.check()
        return config

    def begin(
        self,
        model: ImageToScene,
        config: SceneGenerationConfig,
        output_dir: str | os.PathLike,
        overwrite: bool,
        inputs: dict[str, Any],
    ) -> SceneFolder:
        """The new run's folder, with the photo in it."""
        if Path(output_dir).resolve() == self.folder.path.resolve():
            raise InputError(f"The new run cannot go into its parent '{self.folder.path}': pass another --output-dir.")
        digest = hashlib.sha256((self.folder.path / MANIFEST).read_bytes()).hexdigest()
        parent = {"folder": self.folder.path.name, "manifest_sha256": digest}
        own = model.inputs(self.result.photo, config) | {"calibration": None, "parents": [parent]} | inputs
        folder = SceneFolder.create(output_dir, own, overwrite)
        folder.copy_photo(self.folder)
        return folder

    def reweighted(self, weights: Float[Tensor, "n"]) -> SceneResult:
        return replace(self.result, weights=tuple(weights.tolist()))

    def finish(
        self,
        model: ImageToScene,
        config: SceneGenerationConfig,
        folder: SceneFolder,
        record: dict[str, Any],
        draw: Draw,
        weigh: Weigh | None,
        progress: Progress | None,
    ) -> SceneChange:
        """Draw, weigh, build and write the new run."""
        folder.note(change=record)
        uncalibrated = replace(model, statement=SceneStatement(note=_UNMEASURED))
        result = uncalibrated.run(self.result.photo, config, folder, progress, draw=draw, weigh=weigh)
        return SceneChange(result, record | {"after": uncertainty_of(result)})

    def kept(self, indices: Sequence[int]) -> dict[int, SceneSample]:
        """Samples as they were."""
        return {k: self.result.samples[k] for k in indices}


def uncertainty_of(result: SceneResult) -> dict[str, Any]:
    """The few numbers by which two runs of one place are compared."""
    weights = result.weight
    return {
        "num_hypotheses": len(result),
        "effective_size": float(1 / weights.square().sum()),
        "index_entropy_bits": entropy_bits(weights),
        "depth_spread": depth_spread(result.posterior),
        "weights": weights.tolist(),
    }


def refine_scene(
    model: ImageToScene,
    run_dir: str | os.PathLike,
    evidence: SecondPhoto | EditedSceneView,
    output_dir: str | os.PathLike,
    resample: bool = True,
    num_hypotheses: int | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SceneChange:
    """Condition a finished run of scenes on another picture of the place.

    The old hypotheses are weighted by how well they predict it; with ``resample`` new ones are sampled with it as a
    condition. Raises :class:`InputError` before anything is written.
    """
    run = FinishedScenes.open(run_dir)
    run.check_fits(model)
    config = run.next_config(num_hypotheses, seed) if resample else run.result.config
    if isinstance(evidence, SecondPhoto):
        evidence.check()
    folder = run.begin(model, config, output_dir, overwrite, {"evidence": evidence.record(), "resampled": resample})
    if isinstance(evidence, SecondPhoto):
        located = evidence.located(run.result)
        likelihood, told = located.evidence, {"photo_camera": located.record()}
        draw = _with_photo(model, run, config, located)
    else:
        likelihood, told = _of_edit(run.result, evidence), {}
        draw = _with_edit(model, run, config, evidence)
    weights = bayes_update(run.result.weight, likelihood)
    folder.save_evidence(evidence.picture() if isinstance(evidence, EditedSceneView) else evidence.photo.picture())
    record = {
        "before": uncertainty_of(run.result),
        "reweighted": uncertainty_of(run.reweighted(weights)),
        **told,
    }
    if resample:
        return run.finish(model, config, folder, record, draw(weights), None, progress)
    return run.finish(model, config, folder, record, run.kept, lambda samples: tuple(weights.tolist()), progress)


def feedback_scene(
    model: ImageToScene,
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
) -> SceneChange:
    """Weigh the scenes of a finished run by a judgment of some of them, and sample more like those that were kept.

    The new run holds the kept scenes first; the others start from the views of kept ones (without any: of those not
    rejected), noised up to ``strength``.
    """
    run = FinishedScenes.open(run_dir)
    keep, reject = list(dict.fromkeys(keep)), list(dict.fromkeys(reject))
    check_choice(keep, reject, len(run.result))
    if not 0 < strength <= 1:
        raise InputError(f"The strength lies above 0 and is at most 1, not {strength}.")
    run.check_fits(model)
    config = run.next_config(num_hypotheses, seed) if resample else run.result.config
    if resample and config.num_hypotheses <= len(keep):
        raise InputError(f"{len(keep)} hypotheses are kept: pass --num-hypotheses {len(keep) + 1} or more.")
    judgement = {"keep": keep, "reject": reject, "strength": strength}
    folder = run.begin(model, config, output_dir, overwrite, {"judgement": judgement, "resampled": resample})
    weights = feedback_weights(run.result.posterior.distances, run.result.weight, keep, reject)
    record = {"before": uncertainty_of(run.result), "reweighted": uncertainty_of(run.reweighted(weights))}
    if not resample:
        return run.finish(model, config, folder, record, run.kept, lambda samples: tuple(weights.tolist()), progress)
    allowed = torch.zeros_like(weights)
    allowed[keep or [k for k in range(len(weights)) if k not in reject]] = 1.0
    sources = keep + systematic(weights * allowed, config.num_hypotheses - len(keep))
    conditions = SceneConditions(
        tuple(run.result.samples[k].camera for k in sources),
        initial_views=ViewSet.cat([run.result.views[k] for k in sources]),
        strength=strength,
    )

    def draw(indices: Sequence[int]) -> dict[int, SceneSample]:
        old = {k: run.result.samples[sources[k]] for k in indices if k < len(keep)}
        new = [k for k in indices if k >= len(keep)]
        return old | (model.draw(run.result.photo, config, new, conditions) if new else {})

    return run.finish(model, config, folder, record, draw, None, progress)


def change_station(
    model: ImageToScene,
    run_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    station: int,
    again: bool,
    hypothesis: int | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SceneChange:
    """Take back a station (1, 2, 3) and those after it, or sample them ``again`` with another seed.

    Args:
        hypothesis: The only scene that changes; all by default.
    """
    run = FinishedScenes.open(run_dir)
    run.check_fits(model)
    before = run.result.config
    if not 1 <= station <= before.stations:
        raise InputError(f"This run has {before.stations} stations: name one of them by its number, from 1 on.")
    if hypothesis is not None and not 0 <= hypothesis < len(run.result):
        raise InputError(f"There is no hypothesis {hypothesis}: this run has 0 to {len(run.result) - 1}.")
    everywhere = hypothesis is None and not again
    config = run.next_config(None, seed, **({"stations": station - 1} if everywhere else {}))
    change = {"station": station, "again": again, "hypothesis": hypothesis}
    folder = run.begin(model, config, output_dir, overwrite, {"change": change})

    def draw(indices: Sequence[int]) -> dict[int, SceneSample]:
        return {k: changed(k, run.result.samples[k]) for k in indices}

    def changed(k: int, sample: SceneSample) -> SceneSample:
        if hypothesis not in (None, k):
            return sample
        sample = sample.with_stations(station - 1)
        if not again:
            return sample
        return model.with_stations(run.result.photo, sample, config, hypothesis_seed(config.seed, k), station - 1)

    record = {"before": uncertainty_of(run.result)}
    return run.finish(model, config, folder, record, draw, None, progress)


def _with_photo(
    model: ImageToScene, run: FinishedScenes, config: SceneGenerationConfig, located: LocatedPhoto
) -> Callable[[Float[Tensor, "n"]], Draw]:
    """Scenes of both photos; cameras are those of old hypotheses, in proportion to their weights."""

    def weighted(weights: Float[Tensor, "n"]) -> Draw:
        sources = systematic(weights, config.num_hypotheses)
        cameras = tuple(run.result.samples[k].camera for k in sources)
        conditions = SceneConditions(cameras, more_photos=located.views(sources, model.size))
        return lambda indices: model.draw(run.result.photo, config, indices, conditions)

    return weighted


def _with_edit(
    model: ImageToScene, run: FinishedScenes, config: SceneGenerationConfig, edit: EditedSceneView
) -> Callable[[Float[Tensor, "n"]], Draw]:
    """Ways in which the scene of the painted view may follow it."""

    def draw(indices: Sequence[int]) -> dict[int, SceneSample]:
        found = {}
        for k in indices:
            seed = hypothesis_seed(config.seed, k)
            sample = edit.sampled(model.pipeline, run.result, config, random_stream(seed, _EDIT))
            found[k] = model.with_stations(run.result.photo, sample, config, seed)
        return found

    return lambda weights: draw


def _of_edit(result: SceneResult, edit: EditedSceneView) -> Float[Tensor, "n"]:
    """Log-likelihood of the painted view in each hypothesis, taken by its own camera."""
    camera: Cameras = result.views.cameras[:, edit.view : edit.view + 1]
    return photo_log_likelihood(result.views, edit.rgb, camera)[:, 0]
