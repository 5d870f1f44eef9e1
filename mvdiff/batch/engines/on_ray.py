"""Actors of a Ray cluster. Ray places them, restarts them and moves them off lost nodes."""

import contextlib
import logging
from collections.abc import Sequence
from typing import Any

from mvdiff.batch.config import BatchConfig
from mvdiff.batch.engines.crew import Crew, WorkerLost
from mvdiff.batch.host import Host, Task
from recon.core.errors import InputError


class RayCrew(Crew):
    """One actor a GPU (or a share of it), or one for each few processor cores; spread over the nodes."""

    def __init__(self, config: BatchConfig) -> None:
        super().__init__()
        import ray

        self._config, self._ray = config, ray
        self._actors: dict[int, Any] = {}
        self._own = not ray.is_initialized()
        if self._own:
            _connect(config.crew.ray_address)
        device = str(config.setup.get("model", {}).get("device", "auto"))
        # An autoscaled cluster may have no GPU yet: then --device cuda says that there will be.
        self._gpus = 0.0 if device == "cpu" else float(ray.cluster_resources().get("GPU", device.startswith("cuda")))

    def size(self, facts: dict[str, Any]) -> int:
        crew = self._config.crew
        if crew.workers is not None:
            return crew.workers
        if self._gpus:
            return max(1, int(self._gpus * crew.workers_per_gpu))
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)) // crew.cores_per_worker)

    def _start(self, number: int) -> Any:
        if number not in self._actors:
            crew = self._config.crew
            needs: dict[str, Any] = {"num_cpus": crew.cores_per_worker}
            if self._gpus:
                needs = {"num_cpus": 1, "num_gpus": 1 / crew.workers_per_gpu}
            actor = self._ray.remote(Host).options(
                **needs, max_restarts=-1, max_task_retries=0, scheduling_strategy="SPREAD"
            )
            config = self._config
            self._actors[number] = actor.remote(
                config.worker, config.setup, config.out, crew.patience, crew.cores_per_worker
            )
        return self._actors[number].ready.remote()

    def _submit(self, number: int, task: Task) -> Any:
        return self._actors[number].do.remote(task)

    def _wait(self, handles: Sequence[Any], timeout: float) -> set[Any]:
        ready, rest = self._ray.wait(list(handles), num_returns=1, timeout=timeout)
        if ready and rest:  # whatever else is there already
            ready, _ = self._ray.wait(list(handles), num_returns=len(handles), timeout=0)
        return set(ready)

    def _result(self, handle: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(handle)
        except (errors.RayActorError, errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError) as error:
            raise WorkerLost from error
        except errors.OutOfMemoryError as error:
            raise WorkerLost from error

    def close(self) -> None:
        for actor in self._actors.values():
            with contextlib.suppress(Exception):
                self._ray.kill(actor, no_restart=True)
        self._actors.clear()
        if self._own:
            self._ray.shutdown()


def _connect(address: str | None) -> None:
    """Join the cluster at ``address`` (or that of RAY_ADDRESS), or start one of this machine alone."""
    import os

    import ray

    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "namespace": "mvdiff-batch"}
    if address is None and "RAY_ADDRESS" not in os.environ:
        ray.init(include_dashboard=False, **options)
        return
    try:
        ray.init(address=address or "auto", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(f"No Ray cluster answers at '{address}' ({text}): check --ray-address.") from error
