"""The driver of a batch: gives out what is missing, keeps the rows, retries what was lost."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from mvdiff.batch.config import BatchConfig
from mvdiff.batch.engines.crew import Crew, Died, again
from mvdiff.batch.host import Outcome, Task
from mvdiff.batch.index import write_index
from mvdiff.batch.keys import digest_of, key_of
from mvdiff.batch.progress import Progress
from mvdiff.batch.readers.listing import open_listing
from mvdiff.batch.readers.photo import Listing
from mvdiff.batch.results import BatchFolder, State
from mvdiff.batch.store import Store, StoreLost
from mvdiff.batch.summary import write_tables
from mvdiff.batch.table import PartWriter, survey
from mvdiff.batch.tally import BatchResult, Tally
from recon.core.errors import InputError
from recon.io.folders import place_errors_told
from recon.io.locks import FolderLock, hold

_TICK = 0.5


def run_batch(config: BatchConfig, show: Callable[[str], None] = lambda text: None) -> BatchResult:
    """Make what is missing of a batch, then write its tables and its index.

    Args:
        config: photos, place of the results, settings and workers.
        show: called with sentences about the state.

    Raises:
        InputError: the listing, the place or the settings cannot be used, the results in the place have other
            settings, or the place does not take results any more.
    """
    config.crew.check()
    listing = open_listing(config.photos, config.column)
    store = Store(config.out, config.crew.patience)
    lock = _claim(store)
    crew = make_crew(config)
    try:
        return _Run(config, listing, BatchFolder(store), crew, show).finish()
    except StoreLost as error:
        raise InputError(f"{error}: run the same command again to go on.") from error
    finally:
        crew.close()
        del lock


def make_crew(config: BatchConfig) -> Crew:
    """The workers of the engine that ``config`` names."""
    if config.crew.engine == "ray":
        from mvdiff.batch.engines.on_ray import RayCrew

        return RayCrew(config)
    from mvdiff.batch.engines.local import LocalCrew

    return LocalCrew(config)


def _claim(store: Store) -> FolderLock | None:
    """Keep a second driver out of a local folder."""
    if store.folder is None:
        return None
    with place_errors_told(store.folder):
        store.folder.mkdir(parents=True, exist_ok=True)
    return hold(store.folder)[0]


class _Run:
    def __init__(
        self, config: BatchConfig, listing: Listing, folder: BatchFolder, crew: Crew, show: Callable[[str], None]
    ) -> None:
        self._config, self._listing, self._folder = config, listing, folder
        self._crew, self._show, self._tally = crew, show, Tally()
        self._parts = PartWriter(folder.store)

    def finish(self) -> BatchResult:
        facts = self._crew.first_facts()
        settings = self._folder.claim(facts["settings"])
        states = survey(self._folder, self._parts.add)
        tasks = self._tasks(settings, states)
        total = self._listing.count()
        first = next(tasks, None)
        if first is not None:
            self._tally.workers = self._crew.size(facts["facts"])
            self._crew.hire(self._tally.workers)
            self._show(f"{self._tally.workers} workers on {facts['facts'].get('device', 'unknown devices')}")
            with Progress(total, self._tally.skipped) as progress:
                self._work(first, tasks, progress)
        self._parts.flush()
        self._tally.deaths = self._crew.deaths
        totals = write_tables(self._folder.store)
        write_index(self._folder.store, totals)
        return BatchResult(self._tally, totals)

    def _tasks(self, settings: str, states: dict[bytes, State]) -> Iterator[Task]:
        """Photos without a result, each once; what may have passed since is tried again."""
        seen: set[bytes] = set()
        over = {"done"} if self._config.retry_failed else {"done", "bad"}

        def wanted(name: str) -> bool:
            digest = digest_of(key_of(name, settings))
            if digest in seen:
                return False
            seen.add(digest)
            self._tally.skipped += states.get(digest) in over
            return states.get(digest) not in over

        for photo in self._listing.photos(wanted):
            key = key_of(photo.name, settings)
            yield Task(key, photo, was=states.get(digest_of(key)))

    def _work(self, first: Task, tasks: Iterator[Task], progress: Progress) -> None:
        began = time.perf_counter()
        self._crew.begin()
        left: Task | None = first
        while True:
            left = self._feed(left, tasks)
            if left is None and not self._crew.in_flight and not self._crew.returned:
                break
            for outcome in self._crew.collect(_TICK):
                self._note(outcome)
            progress.show(self._tally.done, self._tally.failed)
        self._tally.wall, self._tally.served = time.perf_counter() - began, self._crew.served

    def _feed(self, left: Task | None, tasks: Iterator[Task]) -> Task | None:
        """Fill the queues of ready workers. ``left`` is the next task, or None where there is none; so is what is
        returned: no more photos are read than there is room for."""
        while (lane := self._crew.hungry) is not None:
            if self._crew.returned:
                self._crew.give(lane, self._crew.returned.popleft())
            elif left is not None:
                self._crew.give(lane, left)
                left = next(tasks, None)
            else:
                break
        return left

    def _note(self, outcome: Outcome | Died) -> None:
        if isinstance(outcome, Died):
            self._retry(outcome.task)
            return
        if outcome.lost is not None:
            raise StoreLost(outcome.lost)
        self._tally.busy += outcome.busy
        self._keep(outcome.row)

    def _retry(self, task: Task) -> None:
        if task.attempt < self._config.crew.attempts:
            self._crew.returned.append(again(task))
            return
        text = f"Its worker ended {task.attempt} times while it worked on this photo."
        row: dict[str, Any] = {"key": task.key, "photo": task.photo.name, "state": "failed", "error": text}
        row |= {"attempts": task.attempt}
        self._folder.commit(row, task.was)
        self._keep(row)

    def _keep(self, row: dict[str, Any]) -> None:
        self._parts.add(row)
        if row["state"] == "done":
            self._tally.done += 1
        else:
            self._tally.failed += 1
