"""The index of a batch: one HTML page that shows any number of rows, with its data in files beside it."""

import json
from importlib.resources import files
from typing import Any

from mvdiff.batch.store import Store
from mvdiff.batch.summary import Totals, final_rows

PAGE = "index.html"
#: Rows of one file of texts, and of one file of thumbnails.
_ROWS, _THUMBNAILS = 20_000, 250
_COLUMNS = ["key", "photo", "state", "folder", "files", "ambiguity", "modes", "novelty_p", "seconds", "error"]


def write_index(store: Store, totals: Totals) -> None:
    """Write ``index.html`` and ``index/*.js``. Data are scripts, since pages opened from disk may load those alone."""
    rows, thumbnails = _Chunks(store, "rows", _ROWS), _Chunks(store, "thumbs", _THUMBNAILS)
    for table in final_rows(store, [*_COLUMNS, "thumbnail"]):
        for row in table.to_pylist():
            rows.add(_shown(row))
            thumbnails.add(row["thumbnail"] or "")
    rows.flush()
    thumbnails.flush()
    head = {"rows": rows.total, "rowFiles": rows.files, "perThumbs": _THUMBNAILS, "failed": totals.failed}
    page = files("mvdiff.batch").joinpath("page/index.html").read_text("utf-8")
    store.write(PAGE, page.replace("/*HEAD*/", f"const HEAD = {json.dumps(head)};").encode())


def _shown(row: dict[str, Any]) -> list[Any]:
    """[photo, link or error, ambiguity, modes, novelty p, seconds, done]: the page knows this order."""
    if row["state"] != "done":
        return [row["photo"], row["error"], None, None, None, row["seconds"], 0]
    names = row["files"] or []
    first = next((n for n in names if n == "report.html"), next((n for n in names if n.endswith(".glb")), ""))
    numbers = [_short(row["ambiguity"]), row["modes"], _short(row["novelty_p"]), _short(row["seconds"])]
    return [row["photo"], f"{row['folder']}/{first}", *numbers, 1]


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


class _Chunks:
    def __init__(self, store: Store, name: str, size: int) -> None:
        self._store, self._name, self._size = store, name, size
        self._values: list[Any] = []
        self.files = self.total = 0

    def add(self, value: Any) -> None:
        self._values.append(value)
        self.total += 1
        if len(self._values) == self._size:
            self.flush()

    def flush(self) -> None:
        if self._values:
            # "<" could end the script; line separators are escaped by ASCII.
            text = json.dumps(self._values, separators=(",", ":")).replace("<", "\\u003c")
            self._store.write(f"index/{self._name}-{self.files:05d}.js", f"{self._name}({self.files},{text})".encode())
            self.files += 1
            self._values = []
