"""Processes that work through a list, and say so when one of them dies."""

import contextlib
import ctypes
import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

from recon.core.errors import InputError

Item = TypeVar("Item")

#: Numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


class Workers:
    """``count`` processes; 0 works in this one."""

    def __init__(self, count: int = 0) -> None:
        if count < 0:
            raise InputError(f"The number of workers is 0 or more, not {count}.")
        self.count = count
        self._pool = None
        if count:
            # spawn: a forked process cannot use CUDA once its parent has.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(count, context, _begin, (context.Value("i", 0),))

    def map(
        self, function: Callable[[Item], Any], items: Iterable[Item], ahead: int = 64
    ) -> Iterator[tuple[Item, Any]]:
        """Each item with what ``function`` makes of it, in order; at most ``ahead`` results wait to be taken."""
        if self._pool is None:
            for item in items:
                yield item, function(item)
            return
        pending: deque[tuple[Item, Future]] = deque()
        with deaths_told():
            for item in items:
                pending.append((item, self._pool.submit(function, item)))
                if len(pending) > ahead:
                    yield _finished(pending)
            while pending:
                yield _finished(pending)

    def submit(self, function: Callable[[Item], Any], item: Item) -> Future:
        """The answer when it is ready; without processes it is so at once."""
        if self._pool is not None:
            return self._pool.submit(function, item)
        future: Future = Future()
        future.set_result(function(item))
        return future

    def close(self) -> None:
        """Finish the jobs that have begun and drop the rest."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_number = 0


def worker_number() -> int:
    """Number of this worker process among those of its :class:`Workers`, from 0."""
    return _number


def _begin(begun: Any) -> None:
    """In a new process: one thread, behind whoever waits for the results, and freed memory stays.

    Giving big blocks back to the system and having them filled with zeros again took a tenth of the rendering time.
    """
    global _number
    with begun.get_lock():
        _number, begun.value = begun.value, begun.value + 1
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(5)  # a training step that waits for a processor leaves a whole device idle
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(library, "mallopt"):  # glibc
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(_MMAP_THRESHOLD, 1 << 25)


def _end_with_parent() -> None:
    """Exit once the parent process is gone; a worker of a killed parent would wait forever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _finished(pending: deque[tuple[Item, Future]]) -> tuple[Item, Any]:
    item, future = pending.popleft()
    return item, future.result()


@contextlib.contextmanager
def deaths_told() -> Iterator[None]:
    """A worker that was killed becomes one sentence."""
    try:
        yield
    except BrokenProcessPool as error:
        raise InputError(
            "A worker process was killed, most often because memory ran out: use fewer workers and start again."
        ) from error
