"""The job engine: queue, lanes of work, cancelling, time limits, and news for whoever watches."""

import asyncio
import contextlib
import logging
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from mvdiff.serving.config import ServerConfig
from mvdiff.serving.jobs import SAMPLING, Job, JobTable, Kind
from mvdiff.serving.lanes import STATE, Lane, given_up, make_lanes
from mvdiff.serving.metrics import Metrics
from mvdiff.serving.worker_process import WorkerEnded

#: Seconds that a canceled task has to stop by itself before its process is killed.
_GRACE = 2.0
#: How often a job is begun before it is given up: its worker or the server ended each time.
_ATTEMPTS = 3

_log = logging.getLogger("mvdiff.serving")


class QueueFullError(Exception):
    """As many jobs wait as may."""


class Engine:
    """Runs the jobs of one output folder. All methods belong to one event loop."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.state_dir = config.output_dir / STATE
        self.metrics = Metrics()
        self.lanes = make_lanes(config)
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the table, take up interrupted jobs, and start the workers of the devices."""
        self.table = JobTable(self.state_dir / "jobs.sqlite")
        for job in self.table.in_state("running"):
            if job.attempts >= _ATTEMPTS:
                self.table.update(job, state="failed", ended=time.time(), error=given_up(job.attempts))
            else:
                self.table.update(job, state="queued")
        self._tasks = [asyncio.create_task(self._serve(lane)) for lane in self.lanes]

    async def close(self) -> None:
        """Stop at once; jobs at work go on when a server is started again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(lane.worker.close() for lane in self.lanes))
        for watcher in [each for group in self._watchers.values() for each in group]:
            watcher.set()
        self.table.close()

    @property
    def closing(self) -> bool:
        return all(task.done() for task in self._tasks)

    def submit(self, kind: Kind, owner: str, request: dict[str, Any], name: str | None = None) -> Job:
        """Queue a job; it fills a run folder whose name begins with ``name``, where one is given.

        Raises:
            QueueFullError: as many jobs wait as may.
        """
        if self.table.count("queued") >= self.config.limits.queue_length:
            raise QueueFullError
        job_id = secrets.token_hex(8)
        run = None if name is None else f"{name}-{job_id}"
        job = self.table.add(Job(job_id, kind, owner, request, run))
        for lane in self.lanes:
            lane.wake.set()
        return job

    async def cancel(self, job: Job) -> Job:
        """Give a job up; one that is over stays as it is."""
        if job.over:
            return job
        job = self._update(job, state="cancelled", ended=time.time())
        for lane in self.lanes:
            if lane.job == job.id:
                await lane.worker.ask_to_stop()
                asyncio.get_running_loop().call_later(_GRACE, self._kill_if_still, lane, job.id)
        return job

    async def watch(self, job_id: str) -> AsyncIterator[Job]:
        """The job now and after each change, until it is over or the server ends; changes in between may be skipped."""
        changed = asyncio.Event()
        self._watchers.setdefault(job_id, set()).add(changed)
        try:
            while (job := self.table.get(job_id)) is not None:
                yield job
                if job.over or self.closing:
                    return
                await changed.wait()
                changed.clear()
        finally:
            self._watchers[job_id].discard(changed)
            if not self._watchers[job_id]:
                del self._watchers[job_id]

    def job_dir(self, job_id: str) -> Path:
        """Folder of a job's previews and exports."""
        return self.state_dir / "jobs" / job_id

    def _update(self, job: Job, **entries: Any) -> Job:
        job = self.table.update(job, **entries)
        for watcher in self._watchers.get(job.id, ()):
            watcher.set()
        return job

    async def _serve(self, lane: Lane) -> None:
        """Work on one job after the other."""
        if lane.kinds == SAMPLING:  # the model is read before the first job asks for it
            await self._ready(lane)
        while True:
            lane.wake.clear()
            job = self.table.next(lane.kinds)
            if job is None:
                await lane.wake.wait()
            elif await self._ready(lane):
                await self._work(lane, job)
            else:
                self._update(job, state="failed", ended=time.time(), error=lane.error)

    async def _ready(self, lane: Lane) -> bool:
        try:
            await lane.worker.ensure_ready()
            lane.error = None
        except WorkerEnded as error:
            lane.error = f"The worker of '{lane.name}' cannot start: {error}"
            _log.error(lane.error)
        return lane.error is None

    async def _work(self, lane: Lane, job: Job) -> None:
        current = self.table.get(job.id)
        if current is None or current.state != "queued":  # canceled while the worker started
            return
        job = self._update(job, state="running", started=time.time(), attempts=job.attempts + 1)
        lane.job = job.id
        try:
            async with asyncio.timeout(self.config.limits.time_limit):
                await self._follow(lane, job)
        except TimeoutError:
            await lane.worker.close()
            limit = self.config.limits.time_limit
            self._end(job.id, "failed", f"It took longer than {limit:g} seconds: ask for fewer hypotheses.")
        except WorkerEnded as error:
            self._recover(job.id, str(error))
        finally:
            lane.job = None
        await self._clear_away(job)

    async def _clear_away(self, job: Job) -> None:
        """Remove what a canceled job has left of its run."""
        current = self.table.get(job.id)
        if current is not None and current.state == "cancelled" and job.run is not None:
            await asyncio.to_thread(shutil.rmtree, self.config.output_dir / job.run, ignore_errors=True)

    async def _follow(self, lane: Lane, job: Job) -> None:
        """Keep a worker's report about a job."""
        task = {"id": job.id, "kind": job.kind, "run": job.run, "request": job.request}
        async with contextlib.aclosing(lane.worker.run(task)) as events:
            async for event in events:
                current = self.table.get(job.id)
                assert current is not None
                if event["event"] == "end":
                    self.metrics.note_worker(lane.name, event)
                    self._end(
                        job.id, event["state"], event.get("error"), event.get("files", ()), event.get("notes", ())
                    )
                elif not current.over:
                    self._note(current, event)

    def _note(self, job: Job, event: dict[str, Any]) -> None:
        if event["event"] == "preview":
            drawn = job.previews + [0] * (event["chunk"] + 1 - len(job.previews))
            drawn[event["chunk"]] += 1
            self._update(job, previews=drawn)
        else:
            own = {name: event[name] for name in ("stage", "done", "total")}
            self._update(job, seconds=event["seconds"], **own)

    def _end(
        self, job_id: str, state: str, error: str | None, files: Sequence[str] = (), notes: Sequence[str] = ()
    ) -> None:
        job = self.table.get(job_id)
        if job is None or job.over:
            return
        ended = {"state": state, "ended": time.time(), "files": list(files), "notes": list(notes)}
        self.metrics.note_job(self._update(job, error=error, **ended))

    def _recover(self, job_id: str, reason: str) -> None:
        """Queue a job again whose worker ended, unless that happened often."""
        job = self.table.get(job_id)
        if job is None or job.over:
            return
        _log.warning("worker ended at job %s: %s", job_id, reason)
        if job.attempts < _ATTEMPTS:
            self._update(job, state="queued")
        else:
            self._end(job_id, "failed", given_up(job.attempts))

    def _kill_if_still(self, lane: Lane, job_id: str) -> None:
        if lane.job == job_id:
            lane.worker.kill()
