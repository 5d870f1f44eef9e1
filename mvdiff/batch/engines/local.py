"""Processes of this machine, each an executor of one process: where it dies, another one takes its place."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from mvdiff.batch.config import BatchConfig
from mvdiff.batch.engines.crew import Crew, WorkerLost
from mvdiff.batch.host import Host, Outcome, Task

_host: Host | None = None


def _become(arguments: dict[str, Any]) -> None:
    """Initialize a worker process, which ends with its driver, however that ends."""
    global _host
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _host = Host(**arguments)


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _ready() -> dict[str, Any]:
    assert _host is not None
    return _host.ready()


def _do(task: Task) -> Outcome:
    assert _host is not None
    return _host.do(task)


class LocalCrew(Crew):
    """One process a GPU, or one for each few processor cores."""

    def __init__(self, config: BatchConfig) -> None:
        super().__init__()
        self._config = config
        self._pools: dict[int, ProcessPoolExecutor] = {}
        self._gpus = 0

    def size(self, facts: dict[str, Any]) -> int:
        crew = self._config.crew
        # A device by number is one device, whatever else the machine has.
        device = str(facts.get("device", "cpu"))
        chosen = str(self._config.setup.get("model", {}).get("device", "auto"))
        if device.startswith("cuda"):
            self._gpus = 1 if ":" in chosen else max(1, int(facts.get("gpus", 1)))
            return crew.workers or self._gpus * crew.workers_per_gpu
        return crew.workers or max(1, len(os.sched_getaffinity(0)) // crew.cores_per_worker)

    def _start(self, number: int) -> Future[dict[str, Any]]:
        self._drop(number)
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(1, context, initializer=_become, initargs=(self._arguments(number),))
        self._pools[number] = pool
        return pool.submit(_ready)

    def _arguments(self, number: int) -> dict[str, Any]:
        config, setup = self._config, dict(self._config.setup)
        if self._gpus > 1:
            setup["model"] = {**setup["model"], "device": f"cuda:{number % self._gpus}"}
        arguments = {"job": config.worker, "setup": setup, "out": config.out, "patience": config.crew.patience}
        return {**arguments, "threads": config.crew.cores_per_worker}

    def _submit(self, number: int, task: Task) -> Future[Outcome]:
        try:
            return self._pools[number].submit(_do, task)
        except BrokenProcessPool as error:
            raise WorkerLost from error

    def _wait(self, handles: Sequence[Future[Any]], timeout: float) -> set[Future[Any]]:
        return wait(handles, timeout, FIRST_COMPLETED).done

    def _result(self, handle: Future[Any]) -> Any:
        try:
            return handle.result()
        except BrokenProcessPool as error:
            raise WorkerLost from error

    def close(self) -> None:
        for number in list(self._pools):
            self._drop(number)

    def _drop(self, number: int) -> None:
        pool = self._pools.pop(number, None)
        if pool is None:
            return
        if (
            pool in self._busy_pools()
        ):  # an executor waits for what its process works on: there is no public way to end it
            for process in list((pool._processes or {}).values()):
                with contextlib.suppress(ValueError):
                    process.kill()
        pool.shutdown(wait=True, cancel_futures=True)

    def _busy_pools(self) -> list[ProcessPoolExecutor]:
        busy = [lane.number for lane in self.lanes if lane.flying or lane.starting is not None]
        return [self._pools[number] for number in busy if number in self._pools]
