"""Run folders behind fsspec URLs (s3://, gs://, memory://): a local mirror that is uploaded stage by stage."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.io.folders import MANIFEST

#: Packages behind fsspec whose errors are no ``OSError``.
_CLIENTS = {"aiohttp", "aiobotocore", "botocore", "gcsfs", "google", "requests", "urllib3", "fsspec", "s3fs"}


def of_a_store(error: BaseException) -> bool:
    """Whether an error comes from the client of an object store, such as botocore's of missing keys."""
    return type(error).__module__.partition(".")[0] in _CLIENTS


def is_url(path: str | os.PathLike) -> bool:
    """Whether a path names a place outside the local file system."""
    return "://" in str(path)


class Mirror:
    """A local copy of a remote folder. Uploads go file by file and end with the manifest, so that a reader of the
    manifest finds every file that it lists."""

    def __init__(self, url: str, filesystem: Any, root: str) -> None:
        self.url = url
        self._filesystem, self._root = filesystem, root
        self._local = tempfile.TemporaryDirectory(prefix="mvdiff-")
        self.folder = Path(self._local.name)
        self._pushed: dict[str, tuple[int, int]] = {}

    @staticmethod
    def pull(url: str) -> "Mirror":
        """Download what the folder behind ``url`` holds.

        Raises:
            InputError: the protocol is unknown, its package is not installed, or the place cannot be reached.
        """
        import fsspec

        try:
            filesystem, root = fsspec.core.url_to_fs(url)
            mirror = Mirror(url, filesystem, root.rstrip("/"))
            names = [path[len(mirror._root) :].lstrip("/") for path in filesystem.find(mirror._root)]
            for name in names:
                target = mirror._inside(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                filesystem.get_file(f"{mirror._root}/{name}", str(target))
                mirror._pushed[name] = _version(target)
        except Exception as error:
            if not (isinstance(error, ImportError | ValueError | OSError) or of_a_store(error)):
                raise
            raise InputError(f"'{url}' cannot be read ({error}): check the address and its access rights.") from error
        return mirror

    def push(self, names: Sequence[str]) -> None:
        """Upload the listed files that are new or changed, remove remote ones that are gone, then the manifest."""
        try:
            for name in [*names, MANIFEST]:
                path = self._inside(name)
                if is_file(path) and self._pushed.get(name) != (version := _version(path)):
                    self._filesystem.makedirs(f"{self._root}/{name}".rpartition("/")[0], exist_ok=True)
                    self._filesystem.put_file(str(path), f"{self._root}/{name}")
                    self._pushed[name] = version
            for name in [name for name in self._pushed if not is_file(self.folder / name)]:
                self._filesystem.rm_file(f"{self._root}/{name}")
                del self._pushed[name]
        except Exception as error:
            if not (isinstance(error, OSError) or of_a_store(error)):
                raise
            raise InputError(f"Cannot write to '{self.url}' ({error}): run the same command again to go on.") from error

    def _inside(self, name: str) -> Path:
        """A path below the mirror: names of a remote folder must not lead out of it."""
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"'{name}' in '{self.url}' leads outside that folder.")
        return self.folder / name


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
