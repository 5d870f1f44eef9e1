"""Listings of all kinds by their names."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mvdiff.batch.readers.photo import Listing, Photo, Wanted, address, filesystem
from mvdiff.batch.readers.tables import LineListing, ParquetListing, TableListing
from mvdiff.batch.readers.tars import TarListing
from mvdiff.batch.retrying import patiently
from recon.core.errors import InputError

PICTURES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jp2"),
    *(".heic", ".heif", ".hif", ".avif"),
)
_LINES, _TABLES = (".txt", ".lst", ".list"), (".csv", ".tsv")
_PATIENCE = 120.0


@dataclass(frozen=True)
class FolderListing:
    """The pictures of a folder and its subfolders, in the order of their paths."""

    files: Any
    """File system of fsspec."""
    root: str

    def count(self) -> int:
        return sum(1 for _ in self._paths())

    def photos(self, wanted: Wanted) -> Iterator[Photo]:
        for path in self._paths():
            name = path[len(self.root.rstrip("/")) :].lstrip("/")
            if wanted(name):
                yield Photo(name, address(self.files, path))

    def _paths(self) -> Iterator[str]:
        """Folder by folder: a million names are never held at once unless they lie in one folder."""
        for parent, folders, names in self.files.walk(self.root, on_error="raise"):
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            for name in sorted(names):
                if name.lower().endswith(PICTURES) and not name.startswith("."):
                    yield f"{parent.rstrip('/')}/{name}"


def open_listing(url: str, column: str | None = None) -> Listing:
    """The listing at ``url``: a folder of pictures, a text or CSV file, or files matched by a pattern of tar shards or
    parquet files.

    Args:
        url: a path or an fsspec URL; ``*`` and ``{000..099}`` name several shards or parquet files.
        column: column of a table that holds paths, URLs or bytes; by default "photo", "image", "url", "path" or "file".

    Raises:
        InputError: there is nothing, or nothing that is known.
    """
    if "::" in url:
        raise InputError(f"'{url}' chains file systems, which a batch does not take: give the plain address.")
    try:
        return patiently(_open, url, column, patience=_PATIENCE, attempts=5)
    except InputError:
        raise
    except (ImportError, ValueError, OSError) as error:
        raise InputError(f"The photos '{url}' cannot be read ({error}): check the address and its package.") from error


def _open(url: str, column: str | None) -> Listing:
    files, root = filesystem(url)
    paths = _expand(files, root)
    kinds = {_kind(path) for path in paths}
    if kinds == {"tar"}:
        return TarListing(files, paths)
    if kinds == {"parquet"}:
        return ParquetListing(files, paths, column)
    if len(paths) == 1 and not files.exists(paths[0]):
        raise InputError(f"There is nothing at '{url}': check the address.")
    if len(paths) == 1 and kinds == {"lines"}:
        return LineListing(files, paths[0])
    if len(paths) == 1 and kinds == {"table"}:
        return TableListing(files, paths[0], column)
    if len(paths) != 1 or not files.isdir(paths[0]):
        raise InputError(
            f"'{url}' is neither a folder nor a listing: give a folder of pictures, a .txt or .csv file, .tar or "
            ".parquet files."
        )
    return _of_folder(files, paths[0], column)


def _of_folder(files: Any, root: str, column: str | None) -> Listing:
    names = sorted(str(path) for path in files.ls(root, detail=False))
    shards = {kind: [name for name in names if _kind(name) == kind] for kind in ("tar", "parquet")}
    if shards["tar"]:
        return TarListing(files, shards["tar"])
    if shards["parquet"]:
        return ParquetListing(files, shards["parquet"], column)
    listing = FolderListing(files, root)
    if next(listing.photos(lambda _: True), None) is None:
        raise InputError(f"The folder '{root}' holds no pictures: give a folder of pictures or a listing.")
    return listing


def _kind(path: str) -> str | None:
    name = path.lower()
    if name.endswith((".tar.gz", ".tgz", ".tar.zst")):
        raise InputError(f"'{path}' is compressed: unpack it, a batch reads plain .tar shards.")
    kinds = {".tar": "tar", ".parquet": "parquet"} | dict.fromkeys(_LINES, "lines") | dict.fromkeys(_TABLES, "table")
    return next((kind for suffix, kind in kinds.items() if name.endswith(suffix)), None)


def _expand(files: Any, root: str) -> list[str]:
    """Paths of a pattern: ``{000..099}`` as WebDataset has it, then ``*``, ``?`` and ``[`` as shells have them."""
    if "{" in root and ".." in root:
        head, _, rest = root.partition("{")
        bounds, _, tail = rest.partition("}")
        first, _, last = bounds.partition("..")
        if not (first.isdecimal() and last.isdecimal() and len(first) <= 9 and len(last) <= 9):
            raise InputError(f"'{root}' names its shards by {{000..099}}: give two numbers.")
        return [f"{head}{number:0{len(first)}d}{tail}" for number in range(int(first), int(last) + 1)]
    if any(sign in root for sign in "*?["):
        found = sorted(str(path) for path in files.glob(root))
        if not found:
            raise InputError(f"Nothing matches '{root}': check the pattern.")
        return found
    return [root]
