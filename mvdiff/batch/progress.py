"""Progress of a batch: rate, remaining time and failures, as a bar on a terminal and as lines elsewhere."""

import time
from collections import deque
from typing import Any

#: Seconds over which the rate is measured, and between two lines where there is no terminal.
_WINDOW, _LINES = 120.0, 30.0


class Rate:
    """Photos a second over the last two minutes."""

    def __init__(self) -> None:
        self._times: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def update(self, finished: int) -> float:
        now = time.monotonic()
        if now - self._times[-1][0] > 0.5:
            self._times.append((now, finished))
        while len(self._times) > 2 and now - self._times[0][0] > _WINDOW:
            self._times.popleft()
        since, before = self._times[0]
        return (finished - before) / max(now - since, 1e-6)


class Progress:
    """Draws the progress on standard error."""

    def __init__(self, total: int | None, already: int) -> None:
        """``total``: photos of the listing, where that is known; ``already``: results of earlier runs."""
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        self._total, self._already, self._rate = total, already, Rate()
        self._console = Console(stderr=True)
        self._bars = Bars(TextColumn("{task.description}"), BarColumn(), console=self._console, transient=True)
        self._task = self._bars.add_task("photos", total=total)
        self._next = time.monotonic() + _LINES

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bars.stop()

    def show(self, done: int, failed: int) -> None:
        """``done`` and ``failed``: photos of this run."""
        finished = done + failed
        rate = self._rate.update(finished)
        text = sentence(self._already + finished, self._total, rate, failed)
        if self._console.is_terminal:
            self._bars.update(self._task, completed=self._already + finished, description=text)
        elif time.monotonic() > self._next:
            self._next = time.monotonic() + _LINES
            self._console.print(text, highlight=False, soft_wrap=True)


def sentence(finished: int, total: int | None, rate: float, failed: int) -> str:
    """State of a batch on one line."""
    of = "" if total is None else f" of {total:,}"
    left = "" if total is None or rate <= 0 else f", {duration(max(0, total - finished) / rate)} left"
    speed = f"{rate:.1f} a second" if rate >= 1 else f"{rate * 60:.1f} a minute"
    return f"{finished:,}{of} photos, {speed}{left}, {failed:,} failed"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
