"""The end of a batch: ``summary.parquet``, ``failures.parquet``, and the rows of its index."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mvdiff.batch.keys import digest_of
from mvdiff.batch.store import Store
from mvdiff.batch.table import part_names, read_part, schema

SUMMARY, FAILURES = "summary.parquet", "failures.parquet"
_RANK = {"failed": 0, "bad": 1, "done": 2}
#: Columns of ``failures.parquet``.
_FAILURE = ["key", "photo", "state", "error", "attempts", "worker", "seconds"]


@dataclass(frozen=True)
class Totals:
    """Contents of a finished batch."""

    done: int
    failed: int
    bytes: int


def final_rows(store: Store, columns: list[str] | None = None) -> Iterator[Any]:
    """Tables of the parts, each photo once: its latest row, and a result rather than an earlier failure."""
    best: dict[bytes, tuple[int, int]] = {}
    names = part_names(store)
    for place, name in enumerate(names):
        table = read_part(store, name, ["key", "state"])
        for key, state in zip(table["key"].to_pylist(), table["state"].to_pylist(), strict=True):
            digest = digest_of(key)
            best[digest] = max(best.get(digest, (-1, -1)), (_RANK[state], place))
    for place, name in enumerate(names):
        table = read_part(store, name, columns)
        mask = []
        for key, state in zip(table["key"].to_pylist(), table["state"].to_pylist(), strict=True):
            digest = digest_of(key)
            mask.append(best.get(digest) == (_RANK[state], place))
            if mask[-1]:
                del best[digest]  # the same row may stand twice in one part
        yield table.filter(mask)


def write_tables(store: Store) -> Totals:
    """Write both tables, in the order of the photos' names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = schema(thumbnails=False)
    tables = [table.select(plain.names) for table in final_rows(store, plain.names)]
    table = pa.concat_tables([plain.empty_table(), *tables]).sort_by([("photo", "ascending"), ("key", "ascending")])
    done = pc.equal(table["state"], "done")
    results, failures = table.filter(done).drop_columns(["state", "error"]), table.filter(pc.invert(done))
    _write(store, SUMMARY, results)
    _write(store, FAILURES, failures.select(_FAILURE))
    return Totals(results.num_rows, failures.num_rows, int(pc.sum(results["bytes"]).as_py() or 0))


def _write(store: Store, name: str, table: Any) -> None:
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", row_group_size=50_000)
    store.write(name, file.getvalue())
