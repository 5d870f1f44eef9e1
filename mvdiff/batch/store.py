"""Storage of a batch's results: a local folder, or a place behind an fsspec URL."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from mvdiff.batch.retrying import passes, patiently
from mvdiff.runs.remote import is_url
from recon.core.errors import InputError
from recon.io.folders import atomic_write

T = TypeVar("T")


class StoreLost(Exception):
    """The store did not answer, or had no room, for as long as patience lasted."""


class Store:
    """Files by name below one root. Every call is tried again while its error may pass."""

    def __init__(self, url: str, patience: float = 600.0) -> None:
        """``patience``: seconds that one call is tried before :class:`StoreLost` is raised."""
        import fsspec

        self.url, self.patience = url.rstrip("/") or "/", patience
        try:
            # No cache of listings: other processes write here, too.
            kwargs = {"use_listings_cache": False} if is_url(url) else {}
            self._files, root = fsspec.core.url_to_fs(self.url, **kwargs)
        except (ImportError, ValueError) as error:
            raise InputError(f"'{url}' cannot be used ({error}): check the address and its package.") from error
        self._root = root.rstrip("/")

    @property
    def folder(self) -> Path | None:
        """The root as a local folder, where it is one."""
        protocol = self._files.protocol
        names = (protocol,) if isinstance(protocol, str) else protocol
        return Path(self._root) if "file" in names else None

    def read(self, name: str) -> bytes | None:
        """Content of a file, or None where there is none."""
        try:
            return self._call(self._files.cat_file, self._path(name))
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Replace a file, whole or not at all."""
        if self.folder is None:
            self._call(self._files.pipe_file, self._path(name), data)
        else:
            self._call(_write_local, self.folder / name, data)

    def publish(self, folder: Path, name: str) -> None:
        """Make the files of a local ``folder`` those of ``name``; on a local disk by one renaming, so that readers see
        all of them or none."""
        if self.folder is not None:
            self._call(_rename, folder, self.folder / name)
            return
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            self._call(self._files.put_file, str(path), self._path(f"{name}/{path.relative_to(folder).as_posix()}"))

    def names(self, prefix: str) -> list[str]:
        """Names of the files directly inside ``prefix``, sorted."""
        try:
            found = self._call(self._files.ls, self._path(prefix), detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def remove(self, name: str) -> None:
        """Remove a file or a folder, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._call(self._files.rm, self._path(name), recursive=True)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    def _call(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        try:
            return patiently(call, *args, patience=self.patience, **kwargs)
        except FileNotFoundError:
            raise
        except Exception as error:
            if passes(error):
                raise StoreLost(f"'{self.url}' does not take results ({_words(error)})") from error
            raise InputError(f"Cannot use '{self.url}' ({_words(error)}): check the address and rights.") from error


def _write_local(path: Path, data: bytes) -> None:
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
    except InputError as error:  # its cause says whether waiting helps
        raise error.__cause__ or error from error


def _rename(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():  # published, but not committed: the worker ended in between
        shutil.rmtree(target)
    os.replace(source, target)


def _words(error: BaseException) -> str:
    text = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
    return text[:200].rstrip(".")


def shards() -> Iterator[str]:
    """The 256 subfolders of :func:`mvdiff.batch.keys.shard_of`."""
    return (f"{number:02x}" for number in range(256))
