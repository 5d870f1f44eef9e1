"""Stopwatch for named stages."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Accumulated time per stage; synchronizes the GPU at both ends of a stage, so that its work counts there."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        """Wall time."""
        self.cpu_seconds: dict[str, float] = defaultdict(float)
        """Processor seconds of all threads of this process; unlike wall time, they do not depend on other programs."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        _wait()
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        _wait()
        self.seconds[name] += time.perf_counter() - wall
        self.cpu_seconds[name] += time.process_time() - cpu


def _wait() -> None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
