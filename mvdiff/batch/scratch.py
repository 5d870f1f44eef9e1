"""Folders of photos at work, and the removal of those that ended workers left behind."""

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "mvdiff-batch-"


@contextlib.contextmanager
def scratch(out: Path | None) -> Iterator[tuple[Path, Path]]:
    """Two empty folders for a photo at work; on the results' own disk where that is local, so that they can be renamed
    into place."""
    parent = None if out is None else out / ".work"
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{socket.gethostname()}-{os.getpid()}-", dir=parent))
    try:
        (folder / "result").mkdir()
        yield folder / "work", folder / "result"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale(out: Path | None) -> None:
    """Remove what ended workers of this machine left behind."""
    parent = Path(tempfile.gettempdir()) if out is None else out / ".work"
    for folder in parent.glob(f"{_PREFIX}{socket.gethostname()}-*"):
        pid = folder.name.removeprefix(f"{_PREFIX}{socket.gethostname()}-").partition("-")[0]
        if pid.isdecimal() and not _lives(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
