"""Records of finished objects as JSON lines, from which an interrupted evaluation resumes."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from recon.core.errors import InputError
from recon.core.paths import exists
from recon.core.reading import fit, parse_json, read_bytes, reading
from recon.io.folders import write_bytes

_FORMAT = "mvdiff-evaluation/1"


@dataclass
class Records:
    """A file of JSON lines: the settings first, then one for each object."""

    path: Path
    entries: dict[str, dict[str, Any]]
    """Name to what was found."""

    @staticmethod
    def open(path: Path, identity: dict[str, Any], overwrite: bool = False) -> "Records":
        """Start, or go on where a run of the same ``identity`` (JSON values) stopped."""
        head = {"format": _FORMAT, "identity": json.loads(json.dumps(identity))}
        lines = [] if overwrite else _read(path)
        if lines and lines[0] != head:
            found = lines[0].get("identity")
            if not isinstance(found, dict):
                raise InputError(f"'{path}' is no file of evaluation records: choose another output.")
            known = sorted(head["identity"].keys() | found.keys())
            changed = [name for name in known if head["identity"].get(name) != found.get(name)]
            raise InputError(
                f"'{path}' holds results of other settings ({', '.join(changed) or 'format'}): "
                f"choose another output or pass --overwrite."
            )
        # Written anew: a line that a crash cut off would spoil the next one.
        write_bytes(path, b"".join(_line(line) for line in (lines or [head])))
        return Records(path, {line["name"]: line for line in lines[1:]})

    def add(self, entry: dict[str, Any]) -> None:
        """Append one object's ``entry`` in a single write."""
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(handle, _line(entry))
            os.fsync(handle)
        finally:
            os.close(handle)
        self.entries[entry["name"]] = entry


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).encode() + b"\n"


def _read(path: Path) -> list[dict[str, Any]]:
    """Whole lines; the last one may have been cut off."""
    if not exists(path):
        return []
    with reading(path, "file of evaluation records", "choose another output or pass --overwrite"):
        head, *entries = [parse_json(line, dict[str, Any]) for line in read_bytes(path).split(b"\n")[:-1]] or [None]
        return [] if head is None else [head, *(entry for entry in entries if fit(entry, _Entry))]


class _Entry(msgspec.Struct, frozen=True):
    name: str


def finite(value: Any) -> Any:
    """Strict JSON has no NaN: what is not a number was not computed."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
