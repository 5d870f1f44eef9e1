"""Benchmark of a training step, part by part."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvdiff.evaluation.benchmarks.machine import config_to_json, device_name, versions
from recon.core.errors import InputError


@dataclass(frozen=True)
class TrainingBenchmarkConfig:
    config: Path = Path("configs/train/embedded.yaml")
    """Recipe whose networks, losses, batches and optimizer are measured; its data are not read."""
    device: str = "auto"
    batch_size: int | None = None
    """By default the recipe's."""
    objects: int = 32
    """Procedural objects that are photographed for it."""
    steps: int = 10
    """Number of timed steps, of which the mean is reported."""
    warmup: int = 3
    kernels: int = 0
    """Number of the costliest CUDA kernels to list."""
    output: Path | None = None
    """JSON."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        for name, value, least in (
            ("objects", self.objects, 1),
            ("steps", self.steps, 1),
            ("warmup", self.warmup, 0),
            ("kernels", self.kernels, 0),
            ("batch-size", self.batch_size or 1, 1),
        ):
            if value < least:
                raise InputError(f"--{name} is at least {least}, not {value}.")
        if self.output is not None and self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")


def benchmark_training(config: TrainingBenchmarkConfig, command: str = "") -> dict[str, Any]:
    """Milliseconds of each part of a step, objects a second, memory; written where ``output`` is set."""
    config.check()
    import torch

    from mvdiff.data.batch import sample_batch
    from mvdiff.data.render.jobs import Photographers, Shot, fill_store, procedural_sources, record_seed
    from mvdiff.devices import pick_device
    from mvdiff.training.config import load_config
    from mvdiff.training.ema import ExponentialMovingAverage
    from mvdiff.training.objective import Objective, build_models, build_teacher
    from mvdiff.training.optimization import build_optimizer
    from recon.io.folders import write_json

    device = pick_device(config.device)
    recipe = load_config(config.config)
    size = config.batch_size or recipe.batch_size
    shots = [Shot(s, record_seed(0, i, 0), False) for i, s in enumerate(procedural_sources(range(config.objects)))]
    start = time.perf_counter()
    store, _ = fill_store(Photographers(recipe.data.record, device), shots, device)
    photographed = len(store) / (time.perf_counter() - start)

    networks = build_models(recipe)
    objective = Objective(*networks, recipe.loss, teacher=build_teacher(recipe, networks[0])).to(device)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        objective.compile_blocks()
    optimizer = build_optimizer(objective, recipe.optimizer)
    average = ExponentialMovingAverage(objective, recipe.optimizer.ema_decay)
    generator = torch.Generator(device).manual_seed(0)
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=recipe.mixed_precision == "bf16")

    def draw():
        return sample_batch(store, size, generator, recipe.data.batch)

    def forward(batch) -> torch.Tensor:
        with mixed:
            return objective(batch, generator)[0]

    def camera(batch) -> None:
        with mixed:
            distribution = objective.camera_estimator(batch.camera_photos.flatten(0, 1))
            (-distribution.log_prob(batch.photo_camera.flatten(0, 1))).mean().backward()

    def step() -> None:
        forward(draw()).backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), recipe.optimizer.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        average.update(objective, 1)

    def timed(function: Callable[[], Any]) -> float:
        for _ in range(config.warmup):
            function()
        _wait(device)
        begin = time.perf_counter()
        for _ in range(config.steps):
            function()
        _wait(device)
        return (time.perf_counter() - begin) / config.steps * 1e3

    batch = draw()
    milliseconds = {
        "batch": timed(draw),
        "forward and backward": timed(lambda: forward(batch).backward()),
        "of it the camera": timed(lambda: camera(batch)),
        "optimiser": timed(optimizer.step),
        "average": timed(lambda: average.update(objective, 1)),
        "whole step": timed(step),
    }
    record = {
        "part": "train",
        "command": command,
        "settings": config_to_json(config) | {"batch_size": size},
        "device": device_name(device),
        "versions": versions(),
        "parameters": sum(p.numel() for p in objective.parameters()),
        "milliseconds": milliseconds,
        "objects_per_second": size / milliseconds["whole step"] * 1e3,
        "photographed_per_second": photographed,
        "memory_gb": torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None,
    }
    if config.kernels and device.type == "cuda":
        record["kernels"] = _costliest(step, config.kernels)
    if config.output is not None:
        write_json(config.output, record)
    return record


def training_table(record: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"`{record['command']}` on {record['device']}, batch {record['settings']['batch_size']}, "
        f"{record['parameters'] / 1e6:.1f}M parameters",
        "",
        "| part | ms |",
        "|---|---|",
        *(f"| {name} | {value:.1f} |" for name, value in record["milliseconds"].items()),
        "",
        f"{record['objects_per_second']:.0f} objects/s; {record['photographed_per_second']:.1f} objects/s photographed "
        "in one process" + (f"; {record['memory_gb']:.1f} GB" if record["memory_gb"] else ""),
        "",
    ]
    if record.get("kernels"):
        rows = [f"| {name[:80]} | {count} | {value:.1f} |" for name, count, value in record["kernels"]]
        lines += ["| kernel | calls | ms |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _wait(device) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def _costliest(step: Callable[[], None], rows: int) -> list[tuple[str, int, float]]:
    """Name, calls and milliseconds of the kernels of one step."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as found:
        step()
    kernels = sorted(found.key_averages(), key=lambda k: -k.self_device_time_total)[:rows]
    return [(k.key, k.count, k.self_device_time_total / 1e3) for k in kernels]
