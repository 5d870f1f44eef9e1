"""Files that leave the program: written whole or not at all, and runs that resume."""

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recon.core.errors import InputError

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
    temporary = path.parent / f".{path.stem[:100]}{_PARTIAL}{secrets.token_hex(4)}{path.suffix}"
    with place_errors_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise InputError(f"Cannot write the file '{path}': a folder of that name is in the way.")
        temporary.open("xb").close()
    try:
        with place_errors_told(path, DISK_FULL):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        with place_errors_told(path):
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_bytes(path: str | os.PathLike, data: bytes) -> Path:
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def write_json(path: str | os.PathLike, value: Any) -> Path:
    """Strict JSON: NaN and infinities are refused, as browsers cannot read them."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return write_bytes(path, text.encode())


class OutputFolder:
    """The folder of one run. ``manifest.json`` holds its inputs and lists its files.

    The manifest is read once and kept in memory; each change of it is written at once, whole or not at all.
    """

    def __init__(self, path: Path, resumed: bool) -> None:
        """``resumed``: whether an interrupted or finished run of the same inputs was found."""
        self.path, self.resumed = path, resumed
        self._manifest: dict[str, Any] | None = None

    @staticmethod
    def create(path: str | os.PathLike, inputs: dict[str, Any], *, overwrite: bool = False) -> "OutputFolder":
        """Make or resume the folder for a run that is fully described by the JSON values ``inputs``.

        A non-empty folder of anything else is refused, unless ``overwrite``: then the files of the earlier run (and
        only those that its manifest lists) are removed first. Raises :class:`InputError` where nothing can be written.
        """
        path = Path(path)
        inputs = json.loads(json.dumps(inputs, allow_nan=False))
        with place_errors_told(path):
            if path.exists() and not path.is_dir():
                raise InputError(f"The output folder '{path}' is an existing file: choose another name.")
            path.mkdir(parents=True, exist_ok=True)
            occupied = any(path.iterdir())
        manifest = _read_manifest(path)
        if not overwrite and manifest is not None and manifest["inputs"] == inputs:
            _remove_partials(path)
            return OutputFolder(path, resumed=True)
        if occupied and not overwrite:
            found = "holds the results of other inputs" if manifest else "is not empty"
            raise InputError(f"The output folder '{path}' {found}: choose another one, or pass --overwrite.")
        if manifest is not None:
            _remove_partials(path)
            for name in manifest["files"]:
                _inside(path, name).unlink(missing_ok=True)
        write_json(path / MANIFEST, {"format": _FORMAT, "complete": False, "inputs": inputs, "files": []})
        return OutputFolder(path, resumed=False)

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
        return name in self.manifest["files"] and _inside(self.path, name).is_file()

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[Path]:
        """:func:`atomic_write` of ``path / name``, noted in the manifest."""
        target = _inside(self.path, name)
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
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        return None
    files, inputs = manifest.get("files"), manifest.get("inputs")
    valid = isinstance(inputs, dict) and isinstance(files, list) and all(isinstance(name, str) for name in files)
    return manifest if valid else None


def _inside(folder: Path, name: str) -> Path:
    """``folder / name``; a manifest from elsewhere must not reach outside its folder."""
    if Path(name).is_absolute() or ".." in Path(name).parts or not name:
        raise InputError(f"'{name}' is not a file inside the output folder '{folder}'.")
    return folder / name


def _remove_partials(folder: Path) -> None:
    for leftover in folder.rglob(f".*{_PARTIAL}*"):
        leftover.unlink(missing_ok=True)


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
