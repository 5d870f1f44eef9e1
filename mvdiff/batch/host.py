"""The frame of a worker, the same on every engine: loading, errors, measured time, and the commit of each photo."""

import importlib
import os
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mvdiff.batch.failures import fetched, judge
from mvdiff.batch.readers.photo import Photo
from mvdiff.batch.results import BatchFolder, State, run_folder
from mvdiff.batch.retrying import is_full
from mvdiff.batch.scratch import remove_stale, scratch
from mvdiff.batch.store import Store, StoreLost
from recon.core.errors import InputError
from recon.core.reading import reason

#: How often a photo is begun again in this worker while the disk is full, and the longest pause in seconds.
_FULL_PAUSES = (1.0, 3.0, 10.0, 30.0)


@runtime_checkable
class PhotoJob(Protocol):
    """The work on one photo."""

    def settings(self) -> dict[str, Any]:
        """All that results depend on, JSON-ready."""
        ...

    def facts(self) -> dict[str, Any]:
        """Facts about this worker for the driver, such as the number of GPUs that it sees."""
        ...

    def make(self, name: str, data: bytes, work: Path, result: Path) -> dict[str, Any]:
        """Fill the empty folder ``result`` and return the photo's row.

        Raises:
            InputError: the photo cannot be used.
        """
        ...


@dataclass(frozen=True)
class Task:
    """A photo to work on."""

    key: str
    photo: Photo
    attempt: int = 1
    was: State | None = None
    """State of an earlier commit that this one replaces."""


@dataclass(frozen=True)
class Outcome:
    """A photo that was worked on."""

    key: str
    row: dict[str, Any] = field(default_factory=dict)
    busy: float = 0.0
    """Seconds of work."""
    lost: str | None = None
    """Sentence about a store that cannot take results; then the batch stops."""


class Host:
    """A worker: loads its job once, then turns tasks into committed results."""

    def __init__(self, job: str, setup: dict[str, Any], out: str, patience: float, threads: int | None) -> None:
        """``job``: class of the job as ``module:name``, called with ``setup``; ``threads``: threads of this process."""
        self._job_name, self._setup, self._threads = job, setup, threads
        self._folder = BatchFolder(Store(out, patience))
        self._job: PhotoJob | None = None

    def ready(self) -> dict[str, Any]:
        """Load the job. Returns its settings and facts, or the sentence why it cannot be loaded."""
        try:
            job = self._loaded()
            return {"settings": job.settings(), "facts": job.facts() | {"pid": os.getpid()}}
        except (InputError, ImportError, OSError) as error:
            return {"error": " ".join(str(error).split())}

    def do(self, task: Task) -> Outcome:
        """Work on one photo; whatever happens, the next one can follow."""
        began = time.perf_counter()
        try:
            row = self._row(task, began)
        except StoreLost as error:
            return Outcome(task.key, busy=time.perf_counter() - began, lost=str(error))
        return Outcome(task.key, row, time.perf_counter() - began)

    def _row(self, task: Task, began: float) -> dict[str, Any]:
        if task.attempt > 1 and (row := self._folder.load(task.key, "done")) is not None:
            return row  # the worker before this one ended after its commit
        state: State
        try:
            own, state = self._made(task), "done"
        except StoreLost:
            raise
        except Exception as error:
            if is_full(error):
                raise StoreLost(f"The disk is full ({reason(error)})") from error
            state, text = judge(error)
            own = {"error": text, **({"traceback": traceback.format_exc()} if state == "failed" else {})}
        seconds = round(time.perf_counter() - began, 3)
        place = {"worker": f"{socket.gethostname()}:{os.getpid()}", "attempts": task.attempt}
        row = {"key": task.key, "photo": task.photo.name, "state": state, "seconds": seconds, **place, **own}
        self._folder.commit(row, task.was)
        return row

    def _made(self, task: Task) -> dict[str, Any]:
        """Fetch, work, publish; begun again after a pause while the disk is full."""
        data = fetched(task.photo)
        job = self._loaded()
        for pause in (*_FULL_PAUSES, None):
            try:
                with scratch(self._folder.store.folder) as (work, result):
                    row = job.make(task.photo.name, data, work, result)
                    names = sorted(p.relative_to(result).as_posix() for p in result.rglob("*") if p.is_file())
                    self._folder.store.publish(result, run_folder(task.key))
                    return row | {"folder": run_folder(task.key), "files": names}
            except Exception as error:
                if not is_full(error) or pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError("unreachable")

    def _loaded(self) -> PhotoJob:
        if self._job is None:
            module, _, name = self._job_name.partition(":")
            make: Callable[..., PhotoJob] = getattr(importlib.import_module(module), name)
            self._job = make(**self._setup, threads=self._threads)
            remove_stale(self._folder.store.folder)
        return self._job
