"""The folder of a batch: its settings, and what has been published in it.

``manifest.json`` holds the settings, ``runs/XX/KEY/`` the files of each photo, and ``manifests/XX/KEY.json`` is the
commit of that photo, written after its files. ``KEY.bad.json`` says that a photo cannot be used, and
``KEY.failed.json`` that it failed for reasons that may pass.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import msgspec

from mvdiff.batch.keys import is_key, settings_hash, shard_of
from mvdiff.batch.store import Store, shards
from recon.core.errors import InputError
from recon.core.reading import READ_ERRORS, parse_json

State = Literal["done", "bad", "failed"]
MANIFEST = "manifest.json"
_FORMAT = "mvdiff-batch/1"
#: Listings that are asked for at a time.
_LISTINGS = 16
_SUFFIXES: dict[State, str] = {"done": ".json", "bad": ".bad.json", "failed": ".failed.json"}


class _Head(msgspec.Struct, frozen=True):
    format: Literal["mvdiff-batch/1"]
    settings: dict[str, Any]


class BatchFolder:
    """Published results below one root."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def claim(self, settings: dict[str, Any]) -> str:
        """Write the settings, or compare them with those that are there. Returns their hash.

        Raises:
            InputError: the folder holds the results of other settings, or something else.
        """
        settings = json.loads(json.dumps(settings, allow_nan=False))
        found = self.store.read(MANIFEST)
        if found is None:
            others = [name for name in self.store.names("") if not name.startswith(".")]
            if others:
                raise InputError(f"'{self.store.url}' is not empty and holds no batch: choose another folder.")
            head = {"format": _FORMAT, "settings": settings}
            self.store.write(MANIFEST, (json.dumps(head, indent=2, sort_keys=True) + "\n").encode())
            return settings_hash(settings)
        try:
            old = parse_json(found, _Head).settings
        except READ_ERRORS as error:
            raise InputError(f"'{self.store.url}/{MANIFEST}' is no batch's manifest: choose another folder.") from error
        if old != settings:
            names = ", ".join(sorted(name for name in old | settings if old.get(name) != settings.get(name)))
            raise InputError(
                f"'{self.store.url}' holds results of other settings ({names}): choose another folder, or give the "
                "settings of its manifest.json."
            )
        return settings_hash(settings)

    def published(self) -> Iterator[tuple[str, State]]:
        """Key and state of every photo with a result, from the names of the commits alone."""
        with ThreadPoolExecutor(_LISTINGS) as pool:
            for names in pool.map(lambda shard: self.store.names(f"manifests/{shard}"), shards()):
                yield from (found for name in names if (found := _parse(name)) is not None)

    def commit(self, row: dict[str, Any], was: State | None = None) -> None:
        """Write the commit of a photo whose files are published, or of its failure; ``was`` is an earlier failure."""
        name = _manifest(row["key"], row["state"])
        self.store.write(name, json.dumps(row, allow_nan=False, ensure_ascii=True).encode())
        if was is not None and was != row["state"]:
            self.store.remove(_manifest(row["key"], was))

    def load(self, key: str, state: State) -> dict[str, Any] | None:
        """The row of a commit, or None where there is none."""
        data = self.store.read(_manifest(key, state))
        return None if data is None else parse_json(data, dict[str, Any])


def run_folder(key: str) -> str:
    """Place of a photo's files."""
    return f"runs/{shard_of(key)}/{key}"


def _parse(name: str) -> tuple[str, State] | None:
    states: tuple[State, ...] = ("bad", "failed", "done")  # the longest suffix first
    for state in states:
        key = name.removesuffix(_SUFFIXES[state])
        if key != name:
            return (key, state) if is_key(key) else None
    return None


def _manifest(key: str, state: State) -> str:
    return f"manifests/{shard_of(key)}/{key}{_SUFFIXES[state]}"
