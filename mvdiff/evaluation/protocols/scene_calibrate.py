"""``tools/evaluate.py scene-calibrate``: margins of depth and maps of free space from scenes whose truth is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvdiff.evaluation.benchmarks.machine import config_to_json
from mvdiff.evaluation.protocols.scene_config import MIXTURE, SceneSampling
from recon.core.errors import InputError

#: Numbers of hypotheses that are fitted, from the same samples.
_COUNTS = (1, 2, 4, 8, 16)
_GROUPS = 2


@dataclass(frozen=True)
class SceneCalibrationConfig(SceneSampling):
    model: str = "embedded-scene"
    """Model whose hypotheses are calibrated: embedded-scene or a folder of weights."""
    output: Path = Path("scene_calibration.json")
    """Calibration file. Beside it: .scenes.jsonl (one line per finished scene)."""
    scenes: int = 48
    """Validation scenes, which neither training nor the evaluation uses. At least ten tell a coverage of 90 %."""
    kinds: tuple[str, ...] = MIXTURE
    """Kinds of procedural scenes, taken in turn."""
    num_hypotheses: int = 8
    """Hypotheses per scene; smaller numbers are fitted from the same ones."""
    stations: int = 1
    """Places beyond the photo's own."""
    seed: int = 0
    """Seed of the hypotheses."""
    device: str = "auto"
    """Device of the network: auto, cpu or cuda."""
    workers: int = 0
    """Processes that render true scenes beside the device; 0 renders them in turn."""
    overwrite: bool = False
    """Start again even if the output holds results of other settings."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if self.scenes < 10:
            raise InputError(f"Intervals of 90 % need at least 10 scenes, not {self.scenes}: pass more by --scenes.")
        if self.num_hypotheses < 1 or self.workers < 0 or self.stations < 0:
            raise InputError("--num-hypotheses is at least 1; --workers and --stations are 0 or more.")
        if self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")

    def identity(self) -> dict[str, Any]:
        free = ("output", "model", "scenes", "device", "workers", "overwrite")
        return {name: value for name, value in config_to_json(self).items() if name not in free}


def calibrate_scenes(
    config: SceneCalibrationConfig, jobs: Sequence[Any], sampler: Any, head: dict[str, Any], report: Any = print
) -> Any:
    """Observe every scene that has not been observed yet, fit, write and return the calibration.

    Args:
        config: Settings.
        jobs: Scenes as :class:`mvdiff.evaluation.protocols.scene_runner.CaseJob`.
        sampler: Makes hypotheses, as :data:`mvdiff.evaluation.protocols.scene_baselines.SceneSampler`.
        head: Command, weights, device and versions.
        report: Hears one line per scene.
    """
    from mvdiff.data.render.workers import Workers
    from mvdiff.evaluation.jobs.records import Records
    from mvdiff.evaluation.protocols.scene_runner import make_case
    from mvdiff.sampling.candidates import hypothesis_seed
    from recon.posterior.scene_calibration import fit_scenes

    config.check()
    identity = config.identity() | {"weights": head["weights"], "version": head["versions"]["mvdiff"]}
    records = Records.open(config.output.with_suffix(".scenes.jsonl"), identity, config.overwrite)
    pending = [job for job in jobs if job.name not in records.entries]
    with Workers(min(config.workers, len(pending))) as workers:
        for job, case in workers.map(make_case, pending, ahead=2 * config.workers):
            views = sampler(case, config.num_hypotheses, hypothesis_seed(config.seed, case.seed)).to("cpu")
            records.add({"name": job.name, "observations": observations(case, views)})
            report(f"[{len(records.entries)}/{len(jobs)}] {job.name}")
    scenes = [records.entries[job.name]["observations"] for job in jobs]
    calibration = fit_scenes(scenes, {**head, "settings": identity, "scenes": [job.name for job in jobs]})
    calibration.save(config.output)
    return calibration


def observations(case: Any, sampled: Any) -> dict[str, list[Any]]:
    """Statements of disjoint groups of the hypotheses, by group size."""
    from mvdiff.evaluation.protocols.scene_space import posterior_of
    from recon.posterior.scene_calibration import observe
    from recon.scenes.fuse import fuse_scene

    walked = [k for k, role in enumerate(case.roles) if role != "revisit"]
    case, sampled = case.select(walked), sampled.select_views(walked)
    whole = posterior_of(case, sampled, None)
    truth = fuse_scene(case.truth, whole.field.grid)
    exact = posterior_of(case, case.truth, None).log_depth[0]
    judged, found = case.judged, {}
    for count in (c for c in _COUNTS if c <= len(sampled)):
        starts = range(0, len(sampled) - count + 1, count)[:_GROUPS]
        groups = [list(range(start, start + count)) for start in starts]
        found[str(count)] = [
            observe(
                whole.log_depth[group][:, judged],
                exact[judged],
                case.seen[judged],
                whole.field[slice(group[0], group[-1] + 1)],
                truth,
                whole.strata,
            )
            for group in groups
        ]
    return found
