"""Workers with a short queue each; one that ends is replaced, and its photos are given out again."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mvdiff.batch.host import Outcome, Task
from recon.core.errors import InputError

#: Photos in flight for a worker: one at work and one that waits, so that none waits for the driver.
DEPTH = 2
#: Seconds to wait before a worker that did not start is started again, and how long none may be at work.
_PAUSE, _LONGEST_START = 2.0, 900.0


class WorkerLost(Exception):
    """A worker ended while something was expected from it."""


@dataclass(frozen=True)
class Died:
    """A photo whose worker ended at it."""

    task: Task


@dataclass
class Lane:
    """One worker and what is in flight for it."""

    number: int
    starting: Any = None
    """Handle of the call that loads the job, while it is awaited."""
    facts: dict[str, Any] | None = None
    """Answer of that call."""
    since: float = 0.0
    """Time of that answer."""
    again: float = 0.0
    """Time at which a worker that did not start is to be started again."""
    flying: deque[tuple[Task, Any]] = field(default_factory=deque)
    """Tasks with their handles, the one at work first."""


class Crew:
    """Workers of one engine. Subclasses start them, submit to them and wait for handles."""

    def __init__(self) -> None:
        self.lanes: list[Lane] = []
        self.deaths = 0
        self.returned: deque[Task] = deque()
        """Tasks that were given to a worker which ended before it began with them."""
        self._idle_since = time.monotonic()
        self._served = 0.0

    # What an engine must do

    def _start(self, number: int) -> Any:
        """Start (or await) worker ``number``; the handle gives what :meth:`Host.ready` returns."""
        raise NotImplementedError

    def _submit(self, number: int, task: Task) -> Any:
        raise NotImplementedError

    def _wait(self, handles: Sequence[Any], timeout: float) -> set[Any]:
        """The handles that are ready, after at most ``timeout`` seconds if none is."""
        raise NotImplementedError

    def _result(self, handle: Any) -> Any:
        """Raises :class:`WorkerLost`."""
        raise NotImplementedError

    def size(self, facts: dict[str, Any]) -> int:
        """Number of workers, given the facts of the first one."""
        raise NotImplementedError

    def close(self) -> None:
        """End all workers."""
        raise NotImplementedError

    # What they have in common

    def hire(self, number: int) -> None:
        """Start workers until there are ``number``."""
        while len(self.lanes) < number:
            lane = Lane(len(self.lanes))
            lane.starting = self._start(lane.number)
            self.lanes.append(lane)

    def first_facts(self) -> dict[str, Any]:
        """Start one worker and return what it says. Raises :class:`InputError` where it cannot load its job."""
        self.hire(1)
        while self.lanes[0].facts is None:
            for _ in self.collect(1.0):
                pass
        return self.lanes[0].facts

    @property
    def hungry(self) -> Lane | None:
        """The ready worker with the shortest queue, or None where all queues are full."""
        free = [lane for lane in self.lanes if lane.facts is not None and len(lane.flying) < DEPTH]
        return min(free, key=lambda lane: len(lane.flying), default=None)

    def begin(self) -> None:
        """Measure the workers' time from now on."""
        now, self._served = time.monotonic(), 0.0
        for lane in self.lanes:
            lane.since = max(lane.since, now)

    @property
    def served(self) -> float:
        """Seconds for which workers were ready, all together."""
        now = time.monotonic()
        return self._served + sum(now - lane.since for lane in self.lanes if lane.facts is not None)

    @property
    def in_flight(self) -> int:
        return sum(len(lane.flying) for lane in self.lanes)

    def give(self, lane: Lane, task: Task) -> None:
        try:
            lane.flying.append((task, self._submit(lane.number, task)))
        except WorkerLost:
            self.returned.append(task)
            self._lose(lane)

    def collect(self, timeout: float) -> Iterator[Outcome | Died]:
        """Outcomes that are there after at most ``timeout`` seconds."""
        self._restart()
        starting = {id(lane.starting): lane for lane in self.lanes if lane.starting is not None}
        handles = [lane.starting for lane in starting.values()]
        handles += [handle for lane in self.lanes for _, handle in lane.flying]
        if not handles:
            time.sleep(min(timeout, 0.2))
            return
        ready = self._wait(handles, timeout)
        for lane in self.lanes:
            if lane.starting is not None and lane.starting in ready:
                self._welcome(lane)
            while lane.flying and lane.flying[0][1] in ready:
                task, handle = lane.flying[0]
                try:
                    outcome = self._result(handle)
                except WorkerLost:
                    lane.flying.popleft()
                    self._lose(lane)
                    yield Died(task)
                else:
                    lane.flying.popleft()
                    yield outcome

    def _welcome(self, lane: Lane) -> None:
        handle, lane.starting = lane.starting, None
        try:
            answer = self._result(handle)
        except WorkerLost:
            lane.again = time.monotonic() + _PAUSE
            return
        if "error" in answer:
            raise InputError(answer["error"])
        lane.facts, lane.since = answer, time.monotonic()

    def _lose(self, lane: Lane) -> None:
        """Take back what waits in the queue of a worker that has ended, and await its successor."""
        self.deaths += 1
        self._served += time.monotonic() - lane.since if lane.facts is not None else 0.0
        self.returned += [task for task, _ in lane.flying]
        lane.flying.clear()
        lane.facts, lane.starting, lane.again = None, None, time.monotonic()

    def _restart(self) -> None:
        now = time.monotonic()
        if any(lane.facts is not None for lane in self.lanes):
            self._idle_since = now
        elif now - self._idle_since > _LONGEST_START:
            raise InputError(
                f"No worker could be started for {_LONGEST_START:.0f} seconds: look at the memory and at the cluster."
            )
        for lane in self.lanes:
            if lane.facts is None and lane.starting is None and now >= lane.again:
                lane.starting = self._start(lane.number)


def again(task: Task) -> Task:
    """The task for another attempt."""
    return replace(task, attempt=task.attempt + 1)
