"""Expected seconds of a new run: from the jobs that this server has finished, else from a stored measurement."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mvdiff.serving.choices import SCENE
from mvdiff.serving.jobs import Job

#: Jobs of one kind that are looked at, latest first.
LATEST = 60


@dataclass(frozen=True)
class Expectation:
    """Seconds of a run: one part grows with hypotheses x steps x candidates, the other with hypotheses alone."""

    per_step: float
    """Seconds of one denoising step of one candidate."""
    per_hypothesis: dict[str, float] = field(default_factory=dict)
    """Seconds of everything after sampling for each hypothesis, by the quality of the reconstruction."""
    jobs: int = 0
    """Number of finished jobs that it is the mean of; 0 for a stored measurement."""
    source: str = ""
    """Sentence that says where it comes from."""


_STORED = "An estimate stored for two processor cores; this machine's own times replace it after the first job."
#: Two idle cores that multiply bfloat16, from the commands of README.md and docs/results.md: 43 s sample eight
#: hypotheses of 6 steps and 2 candidates, and ``mvdiff scene --num-hypotheses 2 --preset fast`` takes 25 s.
STORED = {
    "embedded": Expectation(0.45, {"fast": 0.8, "default": 2.0}, source=_STORED),
    SCENE: Expectation(0.35, {"fast": 10.0}, source=_STORED),
}


def key_of(request: dict[str, Any], kind: str) -> str:
    """Choice that a job was made with: its backbone, and its reconstructor where that is not fusion."""
    if kind == "scene":
        return SCENE
    reconstructor = request.get("reconstructor", "fusion")
    backbone = request.get("backbone", "embedded")
    return backbone if reconstructor == "fusion" else f"{backbone}+{reconstructor}"


def expectations(done: Iterable[Job], on_cpu: bool) -> dict[str, Expectation]:
    """Expectation of each choice that can be given one.

    Args:
        done: Finished jobs of the kinds "generate" and "scene".
        on_cpu: Whether the worker runs on processor cores, for which measurements are stored.
    """
    groups: dict[str, list[Job]] = {}
    for job in done:
        if job.seconds.get("sample") and _units(job):
            groups.setdefault(key_of(job.request, job.kind), []).append(job)
    found = dict(STORED) if on_cpu else {}
    for key, jobs in groups.items():
        stored = found.get(key)
        found[key] = _measured(jobs, stored.per_hypothesis if stored else {})
    return found


def _measured(jobs: list[Job], stored: dict[str, float]) -> Expectation:
    sampled, units = sum(job.seconds["sample"] for job in jobs), sum(map(_units, jobs))
    rest: dict[str, list[tuple[float, int]]] = {}
    for job in jobs:
        after = sum(seconds for stage, seconds in job.seconds.items() if stage not in ("load", "sample"))
        rest.setdefault(job.request["preset"], []).append((after, job.request["num_hypotheses"]))
    means = {preset: sum(s for s, _ in pairs) / sum(n for _, n in pairs) for preset, pairs in rest.items()}
    count = f"the latest {len(jobs)} jobs" if len(jobs) > 1 else "one finished job"
    return Expectation(sampled / units, {**stored, **means}, len(jobs), f"Measured on this machine, from {count}.")


def _units(job: Job) -> int:
    """Steps of all candidates of a job."""
    own = job.request
    steps = own.get("num_inference_steps") or 0
    if job.kind == "scene":
        return own["num_hypotheses"] * (steps + own.get("stations", 0) * own.get("station_steps", 4))
    return own["num_hypotheses"] * steps * (own.get("candidates") or 1)
