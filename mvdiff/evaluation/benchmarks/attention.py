"""Benchmark of the attention backends: seconds and deviation from exact attention."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvdiff.evaluation.benchmarks.machine import config_to_json, device_name, versions
from recon.core.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

NAMES = ("native", "xformers", "flash", "sage", "flex")


@dataclass(frozen=True)
class AttentionBenchmarkConfig:
    backends: tuple[str, ...] = NAMES
    """Attention backends to compare, by their names in diffusers."""
    device: str = "auto"
    """Device to run on: auto, cpu or cuda."""
    num_hypotheses: int = 8
    """Batch size."""
    tokens: int = 704
    """Tokens per hypothesis. The embedded model has 704: 7 views of 64 patches and a photo of 256."""
    heads: int = 7
    """Number of heads. The embedded model has 7."""
    head_size: int = 64
    """Channels per head."""
    repeats: int = 20
    """Number of timed calls, of which the mean is reported."""
    output: Path | None = None
    """File for the results as JSON; not written by default."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if min(self.num_hypotheses, self.tokens, self.heads, self.head_size, self.repeats) < 1:
            raise InputError("Numbers of hypotheses, tokens, heads, channels and repeats are at least 1.")
        if self.output is not None and self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")


def benchmark_attention(config: AttentionBenchmarkConfig, command: str = "") -> dict[str, Any]:
    """Milliseconds of a call and largest deviation from float64 attention, for each backend that runs."""
    config.check()
    import torch

    from mvdiff.devices import pick_device
    from recon.io.folders import write_json

    device = pick_device(config.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    shape = (3, config.num_hypotheses, config.tokens, config.heads, config.head_size)
    parts = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    record = {
        "part": "attention",
        "command": command,
        "settings": config_to_json(config) | {"dtype": str(dtype).removeprefix("torch.")},
        "device": device_name(device),
        "versions": versions(),
        "backends": {name: _measured(name, parts, config.repeats) for name in config.backends},
    }
    if config.output is not None:
        write_json(config.output, record)
    return record


def _measured(name: Any, parts: "Tensor", repeats: int) -> dict[str, Any]:
    import torch
    from diffusers.models.attention_dispatch import dispatch_attention_fn

    from mvdiff.models.attention_backends import check_attention_backend

    query, key, value = parts.unbind(0)
    q, k, v = (part.double().transpose(1, 2) for part in (query, key, value))
    exact = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    try:
        check_attention_backend(name, parts.device)
        made = dispatch_attention_fn(query, key, value, backend=name)
        _wait(parts)
        begin = time.perf_counter()
        for _ in range(repeats):
            dispatch_attention_fn(query, key, value, backend=name)
        _wait(parts)
    except Exception as error:  # each backend fails in its own way: by import, device, data type or shape
        return {"unavailable": str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)}
    seconds = (time.perf_counter() - begin) / repeats
    deviation = float((made.double() - exact.transpose(1, 2)).abs().max())
    return {"milliseconds": seconds * 1e3, "largest_deviation": deviation}


def _wait(parts: "Tensor") -> None:
    if parts.is_cuda:
        import torch

        torch.cuda.synchronize(parts.device)


def attention_table(record: dict[str, Any]) -> str:
    """Markdown table of a record of :func:`benchmark_attention`."""
    rows = [
        f"| {name} | – | {found['unavailable']} |"
        if "unavailable" in found
        else f"| {name} | {found['milliseconds']:.3f} | {found['largest_deviation']:.1e} |"
        for name, found in record["backends"].items()
    ]
    head = f"`{record['command']}` on {record['device']}, {record['settings']['dtype']}"
    return "\n".join([head, "", "| backend | ms a call | largest deviation |", "|---|---|---|", *rows, ""])
