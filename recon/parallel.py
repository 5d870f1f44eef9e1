"""The same work for several hypotheses in threads, as far as torch may use more than one."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
    """``function`` of each item, in their order. One thread for each of torch's, and none inside them.

    A caller that has left torch one thread (``torch.set_num_threads(1)``, OMP_NUM_THREADS) runs its own jobs beside
    each other and gets no more here.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(items))
    if workers < 2:
        yield from map(function, items)
        return
    gradients = torch.is_grad_enabled()

    def run(item: _Item) -> _Result:
        with torch.set_grad_enabled(gradients):  # a mode of each thread
            return function(item)

    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(run, items)
    finally:
        pool.shutdown(cancel_futures=True)
        # Parts of torch take what a worker set for what all threads want.
        torch.set_num_threads(threads)
