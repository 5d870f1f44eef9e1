"""Settings of a batch. Free of torch, so that the command line's help and the driver stay small."""

import importlib.util
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from recon.core.errors import InputError

EngineName = Literal["local", "ray"]
#: Parts of a run folder by the name that ``--keep`` takes.
KEEPS = ("all", "glb", "summary", "report", "views", "posterior", "photo")
#: The worker that holds a model; tests of the engine name another one.
WORKER = "mvdiff.batch.worker:PhotoWorker"


@dataclass(frozen=True)
class Crew:
    """Workers and retries."""

    engine: EngineName = "local"
    """Engine of the workers: processes of this machine ("local"), or actors of a Ray cluster ("ray")."""
    workers: int | None = None
    """Number of workers; by default one a GPU, or one for each --cores-per-worker processor cores."""
    cores_per_worker: int = 2
    """Processor cores of each worker."""
    workers_per_gpu: int = 1
    """Workers that share one GPU: two keep it busy while one of them writes."""
    attempts: int = 3
    """Most attempts at a photo whose worker ends while it works on it."""
    patience: float = 600.0
    """Seconds for which a full disk or a busy store is tried again before the batch stops."""
    ray_address: str | None = None
    """Address of the Ray cluster; by default that of RAY_ADDRESS, or else this machine alone."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if self.engine not in get_args(EngineName):
            raise InputError(f"The engine is one of {', '.join(get_args(EngineName))}, not '{self.engine}'.")
        counts = {"--cores-per-worker": self.cores_per_worker, "--workers-per-gpu": self.workers_per_gpu}
        counts |= {"--attempts": self.attempts} | ({} if self.workers is None else {"--workers": self.workers})
        for flag, value in counts.items():
            if not 1 <= value <= 100_000:
                raise InputError(f"{flag} is a number from 1 to 100,000, not {value}.")
        if not 0 <= self.patience < math.inf:
            raise InputError(f"--patience is a number of seconds, not {self.patience}.")
        needed = ("pyarrow", "tenacity", *(("ray",) if self.engine == "ray" else ()))
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
        if missing:
            extras = "batch,ray" if self.engine == "ray" else "batch"
            raise InputError(f"A batch needs {', '.join(missing)}: pip install 'mvdiff[{extras}]'.")


@dataclass(frozen=True)
class BatchConfig:
    """Everything that a batch needs to know."""

    photos: str
    """Folder, listing, tar shards or parquet files; a path or an fsspec URL."""
    out: str
    """Folder or fsspec URL of the results."""
    setup: dict[str, Any]
    """Settings for the workers, JSON-ready; see the worker's class."""
    column: str | None = None
    """Column of a table that holds the photos."""
    retry_failed: bool = False
    """Whether photos that could not be used are tried again."""
    crew: Crew = Crew()
    worker: str = WORKER
    """Class of the workers, as ``module:name``."""


def parse_keep(text: str) -> tuple[str, ...]:
    """ "glb,summary" to its names, sorted. Raises :class:`InputError` for names that are none of :data:`KEEPS`."""
    names = sorted({part.strip() for part in text.split(",") if part.strip()})
    unknown = [name for name in names if name not in KEEPS]
    if unknown or not names:
        raise InputError(f"--keep takes names out of {', '.join(KEEPS)}, not '{text}'.")
    return ("all",) if "all" in names else tuple(names)
