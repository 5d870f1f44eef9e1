"""Files that leave the program: written whole or not at all, and runs that resume."""

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from recon.core.errors import InputError
from recon.core.paths import inside, is_file
from recon.core.reading import READ_ERRORS, fit, read_json
from recon.io.locks import LOCK, FolderLock, hold, is_lost

MANIFEST = "manifest.json"
_FORMAT = "mvdiff-output/1"
_PARTIAL = ".partial-"

#: Errors of a disk (or an allowance) that is full.
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: Errors that lie in the place that the user chose, not in the program.
_BAD_PLACE = DISK_FULL | {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR),
    *(errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL),
}


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary file beside ``path`` (same suffix) to write; it replaces ``path`` when the block ends well.

    On any exception, Ctrl-C included, the old file stays as it was. Missing folders are created.
    """
    path = Path(path)
    lost = is_lost(path)
    if lost is not None:
        raise _removed(lost)
    temporary = path.parent / f".{path.stem[:100]}{_PARTIAL}{secrets.token_hex(4)}{path.suffix}"
    with place_errors_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise InputError(f"Cannot write the file '{path}': a folder of that name is in the way.")
        temporary.open("xb").close()
    try:
        with place_errors_told(path, DISK_FULL):
            yield temporary
        with place_errors_told(path):
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    except FileNotFoundError as error:
        if path.parent.is_dir():
            raise
        raise _removed(path.parent) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_bytes(path: str | os.PathLike, data: bytes) -> Path:
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def write_json(path: str | os.PathLike, value: Any) -> Path:
    """Strict UTF-8 JSON: NaN and infinities are refused; what is no text in a file's name becomes "?"."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return write_bytes(path, text.encode(errors="replace"))


class _Manifest(msgspec.Struct, frozen=True):
    """The entries of ``manifest.json`` that this package itself relies on."""

    format: Literal["mvdiff-output/1"]
    inputs: dict[str, Any]
    files: list[str]
    complete: bool
    seconds: dict[str, float] = {}


class OutputFolder:
    """The folder of one run. ``manifest.json`` holds its inputs and lists its files.

    The manifest is read once and kept in memory; each change of it is written at once, whole or not at all.
    """

    def __init__(self, path: Path, resumed: bool, lock: FolderLock | None = None) -> None:
        """``resumed``: whether an interrupted or finished run of the same inputs was found. ``lock``: the claim that
        keeps other processes out for as long as this object lives."""
        self.path, self.resumed, self.lock = path, resumed, lock
        self._manifest: dict[str, Any] | None = None

    @staticmethod
    def create(path: str | os.PathLike, inputs: dict[str, Any], *, overwrite: bool = False) -> "OutputFolder":
        """Make or resume the folder for a run that is fully described by the JSON values ``inputs``.

        A non-empty folder of anything else is refused, unless ``overwrite``: then the files of the earlier run (and
        only those that its manifest lists) are removed first. Raises :class:`InputError` where nothing can be written,
        or another process is writing.
        """
        path = Path(path)
        inputs = json.loads(json.dumps(inputs, ensure_ascii=False, allow_nan=False).encode(errors="replace"))
        with place_errors_told(path):
            if path.exists() and not path.is_dir():
                raise InputError(f"The output folder '{path}' is an existing file: choose another name.")
            path.mkdir(parents=True, exist_ok=True)
            lock, fresh = hold(path)
            occupied = any(child.name != LOCK for child in path.iterdir())
        if fresh:  # else they may belong to a job of this very process
            _remove_partials(path)
        manifest = _read_manifest(path)
        if not overwrite and manifest is not None and manifest["inputs"] == inputs:
            return OutputFolder(path, resumed=True, lock=lock)
        if occupied and not overwrite:
            found = "holds the results of other inputs or settings" if manifest else "is not empty"
            raise InputError(f"The output folder '{path}' {found}: choose another one, or pass --overwrite.")
        if manifest is not None:
            for old in [inside(path, name) for name in manifest["files"]]:
                old.unlink(missing_ok=True)
        write_json(path / MANIFEST, {"format": _FORMAT, "complete": False, "inputs": inputs, "files": []})
        return OutputFolder(path, resumed=False, lock=lock)

    @property
    def manifest(self) -> dict[str, Any]:
        """Content of ``manifest.json``; change it by :meth:`update` only."""
        if self._manifest is None:
            self._manifest = _read_manifest(self.path)
        if self._manifest is None:
            raise InputError(f"'{self.path / MANIFEST}' is missing or damaged: start again with --overwrite.")
        return self._manifest

    def has(self, name: str) -> bool:
        """Whether this run has already written ``name`` (whole, as writes are atomic)."""
        return name in self.manifest["files"] and is_file(inside(self.path, name))

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[Path]:
        """:func:`atomic_write` of ``path / name``, noted in the manifest."""
        target = inside(self.path, name)
        self.list_files(name)
        with atomic_write(target) as temporary:
            yield temporary

    def list_files(self, *names: str) -> None:
        """List files before they are written: a listed one that is missing is made again, an unlisted one would stay
        for ever."""
        known = set(self.manifest["files"])
        new = [name for name in dict.fromkeys(names) if name not in known]
        if new:
            self.update(files=[*self.manifest["files"], *new])

    def update(self, **entries: Any) -> None:
        """Set further entries of the manifest."""
        manifest = {**self.manifest, **entries}
        write_json(self.path / MANIFEST, manifest)
        self._manifest = manifest

    def finish(self, **entries: Any) -> None:
        """Mark the run as complete."""
        self.update(complete=True, **entries)


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = read_json(folder / MANIFEST, dict[str, Any])
        fit(manifest, _Manifest)
    except READ_ERRORS:
        return None
    return manifest


def _remove_partials(folder: Path) -> None:
    for leftover in folder.rglob(f".*{_PARTIAL}*"):
        leftover.unlink(missing_ok=True)


def _removed(folder: Path) -> InputError:
    return InputError(
        f"The folder '{folder}' was removed while results were written to it: run the same command again."
    )


@contextlib.contextmanager
def place_errors_told(
    path: Path, errors: set[int] = _BAD_PLACE, advice: str = "choose another output folder"
) -> Iterator[None]:
    """:class:`InputError` with ``advice`` for those ``errors`` of writing to ``path`` that lie in the place."""
    try:
        yield
    except OSError as error:
        if error.errno not in errors:
            raise
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"Cannot write to '{path}' ({reason}): {advice}.") from error


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable, where the system can (Windows cannot open folders)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
