"""Trackers for a run's figures and images: metrics.jsonl always, wandb and TensorBoard on request."""

import contextlib
import errno
import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.core.reading import READ_ERRORS, parse_json, read_bytes, reading
from recon.io.folders import DISK_FULL, place_errors_told, write_bytes

if TYPE_CHECKING:
    from accelerate import Accelerator

METRICS = "metrics.jsonl"
#: What to do when a run has no more room.
RESUME = "make room and resume from the last checkpoint"
_MODULES = {"wandb": "wandb", "tensorboard": "tensorboard"}


@dataclass
class LoggingConfig:
    every_steps: int = 50
    trackers: list[str] = field(default_factory=list)
    """Beside metrics.jsonl: "wandb", "tensorboard"."""
    project: str = "mvdiff"
    wandb: Literal["online", "offline", "disabled"] | None = None
    """None leaves it to the variable WANDB_MODE, and without that to wandb."""

    def check(self) -> None:
        """Raise :class:`InputError` for trackers that are unknown or not installed."""
        import importlib.util

        for name in self.trackers:
            if name not in _MODULES:
                raise InputError(f"There is no tracker '{name}': choose among {', '.join(_MODULES)}.")
            if importlib.util.find_spec(_MODULES[name]) is None:
                raise InputError(f"The tracker '{name}' is not installed: pip install 'mvdiff[{name}]'.")


class Tracker:
    """The main process writes, the others do nothing.

    Every line of metrics.jsonl is written at once, so that a run that died can be read to its last step; a resumed run
    takes back the lines of steps that it will repeat.
    """

    def __init__(
        self, folder: Path, config: LoggingConfig, accelerator: "Accelerator", settings: dict[str, Any], step: int
    ) -> None:
        self.folder, self.config, self.accelerator = folder, config, accelerator
        self.path = folder / METRICS
        if not accelerator.is_main_process:
            return
        kept = [line for line in read_metrics(self.path) if line["step"] <= step] if step else []
        self._validated = {line["step"] for line in kept if _is_validation(line)}
        write_bytes(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        if config.trackers:
            if config.wandb is not None:
                os.environ["WANDB_MODE"] = config.wandb
            # A resumed run continues the same record.
            name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
            wandb = {"dir": str(folder), "name": folder.name, "id": name, "resume": "allow", "config": settings}
            accelerator.init_trackers(
                config.project, init_kwargs={"wandb": wandb} if "wandb" in config.trackers else {}
            )

    def log(self, step: int, seconds: float, values: dict[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        line = {"step": step, "seconds": round(seconds, 2)} | values
        if _is_validation(line) and step in self._validated:  # a finished run that was resumed says the same again
            return
        # Strict JSON has no NaN: a diverged run must stay readable everywhere.
        strict = {name: value if math.isfinite(value) else str(value) for name, value in line.items()}
        with place_errors_told(self.path, DISK_FULL | {errno.ENOENT}, RESUME), self.path.open("a") as file:
            file.write(json.dumps(strict) + "\n")
        shown = {name: value for name, value in line.items() if name.count("/") < 2}
        print(" ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in shown.items()), flush=True)
        if self.config.trackers:
            self.accelerator.log(values, step=step)

    def picture(self, step: int, name: str, path: Path) -> None:
        """A picture file of this step, for the trackers that show pictures."""
        if not self.accelerator.is_main_process or not self.config.trackers:
            return
        import numpy as np
        from PIL import Image

        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        for tracker in self.accelerator.trackers:
            if tracker.name == "wandb":
                tracker.log_images({name: [pixels]}, step=step)
            elif tracker.name == "tensorboard":
                tracker.writer.add_image(name, pixels, step, dataformats="HWC")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; one that a killed run left half-written is passed over."""
    if not is_file(path):
        return []
    with reading(path, "file of metrics", "move it away"):
        texts = read_bytes(path).splitlines()
    lines = []
    for text in texts:
        with contextlib.suppress(*READ_ERRORS):
            line = parse_json(text, dict[str, Any])
            if isinstance(line.get("step"), int):
                lines.append(line)
    return lines


def _is_validation(line: dict[str, Any]) -> bool:
    return "validation/loss" in line
