"""Photos named in tables: lines of text, CSV, parquet with paths, URLs or bytes."""

import csv
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mvdiff.batch.readers.photo import Photo, Wanted, address
from recon.core.errors import InputError
from recon.core.reading import reason

#: Names of the column with the photos, in the order in which they are looked for.
COLUMNS = ("photo", "image", "url", "path", "file", "image_url", "image_path", "filename", "bytes")
_ROWS = 64


@dataclass(frozen=True)
class LineListing:
    """One path or URL a line; blank lines and those that begin with "#" are passed over. Relative paths start at the
    listing's own folder."""

    files: Any
    """File system of fsspec."""
    path: str

    def count(self) -> int:
        return sum(1 for _ in self._names())

    def photos(self, wanted: Wanted) -> Iterator[Photo]:
        return (Photo(name, resolve(self.files, self.path, name)) for name in self._names() if wanted(name))

    def _names(self) -> Iterator[str]:
        with self.files.open(self.path, "rt", encoding="utf-8-sig", errors="surrogateescape") as file:
            for line in file:
                name = line.strip()
                if name and not name.startswith("#"):
                    yield name


@dataclass(frozen=True)
class TableListing:
    """A CSV or TSV file with a header."""

    files: Any
    """File system of fsspec."""
    path: str
    column: str | None = None

    def count(self) -> int:
        return sum(1 for _ in self._names())

    def photos(self, wanted: Wanted) -> Iterator[Photo]:
        return (Photo(name, resolve(self.files, self.path, name)) for name in self._names() if wanted(name))

    def _names(self) -> Iterator[str]:
        dialect = "excel-tab" if self.path.lower().endswith(".tsv") else "excel"
        with self.files.open(self.path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            try:
                rows = csv.DictReader(file, dialect=dialect)
                column = pick_column(self.path, rows.fieldnames or [], self.column)
                yield from (name for row in rows if (name := (row[column] or "").strip()))
            except csv.Error as error:
                raise InputError(f"'{self.path}' is no readable table ({reason(error)}): check the file.") from error


@dataclass(frozen=True)
class ParquetListing:
    """Parquet files with a column of paths, URLs, bytes, or Hugging Face's pairs of ``bytes`` and ``path``.

    Photos of bytes are named ``file.parquet/ROW``. Row groups of which nothing is wanted are not read.
    """

    files: Any
    """File system of fsspec."""
    paths: list[str]
    column: str | None = None

    def count(self) -> int:
        return sum(table.metadata.num_rows for table, *_ in self._tables())

    def photos(self, wanted: Wanted) -> Iterator[Photo]:
        for table, column, has_bytes, path in self._tables():
            read = self._bytes if has_bytes else self._places
            with _readable(path):
                yield from read(table, column, path, wanted)

    def _tables(self) -> Iterator[tuple[Any, str, bool, str]]:
        import pyarrow
        import pyarrow.parquet as pq

        for path in self.paths:
            with _readable(path), self.files.open(path, "rb") as file, pq.ParquetFile(file) as table:
                schema = table.schema_arrow
                column = pick_column(path, schema.names, self.column)
                kind = schema.field(column).type
                if pyarrow.types.is_struct(kind):
                    column, kind = f"{column}.bytes", kind.field("bytes").type
                has_bytes = pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)
                yield table, column, has_bytes, path

    def _places(self, table: Any, column: str, path: str, wanted: Wanted) -> Iterator[Photo]:
        for batch in table.iter_batches(batch_size=1024, columns=[column]):
            for name in batch.column(0).to_pylist():
                if name and wanted(str(name)):
                    yield Photo(str(name), resolve(self.files, path, str(name)))

    def _bytes(self, table: Any, column: str, path: str, wanted: Wanted) -> Iterator[Photo]:
        start, file = 0, path.rpartition("/")[2]
        for group in range(table.num_row_groups):
            count = table.metadata.row_group(group).num_rows
            rows = [row for row in range(start, start + count) if wanted(f"{file}/{row}")]
            yield from self._rows(table, column, group, start, set(rows), file) if rows else ()
            start += count

    def _rows(self, table: Any, column: str, group: int, row: int, rows: set[int], file: str) -> Iterator[Photo]:
        for batch in table.iter_batches(batch_size=_ROWS, row_groups=[group], columns=[column]):
            values = batch.column(0)
            for place in range(len(values)):
                if row in rows:
                    value = values[place].as_py()
                    data = value["bytes"] if isinstance(value, dict) else value
                    yield Photo(f"{file}/{row}", data=data or b"")
                row += 1


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Turn errors of a damaged parquet file into :class:`InputError`; those of a store, which may pass, stay."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, FileNotFoundError, KeyError, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, FileNotFoundError):
            raise
        raise InputError(f"'{path}' is no readable parquet file ({reason(error)}): check it.") from error


def pick_column(path: str, names: Any, wanted: str | None) -> str:
    """The column that holds the photos. Raises :class:`InputError` where there is none."""
    known = {str(name).lower(): str(name) for name in reversed(list(names))}
    if wanted is not None and wanted in names:
        return wanted
    found = next((known[name] for name in COLUMNS if name in known), None) if wanted is None else None
    if found is None:
        text = ", ".join(map(str, names)) or "none"
        raise InputError(f"'{path}' has no column {wanted or 'of photos'} (columns: {text}): pass --column NAME.")
    return found


def resolve(files: Any, listing: str, name: str) -> str | None:
    """Address of a photo that a listing names; None for one that a remote listing may not name, as a local file."""
    local = "://" not in address(files, listing)
    if "://" in name:
        scheme = name.partition("://")[0].lower()
        return name if "::" not in name and (local or scheme not in ("file", "local", "memory")) else None
    if name.startswith("/") and not local:
        return None
    joined = name if name.startswith("/") else posixpath.join(posixpath.dirname(listing), name)
    return address(files, joined)
