"""Lanes of work: one process each, for each device and for work beside the model."""

import asyncio
from dataclasses import dataclass
from typing import Any

from mvdiff.serving.config import ServerConfig
from mvdiff.serving.jobs import SAMPLING, TOOLS, Kind
from mvdiff.serving.worker_process import WorkerProcess

#: Folder of the server's own records inside the output folder.
STATE = ".studio"


@dataclass
class Lane:
    """One process that works on jobs of some kinds, one at a time."""

    name: str
    worker: WorkerProcess
    kinds: tuple[Kind, ...]
    wake: asyncio.Event
    job: str | None = None
    """The job at work."""
    error: str | None = None
    """Why the process cannot be started."""


def make_lanes(config: ServerConfig) -> list[Lane]:
    """One lane for each device, and one without a model."""
    lanes = [Lane(each, WorkerProcess(_setup(config, each)), SAMPLING, asyncio.Event()) for each in config.devices]
    return [*lanes, Lane("tools", WorkerProcess(_setup(config, None)), TOOLS, asyncio.Event())]


def _setup(config: ServerConfig, device: str | None) -> dict[str, Any]:
    model = None if device is None else {**config.model, "device": device}
    extras = {name: None if value is None else str(value) for name, value in vars(config.extras).items()}
    return {"output_dir": str(config.output_dir.resolve()), "state": STATE, "model": model, "extras": extras}


def given_up(attempts: int) -> str:
    """Sentence for a job that was begun ``attempts`` times in vain."""
    return (
        f"Its worker ended {attempts} times before it was done, perhaps for lack of memory: ask for fewer hypotheses."
    )
