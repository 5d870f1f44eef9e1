"""Thread pools over hypotheses, as many threads as torch may use."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(
    function: Callable[[_Item], _Result], items: Sequence[_Item], done: Callable[[int], None] | None = None
) -> list[_Result]:
    """Apply ``function`` to each item, in order, on as many threads as torch has, each single-threaded inside.

    A caller that has left torch one thread (``torch.set_num_threads(1)``, OMP_NUM_THREADS) runs its own jobs beside
    each other and gets no more here. ``done`` hears how many are ready. An error, ``done``'s own and Ctrl-C too, ends
    the work once the items that are begun are finished.
    """
    workers = min(torch.get_num_threads(), len(items))
    if workers < 2:
        return _collected(map(function, items), done)
    with worker_threads(workers) as pool:
        return _collected(pool.map(function, items), done)


def each(function: Callable[[_Item], _Result], items: Sequence[_Item], device: torch.device) -> list[_Result]:
    """Apply ``function`` to each item, in order: in threads on a CPU, sequentially on CUDA.

    On CUDA launches hold the GIL, so threads only add overhead.
    """
    return list(map(function, items)) if device.type == "cuda" else in_threads(function, items)


@contextmanager
def meanwhile(function: Callable[[_Item], object], items: Sequence[_Item]) -> Iterator[None]:
    """:func:`in_threads` beside what the block does; when the block ends, both are finished."""
    workers = min(torch.get_num_threads() // 2, len(items))
    if workers < 1:
        in_threads(function, items)
        yield
        return
    with worker_threads(workers) as pool:
        results = pool.map(function, items)
        yield
        list(results)  # raises what the work raised


@contextmanager
def worker_threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Pool of single-core threads with the caller's gradient mode and CUDA stream.

    At the end running tasks are finished and pending ones dropped.
    """
    threads, gradients = torch.get_num_threads(), torch.is_grad_enabled()
    stream = torch.cuda.current_stream() if torch.cuda.is_initialized() else None

    def begin() -> None:
        torch.set_num_threads(1)
        torch.set_grad_enabled(gradients)
        if stream is not None:
            torch.cuda.set_stream(stream)

    pool = ThreadPoolExecutor(workers, initializer=begin)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        # Parts of torch apply a worker's setting to all threads.
        torch.set_num_threads(threads)


def _collected(results: Iterable[_Result], done: Callable[[int], None] | None) -> list[_Result]:
    made = []
    for result in results:
        made.append(result)
        if done:
            done(len(made))
    return made
