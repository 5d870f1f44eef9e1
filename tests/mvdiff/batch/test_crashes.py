"""Any order of crashes of drivers and workers, between any two writes, ends with the same set of results."""

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from batch_stub import hashes
from hypothesis import given, settings
from hypothesis import strategies as st

from mvdiff.batch import driver
from mvdiff.batch.config import BatchConfig, Crew
from mvdiff.batch.engines.crew import Crew as Workers
from mvdiff.batch.engines.crew import WorkerLost
from mvdiff.batch.host import Host, Task
from mvdiff.batch.store import Store

PHOTOS = 6


class Crashed(BaseException):
    """The end of a process, which no handler of errors may stop."""


class Countdown:
    """Ends a process at the n-th write from now on, before it or after it."""

    def __init__(self) -> None:
        self.left, self.after = -1, False

    def around(self, call, *args) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Crashed
        call(*args)
        if self.left == 0:
            raise Crashed


class InlineCrew(Workers):
    """Workers in this process; a crash inside one is the end of that worker."""

    def __init__(self, config: BatchConfig) -> None:
        super().__init__()
        self._config = config
        self._hosts: dict[int, Host] = {}

    def size(self, facts: dict[str, Any]) -> int:
        return 2

    def _start(self, number: int) -> Any:
        config = self._config
        self._hosts[number] = Host(config.worker, config.setup, config.out, 1.0, 1)
        return lambda: self._hosts[number].ready()

    def _submit(self, number: int, task: Task) -> Any:
        return lambda: self._hosts[number].do(task)

    def _wait(self, handles: Sequence[Any], timeout: float) -> set[Any]:
        return set(handles)

    def _result(self, handle: Any) -> Any:
        try:
            return handle()
        except Crashed as error:
            raise WorkerLost from error

    def close(self) -> None:
        pass


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 12), st.booleans(), st.booleans()), max_size=8))
def test_any_order_of_crashes_gives_the_same_set(crashes: list[tuple[int, bool, bool]]) -> None:
    """Each crash: number of the write, whether it happens after it, and whether it takes the driver along."""
    with tempfile.TemporaryDirectory() as root, _patched() as (countdown, mode):
        photos = Path(root) / "photos"
        photos.mkdir()
        for number in range(PHOTOS):
            (photos / f"{number}.png").write_text("bad" if number == 3 else f"photo {number}")
        crew = Crew(attempts=20, patience=1.0)
        config = lambda out: BatchConfig(  # noqa: E731
            str(photos), f"{root}/{out}", {}, crew=crew, worker="batch_stub:StubJob"
        )
        calm = driver.run_batch(config("calm"))
        for number, after, whole in crashes:
            countdown.left, countdown.after, mode["whole"] = number, after, whole
            with contextlib.suppress(Crashed):
                driver.run_batch(config("out"))
        countdown.left = -1
        result = driver.run_batch(config("out"))
        assert result.totals == calm.totals
        assert (result.totals.done, result.totals.failed) == (PHOTOS - 1, 1)
        assert hashes(Path(root) / "out") == hashes(Path(root) / "calm")
        names = [pq.read_table(f"{root}/{out}/summary.parquet")["photo"].to_pylist() for out in ("out", "calm")]
        assert names[0] == names[1]


class _patched:
    """Writes of the store go through a countdown; without ``whole``, a crash inside a worker spares the driver."""

    def __enter__(self) -> tuple[Countdown, dict[str, bool]]:
        countdown, mode = Countdown(), {"whole": False}
        self._plain = {name: getattr(Store, name) for name in ("write", "publish")}
        self._make, self._result = driver.make_crew, InlineCrew._result
        for name, method in self._plain.items():
            setattr(Store, name, lambda store, *args, method=method: countdown.around(method, store, *args))

        def result(crew: InlineCrew, handle: Any) -> Any:
            return handle() if mode["whole"] else self._result(crew, handle)

        driver.make_crew, InlineCrew._result = InlineCrew, result
        return countdown, mode

    def __exit__(self, *_: Any) -> None:
        for name, method in self._plain.items():
            setattr(Store, name, method)
        driver.make_crew, InlineCrew._result = self._make, self._result
