"""Benchmark of rendering training images, as ``mvdiff data render`` makes them."""

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvdiff.evaluation.benchmarks.machine import config_to_json, device_name, versions
from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.data.render.jobs import Shot
    from mvdiff.data.render.record import RecordConfig


@dataclass(frozen=True)
class RenderingBenchmarkConfig:
    meshes: tuple[Path, ...] = ()
    """Folders of meshes, single meshes or mesh packs; by default procedural objects."""
    objects: int = 24
    """So many of them."""
    processes: tuple[int, ...] = (1, 2)
    """Measured in turn."""
    size: int = 128
    """Pixels of a picture's side."""
    device: str = "auto"
    output: Path | None = None
    """JSON."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if self.objects < 1 or not self.processes or min(self.processes) < 1 or self.size < 16:
            raise InputError("--objects and --processes are at least 1, --size is at least 16.")
        if self.output is not None and self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")


def benchmark_rendering(config: RenderingBenchmarkConfig, command: str = "") -> dict[str, Any]:
    """Views a second, by the clock and by the processors' time; written where ``output`` is set."""
    config.check()
    from mvdiff.data.dataset import plan_shots
    from mvdiff.data.render.config import RenderDataset
    from mvdiff.devices import pick_device
    from recon.io.folders import write_json

    procedural = 0 if config.meshes else config.objects
    recipe = RenderDataset(meshes=config.meshes, procedural=procedural, size=config.size)
    device, shots = pick_device(config.device), plan_shots(recipe)[: config.objects]
    record = {
        "part": "render",
        "command": command,
        "settings": config_to_json(config),
        "device": device_name(device),
        "versions": versions(),
        "objects": len(shots),
        "views": recipe.record.num_targets + recipe.record.references,
        "results": [_measured(count, shots, recipe.record, str(device)) for count in config.processes],
    }
    if config.output is not None:
        write_json(config.output, record)
    return record


def _measured(count: int, shots: list["Shot"], config: "RecordConfig", device: str) -> dict[str, float]:
    """Rate of ``count`` processes at work together, without their warm-up."""
    from mvdiff.data.render.workers import Workers

    task = functools.partial(_take, config=config, device=device)
    views = len(shots) * (config.num_targets + config.references)
    with Workers(count) as workers:
        for _ in workers.map(task, shots[:1] * 2 * count):
            pass
        begin = time.perf_counter()
        costs = [cost for _, cost in workers.map(task, shots)]
        seconds = time.perf_counter() - begin
    load, render = map(sum, zip(*costs, strict=True))
    return {
        "processes": count,
        "views_per_second": views / seconds,
        "views_per_processor_second": views / (load + render),
        "mesh_milliseconds": load / views * 1e3,
        "picture_milliseconds": render / views * 1e3,
    }


def _take(shot: "Shot", config: "RecordConfig", device: str) -> tuple[float, float]:
    """Processor seconds of the mesh and of its pictures."""
    from mvdiff.data.render.record import render_record

    begin = time.process_time()
    mesh = shot.source.load().to(device)
    loaded = time.process_time()
    render_record(mesh, shot.seed, config).references.cpu()  # waits for the device
    return loaded - begin, time.process_time() - loaded


def rendering_table(record: dict[str, Any]) -> str:
    """Markdown."""
    rows = [
        f"| {r['processes']} | {r['views_per_second']:.0f} | {r['views_per_processor_second']:.0f} | "
        f"{r['mesh_milliseconds']:.2f} | {r['picture_milliseconds']:.2f} |"
        for r in record["results"]
    ]
    lines = [
        f"`{record['command']}` on {record['device']}: {record['objects']} objects, {record['views']} views of each",
        "",
        "| processes | views/s | views per processor second | mesh, ms a view | picture, ms a view |",
        "|---|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"
