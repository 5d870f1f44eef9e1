"""Benchmark of the main job: seconds and memory, stage by stage (protocol P3)."""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mvdiff.evaluation.benchmarks.machine import config_to_json, device_name, versions
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.settings import SamplingConfig
from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.runs.image_to_3d import ImageTo3D

Part = Literal["job", "sample"]
#: Within one hypothesis count the order in which they run; what is missing in a part is not listed.
STAGES = ("prepare", "sample", "reconstruct", "posterior", "write")


@dataclass(frozen=True)
class BenchmarkConfig(SamplingConfig):
    photo: Path | None = None
    """By default a picture of a procedural object."""
    num_hypotheses: tuple[int, ...] = (1, 8)
    """Measured in turn, so that a slow minute of the machine meets all of them."""
    repeats: int = 3
    """Number of repeats, of which the median is reported."""
    warmup: int = 1
    """Runs before that are not counted; the first one's seconds are reported apart."""
    weights: str = "embedded"
    backbone: str = "embedded"
    """Source of the views, as ``mvdiff models list`` names it."""
    device: str = "auto"
    preset: str = "default"
    """Quality of the reconstruction."""
    output: Path | None = None
    """JSON; a table of the same name goes beside it."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if not self.num_hypotheses:
            raise InputError("Pass --num-hypotheses with at least one number.")
        for count in self.num_hypotheses:
            self.generation(count).check()
        if self.repeats < 1 or self.warmup < 0:
            raise InputError("Benchmarks need --repeats of at least 1 and --warmup of at least 0.")
        if self.output is not None and self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")

    def generation(self, count: int) -> GenerationConfig:
        return GenerationConfig(num_hypotheses=count, **self.sampling)


def benchmark(part: Part, config: BenchmarkConfig, command: str = "") -> dict[str, Any]:
    """Measure; returns (and writes, where ``output`` is set) a JSON-ready record."""
    config.check()
    start = time.perf_counter()
    import torch

    import mvdiff.runs.image_to_3d  # noqa: F401 the heavy part of the import
    from mvdiff.runs.loading import load_model

    imported = time.perf_counter()
    model = load_model(config.weights, config.device, config.preset, backbone=config.backbone)
    loaded = time.perf_counter()
    photo = _procedural_photo() if config.photo is None else config.photo
    measure = {"job": _job, "sample": _sample}[part](model, photo, config)
    # Rising, as the peak of a process's memory never falls.
    counts = sorted(set(config.num_hypotheses))
    runs: dict[int, list[dict[str, float]]] = {count: [] for count in counts}
    peaks: dict[int, dict[str, float]] = {}
    for turn in range(config.warmup + config.repeats):
        for count in counts:
            seconds, peak = _with_peak(lambda count=count: measure(count), model.device)
            runs[count].append(seconds)
            peaks.setdefault(count, peak)
            print(f"{'warm-up' if turn < config.warmup else 'run'} N = {count}: {_line(seconds)}", file=sys.stderr)
    result = {
        "part": part,
        "command": command,
        "settings": config_to_json(config),
        "weights": model.weights,
        "device": device_name(model.device),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "import_seconds": imported - start,
        "load_seconds": loaded - imported,
        "results": [_result(count, runs[count], peaks[count], config.warmup) for count in counts],
    }
    if config.output is not None:
        from recon.io.folders import write_bytes, write_json

        write_json(config.output, result)
        write_bytes(config.output.with_suffix(".md"), table(result).encode())
    return result


Measure = Callable[[int], dict[str, float]]


def _job(model: "ImageTo3D", photo: Any, config: BenchmarkConfig) -> Measure:
    """The whole way, files included."""

    def measure(count: int) -> dict[str, float]:
        settings = asdict(config.generation(count))
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            reference = model.prepare(photo, config.generation(count))
            prepared = time.perf_counter()
            model.generate(photo, Path(folder) / "out", reference=reference, **settings)
            end = time.perf_counter()
            stages = json.loads((Path(folder) / "out" / "manifest.json").read_text("utf-8"))["seconds"]
        return {"prepare": prepared - start, **stages, "total": end - start}

    return measure


def _sample(model: "ImageTo3D", photo: Any, config: BenchmarkConfig) -> Measure:
    """Sampling alone: prepared photo to views in memory."""
    reference = model.prepare(photo)
    return lambda count: _timed("sample", lambda: model.sample(reference, config.generation(count)))


def _timed(name: str, work: Callable[[], Any]) -> dict[str, float]:
    start = time.perf_counter()
    work()  # ends with a copy to the host, so nothing is left in flight
    seconds = time.perf_counter() - start
    return {name: seconds, "total": seconds}


def _with_peak(work: Callable[[], dict[str, float]], device: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Call ``work``; return its result and the peak memory in GB of the process so far and of the GPU."""
    import resource

    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = work()
    unit = 1e9 if sys.platform == "darwin" else 1e6  # macOS counts bytes, Linux kilobytes
    peak = {"memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}
    if device.type == "cuda":
        peak["gpu_memory_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
    return seconds, peak


def _result(count: int, runs: Sequence[dict[str, float]], peak: dict[str, float], warmup: int) -> dict[str, Any]:
    counted = runs[warmup:]
    median = {name: statistics.median(run.get(name, 0.0) for run in counted) for name in counted[0]}
    return {
        "num_hypotheses": count,
        "seconds": median,
        "spread_seconds": max(run["total"] for run in counted) - min(run["total"] for run in counted),
        "first_run_seconds": runs[0]["total"],
        "hypotheses_per_second": count / median["total"],
        "photos_per_hour": 3600 / median["total"],
        **peak,
    }


def table(result: dict[str, Any]) -> str:
    """Markdown: one column for each number of hypotheses."""
    results = result["results"]
    stages = [stage for stage in (*STAGES, "total") if stage in results[0]["seconds"]]
    rows = [(f"{stage}, s", [f"{r['seconds'][stage]:.3f}" for r in results]) for stage in stages]
    rows += [
        ("first run, s", [f"{r['first_run_seconds']:.2f}" for r in results]),
        ("hypotheses per second", [f"{r['hypotheses_per_second']:.3f}" for r in results]),
        ("photos per hour", [f"{r['photos_per_hour']:.0f}" for r in results]),
        ("peak memory, GB", [f"{r['memory_gb']:.2f}" for r in results]),
    ]
    if "gpu_memory_gb" in results[0]:
        rows.append(("peak GPU memory, GB", [f"{r['gpu_memory_gb']:.2f}" for r in results]))
    head = [f"{r['num_hypotheses']}" for r in results]
    lines = [
        f"`{result['command']}`: {result['device']}, {result['threads']} threads, torch {result['versions']['torch']}, "
        f"import {result['import_seconds']:.1f} s, weights {result['load_seconds']:.1f} s",
        "",
        "| hypotheses | " + " | ".join(head) + " |",
        "|---" * (len(head) + 1) + "|",
        *(f"| {name} | " + " | ".join(values) + " |" for name, values in rows),
    ]
    return "\n".join(lines) + "\n"


def _line(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())


def _procedural_photo() -> Any:
    from mvdiff.data.procedural import make
    from mvdiff.evaluation.jobs.objects import View, photograph

    return photograph(make(0).mesh.normalized(), View(azimuth=30.0, elevation=20.0, seed=0), size=512)
