"""One photo of a listing, and how a worker gets its bytes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from mvdiff.batch.retrying import patiently

#: Bytes of one photo.
LARGEST = 256 << 20
#: Calls that are made for a photo whose server is busy, and the seconds that they may take together.
_ATTEMPTS, _PATIENCE = 6, 120.0


@dataclass(frozen=True)
class Photo:
    """A photo of a listing. Its bytes are at hand, or at an address (or a range of bytes there)."""

    name: str
    """Path or URL within the listing; results are known by it."""
    url: str | None = None
    start: int | None = None
    size: int | None = None
    data: bytes | None = None

    def fetch(self) -> bytes:
        """The bytes. Raises ``OSError`` and the like where they cannot be had, ``ValueError`` for too many."""
        if self.data is not None:
            return self.data
        if self.url is None:
            raise ValueError("a listing from elsewhere cannot name files of this machine, or chains of file systems")
        return patiently(self._read, attempts=_ATTEMPTS, patience=_PATIENCE)

    def _read(self) -> bytes:
        files, path = filesystem(self.url or "")
        end = None if self.start is None else self.start + (self.size or 0)
        if self.start is None and (files.size(path) or 0) > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        data = files.cat_file(path, start=self.start, end=end)
        if self.size is not None and len(data) != self.size:
            raise OSError(f"{len(data)} of {self.size} bytes were read")
        return data


#: Called with the name of each photo; a photo is read only if it returns True.
Wanted = Callable[[str], bool]


@runtime_checkable
class Listing(Protocol):
    """Photos in a fixed order."""

    def count(self) -> int | None:
        """Number of photos, or None where telling it would mean to read them all."""
        ...

    def photos(self, wanted: Wanted) -> Iterator[Photo]:
        """The wanted photos, one after the other."""
        ...


def filesystem(url: str) -> tuple[Any, str]:
    """File system of a path or URL, without a cache of its listings, and the path in it."""
    import fsspec

    remote = "://" in url
    return fsspec.core.url_to_fs(url, **({"use_listings_cache": False} if remote else {}))


def address(files: Any, path: str) -> str:
    """The URL of a path in a file system; local ones stay paths."""
    protocol = files.protocol if isinstance(files.protocol, str) else files.protocol[0]
    return path if protocol in ("file", "local") else str(files.unstrip_protocol(path))
