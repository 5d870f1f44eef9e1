"""Progress bars on stderr, so that stdout stays for results."""

import contextlib
from collections.abc import Callable, Iterator

_NAMES = {
    "sample": "sampling views",
    "shapes": "sampling shapes",
    "reconstruct": "reconstructing",
    "register": "registering meshes",
    "posterior": "posterior",
    "write": "writing",
}


@contextlib.contextmanager
def progress_bars(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """A callback (stage, done, total) that draws one bar for the stage at work."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, int] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                for task in tasks.values():
                    bars.update(task, completed=bars.tasks[task].total)
                tasks[stage] = bars.add_task(f"{title}: {_NAMES.get(stage, stage)}", total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report
