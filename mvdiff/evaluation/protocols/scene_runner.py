"""Scenes through a sampler, scores to files."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from mvdiff.data.render.workers import Workers
from mvdiff.evaluation.jobs.records import Records, finite
from mvdiff.evaluation.protocols.scene_baselines import SceneSampler
from mvdiff.evaluation.protocols.scene_case import SceneCase
from mvdiff.evaluation.protocols.scene_config import SceneEvaluationConfig
from mvdiff.evaluation.protocols.scene_distribution import distribution_scores
from mvdiff.evaluation.protocols.scene_geometry import agreement_scores, cloud_scores, control_scores
from mvdiff.evaluation.protocols.scene_hidden import hidden_entry
from mvdiff.evaluation.protocols.scene_sheet import scene_strip
from mvdiff.evaluation.protocols.scene_space import space_scores
from mvdiff.evaluation.protocols.scene_summary import GOALS, scene_table, summarize
from mvdiff.evaluation.protocols.scene_views import (
    drift_scores,
    own_mask_scores,
    photo_scores,
    revisit_scores,
    view_scores,
)
from mvdiff.evaluation.sheet import stack
from mvdiff.sampling.candidates import hypothesis_seed
from recon.core.paths import is_file
from recon.core.views import ViewSet
from recon.io.folders import atomic_write, write_bytes, write_json
from recon.ops.parallel import worker_threads
from recon.posterior.scene_calibration import SceneCalibration

Report = Callable[[str], None]


@runtime_checkable
class CaseJob(Protocol):
    """A scene yet to be made, small enough to be sent to a process."""

    @property
    def name(self) -> str: ...

    def make(self) -> SceneCase: ...


def evaluate_scenes(
    config: SceneEvaluationConfig,
    jobs: Sequence[CaseJob],
    sampler: SceneSampler,
    head: dict[str, Any],
    report: Report = print,
) -> dict[str, Any]:
    """Score every scene that has not been scored yet; write and return the results.

    ``head`` says on what they were made: command, weights, device and versions. Raises
    :class:`recon.core.errors.InputError` before anything is written for settings that cannot be used.
    """
    config.check()
    start = time.perf_counter()
    calibration = None if config.calibration is None else SceneCalibration.load(config.calibration)
    head = head | {"calibration": None if calibration is None else calibration.name}
    own = {"weights": head["weights"], "calibration": head["calibration"], "version": head["versions"]["mvdiff"]}
    identity = config.identity() | own
    records = Records.open(config.output.with_suffix(".scenes.jsonl"), identity, config.overwrite)
    pending = [job for job in jobs if job.name not in records.entries]
    done = len(jobs) - len(pending)
    if done:
        report(f"{done} of {len(jobs)} scenes are done already.")
    for number, (entry, picture) in enumerate(_scored(config, pending, sampler, calibration), done + 1):
        with atomic_write(_strip_path(config.output, entry["name"])) as temporary:
            picture.save(temporary)
        records.add(entry)
        report(f"[{number}/{len(jobs)}] {_line(entry)}")
    entries = [records.entries[job.name] for job in jobs]
    summary = summarize(entries)
    results = {
        "protocol": "s1" if config.data is None else "s2",
        **head,
        "settings": identity,
        "seconds": round(time.perf_counter() - start, 3),
        "summary": summary,
        "goals": {key: summary.get(key) for _, key in GOALS},
        "scenes": entries,
    }
    _write(config, results)
    return results


def _scored(
    config: SceneEvaluationConfig,
    pending: Sequence[CaseJob],
    sampler: SceneSampler,
    calibration: SceneCalibration | None,
) -> Iterator[tuple[dict[str, Any], Image.Image]]:
    """Entries and pictures, as they are ready: processes make cases, this thread samples, threads score."""
    with Workers(min(config.workers, len(pending))) as workers, _scoring(config.workers) as submit:
        running: set[Future] = set()
        for _, case in workers.map(make_case, pending, ahead=2 * config.workers):
            began = time.perf_counter()
            sampled = sampler(case, config.num_hypotheses, hypothesis_seed(config.seed, case.seed)).to("cpu")
            running.add(submit(_finish, case, sampled, calibration, time.perf_counter() - began))
            done, running = wait(running, None if len(running) > config.workers else 0, FIRST_COMPLETED)
            yield from (future.result() for future in done)
        while running:
            done, running = wait(running, None, FIRST_COMPLETED)
            yield from (future.result() for future in done)


def make_case(job: CaseJob) -> SceneCase:
    """As a function, which processes can be given."""
    return job.make()


@contextmanager
def _scoring(workers: int) -> Iterator[Callable[..., Future]]:
    """Threads that score; without workers it happens at once."""
    if workers:
        with worker_threads(workers) as pool:
            yield pool.submit
        return

    def at_once(function: Callable, *arguments: Any) -> Future:
        future: Future = Future()
        future.set_result(function(*arguments))
        return future

    yield at_once


def _finish(
    case: SceneCase, sampled: ViewSet, calibration: SceneCalibration | None, seconds: float
) -> tuple[dict[str, Any], Image.Image]:
    entry = score_scene(case, sampled, calibration) | {"seconds": seconds}
    return finite(entry), scene_strip(case, sampled, _title(entry))


def score_scene(case: SceneCase, sampled: ViewSet, calibration: SceneCalibration | None = None) -> dict[str, Any]:
    """All scores of protocol S1 for one scene; lists hold one value a hypothesis."""
    walked = [k for k, role in enumerate(case.roles) if role != "revisit"]
    own, made = case.select(walked), sampled.select_views(walked)
    return {
        "name": case.name,
        "kind": case.kind,
        "seen_share": float(own.seen[1:].float().mean()),
        **photo_scores(own, made),
        **view_scores(own, made),
        **cloud_scores(own, made),
        **control_scores(own, made),
        **agreement_scores(own, made),
        **distribution_scores(own, made),
        **space_scores(own, made, calibration),
        **drift_scores(own, made),
        **revisit_scores(case, sampled),
        **hidden_entry(own, made),
        **(own_mask_scores(own, made) if case.measured is not None else {}),
    }


def _write(config: SceneEvaluationConfig, results: dict[str, Any]) -> None:
    source = "held-out procedural scenes" if config.data is None else config.data.name
    copies = ", copies of one guess" if config.copies else ""
    title = f"{config.model}{copies} on {source}, protocol {results['protocol'].upper()}, N = {config.num_hypotheses}"
    write_json(config.output, results)
    text = scene_table(results["summary"], results["scenes"], title, results["command"])
    write_bytes(config.output.with_suffix(".md"), text.encode())
    strips = [_strip_path(config.output, entry["name"]) for entry in results["scenes"][: config.sheet]]
    known = [Image.open(path) for path in strips if is_file(path)]
    if known:
        with atomic_write(config.output.with_suffix(".png")) as temporary:
            stack(known).save(temporary)


def _strip_path(output: Path, name: str) -> Path:
    return output.with_suffix(".strips") / (re.sub(r"[^\w.-]+", "_", name) + ".png")


def _average(entry: dict[str, Any], key: str) -> float:
    known = [value for value in entry.get(key) or [] if value is not None]
    return sum(known) / len(known) if known else float("nan")


def _line(entry: dict[str, Any]) -> str:
    return (
        f"{entry['name']}: AbsRel {_average(entry, 'photo_abs_rel'):.3f}, PSNR seen "
        f"{_average(entry, 'psnr_seen'):.1f} unseen {_average(entry, 'psnr_unseen'):.1f} dB, "
        f"F1 seen {_average(entry, 'f1_seen'):.2f} unseen {_average(entry, 'f1_unseen'):.2f}, {entry['seconds']:.1f} s"
    )


def _title(entry: dict[str, Any]) -> list[str]:
    kind, _, number = entry["name"].rpartition("/")
    return [
        kind,
        number,
        f"AbsRel {_average(entry, 'photo_abs_rel'):.3f}",
        f"seen {_average(entry, 'psnr_seen'):.1f} dB",
        f"unseen {_average(entry, 'psnr_unseen'):.1f}",
        f"F1 {_average(entry, 'f1_seen'):.2f} {_average(entry, 'f1_unseen'):.2f}",
    ]
