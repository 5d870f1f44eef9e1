"""One job for each output folder."""

import contextlib
import os
import socket
import weakref
from datetime import datetime
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from recon.core.errors import InputError
from recon.core.reading import READ_ERRORS, read_json

LOCK = ".lock"
_WAIT = 0.2  # seconds; a lock file that goes away in this moment is made anew


class Owner(msgspec.Struct, frozen=True):
    """The process that writes into a folder."""

    pid: int
    host: str
    since: str
    """Local time, ISO 8601."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


class FolderLock(FileLock):
    """The claim of this process to a folder, from :func:`hold` until the object is no longer referenced.

    The operating system gives it back when the process ends, however it ends.
    """

    def _release(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.lock_file)  # while it is held: whoever waits for it looks whether the file still has a name
        super()._release()


#: A claim belongs to the process, not to an object: the second one of a folder shares the first one's.
_HELD: "weakref.WeakValueDictionary[Path, FolderLock]" = weakref.WeakValueDictionary()


def hold(folder: Path) -> tuple[FolderLock | None, bool]:
    """Claim ``folder`` for this process.

    Returns:
        The lock, to be kept as long as the folder is written to, and whether it is a new one. None on file systems
        that know no locks.

    Raises:
        InputError: where another process holds it; the message names that process.
    """
    key = folder.resolve()
    held = _HELD.get(key)
    if held is not None and held.is_locked and Path(held.lock_file).exists():
        return held, False
    lock = FolderLock(key / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=_WAIT)
    except Timeout as error:
        raise InputError(
            f"Another job is writing to '{folder}' ({_owner(key)}): wait until it ends, or choose another folder."
        ) from error
    except (OSError, NotImplementedError):
        return None, True
    me = Owner(os.getpid(), socket.gethostname(), datetime.now().isoformat(" ", "seconds"))
    with contextlib.suppress(OSError):  # Windows lets nobody write to a locked file
        (key / LOCK).write_bytes(msgspec.json.encode(me))
    _HELD[key] = lock
    return lock, True


def is_lost(path: Path) -> Path | None:
    """The folder above ``path`` that this process holds and that somebody has removed since."""
    for folder in path.resolve().parents:
        lock = _HELD.get(folder)
        if lock is not None and lock.is_locked and not Path(lock.lock_file).exists():
            return folder
    return None


def _owner(folder: Path) -> str:
    try:
        return str(read_json(folder / LOCK, Owner))
    except READ_ERRORS:
        return "its process has not said which"
