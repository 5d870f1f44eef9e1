"""Tar shards of rendered objects, as WebDataset lays them out, on any file system that fsspec knows.

A data set is a folder (or URL) with ``manifest.json`` and ``shard-00000.tar …``. In a shard, object ``<key>`` is
``<key>.safetensors`` (its pictures and cameras) and ``<key>.json`` (its name, license, origin); the first member,
``__shard__.json``, says what the shard is. Nothing else is read, and nothing that is read can run code.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from mvdiff.data.render.record import ObjectRecord, RecordConfig
from recon.core.errors import InputError
from recon.core.reading import MAX_TEXT, READ_ERRORS, fit, parse_json, reason
from recon.io.folders import atomic_write, place_errors_told, write_json
from recon.io.locks import hold

MANIFEST = "manifest.json"
#: Objects a shard: some hundred megabytes at 128 pixels.
SHARD_OBJECTS = 64
_HEAD = "__shard__.json"  # WebDataset's own readers pass over such names
_LARGEST_MEMBER = 1 << 30
_UNREADABLE = (*READ_ERRORS, tarfile.TarError, ImportError, SafetensorError)


def _decode_tensors(data: bytes) -> dict[str, torch.Tensor]:
    from safetensors.torch import load

    return load(data)


@dataclass(frozen=True)
class RecordKind:
    """Kind of a data set: its config, the arrays of its records, and their conversion to and from shards."""

    format: str
    config: Callable[..., Any]
    """Class of the config; its fields are the manifest's."""
    shapes: Callable[[Any], dict[str, tuple[int, ...]]]
    """Shapes of all arrays of a record under a config."""
    tensors: Callable[[Any], dict[str, torch.Tensor]]
    """Arrays of a record."""
    record: Callable[[dict[str, torch.Tensor], dict[str, Any]], Any]
    """A record of its arrays and its origin."""
    command: str
    """Command that makes such data sets."""


def record_shapes(config: RecordConfig) -> dict[str, tuple[int, ...]]:
    """Shape of each array of a record."""
    t, r, size = config.num_targets, config.references, config.size
    shapes = {
        "targets": (t, 8, size, size),
        "target_angles": (t, 2),
        "target_distances": (t,),
        "references": (r, 4, size, size),
        "reference_parameters": (r, 6),
        "known": (8,),
    }
    return {field.name: shapes[field.name] for field in fields(ObjectRecord)}


OBJECTS = RecordKind(
    "mvdiff-shards/2", RecordConfig, record_shapes, vars, lambda arrays, _: ObjectRecord(**arrays), "mvdiff data render"
)

_DECODERS: dict[str, Callable[[bytes], Any]] = {"safetensors": _decode_tensors, "json": parse_json}


@dataclass(frozen=True)
class ShardObject:
    """One rendered object or scene."""

    record: Any
    """Record of the data set's :class:`RecordKind`, an ``ObjectRecord`` by default."""
    origin: dict[str, Any]
    """At least ``name``; license, creator, source and file where they are known."""

    @property
    def name(self) -> str:
        return self.origin["name"]


@dataclass(frozen=True)
class ShardInfo:
    """Contents of one shard."""

    key: str
    """Hash of all that its pictures depend on."""
    origins: list[dict[str, Any]]
    skipped: dict[str, str] = field(default_factory=dict)
    """Objects that could not be rendered, and why."""


