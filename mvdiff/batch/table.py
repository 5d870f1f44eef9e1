"""Rows of photos as parquet: small parts while a batch runs, one summary when it ends."""

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

from mvdiff.batch.keys import digest_of
from mvdiff.batch.results import BatchFolder, State
from mvdiff.batch.store import Store

PARTS = "parts"
#: Rows of one part, and the seconds after which a smaller one is written.
_ROWS, _SECONDS = 1000, 30.0
_NUMBERS = ("ambiguity", "largest_mode", "novelty_p", "seconds")
_COUNTS = ("hypotheses", "modes", "bytes", "attempts")
_TEXTS = ("key", "photo", "state", "error", "folder", "worker")
_LISTS = ("files", "warnings")
STAGES = ("sample", "reconstruct", "posterior", "write")


def schema(thumbnails: bool = True) -> Any:
    """Columns of a part (with ``thumbnails``) and of the summary (without)."""
    import pyarrow as pa

    fields = [pa.field(name, pa.string()) for name in _TEXTS]
    fields += [pa.field(name, pa.float64()) for name in _NUMBERS]
    fields += [pa.field(name, pa.int64()) for name in _COUNTS]
    fields += [pa.field(name, pa.list_(pa.string())) for name in _LISTS]
    fields += [pa.field(f"seconds_{name}", pa.float64()) for name in STAGES]
    return pa.schema([*fields, *([pa.field("thumbnail", pa.string())] if thumbnails else [])])


def to_bytes(rows: list[dict[str, Any]]) -> bytes:
    """Rows as one parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([_flat(row) for row in rows], schema()), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    stages = {f"seconds_{name}": row.get("stages", {}).get(name) for name in STAGES}
    texts = {name: _clean(row.get(name)) for name in _TEXTS}
    return {**row, **texts, **stages}


def _clean(text: str | None) -> str | None:
    """Text without the broken characters that names of files may have."""
    return None if text is None else text.encode(errors="replace").decode()


class PartWriter:
    """Appends rows to ``parts/``: whole files only, so that a killed driver leaves no half one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: list[dict[str, Any]] = []
        self._run = f"{int(time.time()):010d}-{secrets.token_hex(3)}"
        self._number, self._since = 0, time.monotonic()

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) >= _ROWS or time.monotonic() - self._since > _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what has been added since."""
        if self._rows:
            self._store.write(f"{PARTS}/{self._run}-{self._number:06d}.parquet", to_bytes(self._rows))
            self._number += 1
            self._rows = []
        self._since = time.monotonic()


def part_names(store: Store) -> list[str]:
    """Names of the parts in the order in which they were written."""
    return [f"{PARTS}/{name}" for name in store.names(PARTS) if name.endswith(".parquet")]


def read_part(store: Store, name: str, columns: list[str] | None = None) -> Any:
    """One part as a pyarrow table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(store.read(name)), columns=columns)


def recorded(store: Store) -> Iterator[tuple[str, str]]:
    """Key and state of every row that parts hold."""
    for name in part_names(store):
        table = read_part(store, name, ["key", "state"])
        yield from zip(table["key"].to_pylist(), table["state"].to_pylist(), strict=True)


def survey(folder: BatchFolder, add: Callable[[dict[str, Any]], None]) -> dict[bytes, State]:
    """State of every published photo by the hash in its key; a result counts more than an earlier failure.

    ``add`` is called with the rows of commits that no part holds, since the driver ended before it wrote them.
    """
    known = {(digest_of(key), state) for key, state in recorded(folder.store)}
    states: dict[bytes, State] = {}
    for key, state in folder.published():
        digest = digest_of(key)
        if states.get(digest) != "done":
            states[digest] = state
        if (digest, state) not in known and (row := folder.load(key, state)) is not None:
            add(row)
    return states