class ShardReader:
    """A whole data set: its manifest at once, its objects one after the other."""

    def __init__(self, url: str | Path, kind: RecordKind = OBJECTS) -> None:
        from fsspec.core import url_to_fs

        self.url, self.kind = str(url), kind
        with self._reading():
            self._files, self._root = url_to_fs(self.url)
            place = f"{self._root}/{MANIFEST}"
            if self._files.size(place) > MAX_TEXT:
                raise ValueError(f"{MANIFEST} is larger than {MAX_TEXT:,} bytes")
            document = parse_json(self._files.cat_file(place), dict[str, Any])
            if document["format"] != kind.format:
                raise ValueError(f"format {document['format']!r} instead of {kind.format!r}")
            self.config = fit(document["config"], kind.config)
            self.shards = fit(document["shards"], list[ShardInfo])
            self.names = [str(origin["name"]) for shard in self.shards for origin in shard.origins]

    def __len__(self) -> int:
        return len(self.names)

    @contextmanager
    def _reading(self, where: str = "") -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except _UNREADABLE as error:
            raise InputError(
                f"'{self.url}' is no complete data set ({where}{reason(error)}): make it again with "
                f"`{self.kind.command}`."
            ) from error

    def read(self, number: int) -> Iterator[ShardObject]:
        """The objects of shard ``number`` in order, while it is read."""
        info = self.shards[number]
        with self._reading(f"shard {number}: "), self._files.open(f"{self._root}/{shard_name(number)}", "rb") as file:
            members = _members(file)
            if next(members, (None, {}))[1].get("key") != info.key:
                raise ValueError("it belongs to other pictures")
            for place, (origin, (tensors, own)) in enumerate(zip(info.origins, _pairs(members), strict=True)):
                if own["name"] != origin["name"]:
                    raise ValueError(f"it holds {own['name']} in the place of {origin['name']}, after {place} objects")
                yield ShardObject(self.kind.record(self._checked(tensors), own), own)

    def _checked(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        expected = self.kind.shapes(self.config)
        for name, shape in expected.items():
            if tuple(tensors[name].shape) != shape:
                raise ValueError(f"{name} has the shape {tuple(tensors[name].shape)} instead of {shape}")
        return {name: tensors[name] for name in expected}


class ShardWriter:
    """Writes the shards of one data set in order; each is there whole or not at all, and equal ones are kept."""

    def __init__(self, folder: str | Path, config: Any, kind: RecordKind = OBJECTS) -> None:
        self.folder, self.config, self.kind = Path(folder), config, kind
        self.shards: list[ShardInfo] = []
        with place_errors_told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._lock, _ = hold(self.folder)  # as long as the writer lives

    def keep(self, key: str) -> bool:
        """Whether the next shard is there under ``key`` already; it then belongs to the data set."""
        path = self.folder / shard_name(len(self.shards))
        try:
            with path.open("rb") as file:
                info = ShardInfo(**next(_members(file), (None, {}))[1])
            with tarfile.open(path, "r:") as tar:  # headers alone; raises where the file was cut short
                whole = len(tar.getmembers()) == 1 + 2 * len(info.origins)
        except _UNREADABLE:
            return False
        if info.key != key or not whole:
            return False
        self.shards.append(info)
        return True

    def write(self, key: str, objects: Iterable[ShardObject], skipped: dict[str, str] | None = None) -> None:
        """Write the next shard."""
        from safetensors.torch import save

        number, members, origins = len(self.shards), [], []
        for index, item in enumerate(objects):
            tensors = {name: value.cpu().contiguous() for name, value in self.kind.tensors(item.record).items()}
            stem = f"{number:05d}{index:05d}"
            members += [(f"{stem}.safetensors", save(tensors)), (f"{stem}.json", _json(item.origin))]
            origins.append(item.origin)
        info = ShardInfo(key, origins, skipped or {})
        with (
            atomic_write(self.folder / shard_name(number)) as temporary,
            tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for name, data in [(_HEAD, _json(asdict(info))), *members]:
                entry = tarfile.TarInfo(name)  # no time, no owner: the same pictures are the same file
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        self.shards.append(info)

    def finish(self) -> None:
        """Make the folder a data set of the shards that were kept and written; others are removed."""
        if not any(shard.origins for shard in self.shards):
            reasons = [f"{name}: {reason}" for shard in self.shards for name, reason in shard.skipped.items()]
            why = f" ({reasons[0].rstrip('.')})" if reasons else ""
            raise InputError(f"There is not one usable object to render{why}: check the meshes.")
        document = {
            "format": self.kind.format,
            "config": asdict(self.config),
            "shards": [asdict(shard) for shard in self.shards],
        }
        write_json(self.folder / MANIFEST, document)
        own = {shard_name(number) for number in range(len(self.shards))}
        for path in self.folder.glob("shard-*.tar"):
            if path.name not in own:
                path.unlink()


def shard_name(number: int) -> str:
    return f"shard-{number:05d}.tar"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode(errors="replace")


def _members(file: Any) -> Iterator[tuple[str, Any]]:
    """Names and decoded contents, in one pass that never looks back."""
    with tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            kind = member.name.rpartition(".")[2]
            if not member.isfile() or kind not in _DECODERS or member.size > _LARGEST_MEMBER:
                raise ValueError(f"the member {member.name!r} is of a kind that is not read")
            data = tar.extractfile(member).read()
            if len(data) < member.size:
                raise ValueError(f"it ends within {member.name!r}")
            yield member.name, _DECODERS[kind](data)


def _pairs(members: Iterator[tuple[str, Any]]) -> Iterator[tuple[dict[str, torch.Tensor], dict[str, Any]]]:
    for (first, tensors), (second, origin) in zip(members, members, strict=True):
        if first.removesuffix(".safetensors") != second.removesuffix(".json"):
            raise ValueError(f"{first!r} is followed by {second!r}")
        yield tensors, origin
