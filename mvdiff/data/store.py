"""The pictures of many objects, ready to draw batches from: in memory on any device, or as shards on disk."""

import fnmatch
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mvdiff.data.record import ObjectRecord, RecordConfig
from recon.errors import InputError
from recon.io.bundle import atomic_write, write_json

_MANIFEST = "manifest.json"
_FORMAT = "mvdiff-store/2"
SHARD_OBJECTS = 64
_ARRAYS = ("targets", "target_angles", "references", "reference_parameters")


@dataclass
class ViewStore:
    """Records of ``o`` objects as big tensors on one device."""

    targets: UInt8[Tensor, "o t 8 h w"]
    target_angles: Float[Tensor, "o t 2"]
    references: UInt8[Tensor, "o r 4 h w"]
    reference_parameters: Float[Tensor, "o r 6"]
    names: list[str]
    config: RecordConfig

    @staticmethod
    def empty(count: int, config: RecordConfig, device: torch.device | str = "cpu") -> "ViewStore":
        t, r, size = config.num_targets, config.references, config.size
        return ViewStore(
            torch.zeros(count, t, 8, size, size, dtype=torch.uint8, device=device),
            torch.zeros(count, t, 2, device=device),
            torch.zeros(count, r, 4, size, size, dtype=torch.uint8, device=device),
            torch.zeros(count, r, 6, device=device),
            [""] * count,
            config,
        )

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def device(self) -> torch.device:
        return self.targets.device

    def put(self, index: int, record: ObjectRecord, name: str | None = None) -> None:
        for array in _ARRAYS:
            getattr(self, array)[index] = getattr(record, array).to(self.device)
        if name is not None:
            self.names[index] = name

    def truncated(self, count: int) -> "ViewStore":
        return self._slice(slice(count))

    def group_probabilities(self, weights: dict[str, float]) -> Float[Tensor, "o"]:
        """Chance of each object: patterns like ``"ycb/*"`` share their weight among the objects that match first."""
        group = torch.full((len(self),), -1)
        for number, pattern in enumerate(weights):
            for index, name in enumerate(self.names):
                if group[index] < 0 and fnmatch.fnmatch(name, pattern):
                    group[index] = number
        probability = torch.zeros(len(self))
        for number, weight in enumerate(weights.values()):
            members = group == number
            if members.any():
                probability[members] = weight / members.sum()
        if probability.sum() <= 0:
            raise InputError(f"None of the {len(self)} objects matches a group of {sorted(weights)}.")
        return (probability / probability.sum()).to(self.device)

    def shards(self) -> list["ViewStore"]:
        return [self._slice(slice(start, start + SHARD_OBJECTS)) for start in range(0, len(self), SHARD_OBJECTS)]

    def _slice(self, own: slice) -> "ViewStore":
        arrays = {name: getattr(self, name)[own] for name in _ARRAYS}
        return ViewStore(**arrays, names=self.names[own], config=self.config)

    def digest(self) -> str:
        """Hash of the pictures, their cameras, their names and the config."""
        state = hashlib.sha256(json.dumps([asdict(self.config), self.names]).encode())
        for name in _ARRAYS:
            state.update(getattr(self, name).cpu().contiguous().numpy())
        return state.hexdigest()

    def save(self, folder: str | Path) -> None:
        """Shards of 64 objects; equal shards that are there already are kept, so that an interrupted save goes on."""
        writer = StoreWriter(folder, self.config)
        for number, shard in enumerate(self.shards()):
            writer.write(number, shard, shard.digest())
        writer.finish()

    @staticmethod
    def load(folder: str | Path, device: torch.device | str = "cpu") -> "ViewStore":
        from safetensors import SafetensorError, safe_open

        folder = Path(folder)
        try:
            manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
            if manifest["format"] != _FORMAT:
                raise ValueError(f"format {manifest['format']!r}")
            values = manifest["config"]
            config = RecordConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
            store = ViewStore.empty(len(manifest["names"]), config, device)
            start = 0
            for number, shard in enumerate(manifest["shards"]):
                with safe_open(_shard_path(folder, number), framework="pt") as file:
                    if (file.metadata() or {}).get("key") != shard["key"]:
                        raise ValueError(f"shard {number} belongs to other pictures")
                    own = slice(start, start := start + shard["objects"])
                    for name in _ARRAYS:
                        getattr(store, name)[own] = file.get_tensor(name).to(device)
            if start != len(store):
                raise ValueError(f"{start} of {len(store)} objects")
        except (OSError, ValueError, KeyError, TypeError, SafetensorError, RuntimeError) as error:
            raise InputError(
                f"'{folder}' is not a complete view store ({error}): render it again with tools/render_dataset.py."
            ) from error
        store.names = manifest["names"]
        return store

    @staticmethod
    def cat(stores: list["ViewStore"]) -> "ViewStore":
        """One store of the objects of all; raises :class:`InputError` where their configs differ."""
        first = asdict(stores[0].config)
        for store in stores[1:]:
            other = asdict(store.config)
            different = [name for name in first if first[name] != other[name]]
            if different:
                raise InputError(f"Stores of different {', '.join(different)} cannot be joined: render them alike.")
        arrays = {name: torch.cat([getattr(store, name) for store in stores]) for name in _ARRAYS}
        return ViewStore(**arrays, names=[n for store in stores for n in store.names], config=stores[0].config)


class StoreWriter:
    """Shards of one store, in order; each knows by a key what it holds, and is written only where that differs."""

    def __init__(self, folder: str | Path, config: RecordConfig) -> None:
        self.folder, self.config = Path(folder), config
        self._shards: list[dict[str, Any]] = []

    def keep(self, number: int, key: str) -> bool:
        """Whether shard ``number`` of that key is there; it then belongs to the store."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(_shard_path(self.folder, number), framework="pt") as file:
                metadata = file.metadata() or {}
            names = json.loads(metadata.get("names", "null"))
        except (OSError, SafetensorError, ValueError):
            return False
        if metadata.get("key") != key:
            return False
        self._shards.append({"key": key, "names": names})
        return True

    def write(self, number: int, shard: ViewStore, key: str) -> None:
        from safetensors.torch import save_file

        if self.keep(number, key):
            return
        tensors = {name: getattr(shard, name).cpu().contiguous() for name in _ARRAYS}
        with atomic_write(_shard_path(self.folder, number)) as temporary:
            save_file(tensors, temporary, metadata={"key": key, "names": json.dumps(shard.names)})
        self._shards.append({"key": key, "names": shard.names})

    def finish(self) -> None:
        """Make the folder a store of the shards that were kept and written; others are removed."""
        names = [name for shard in self._shards for name in shard["names"]]
        if not names:
            raise InputError("There is not one usable mesh to render: check the mesh folder or pack.")
        manifest = {
            "format": _FORMAT,
            "config": asdict(self.config),
            "shards": [{"key": shard["key"], "objects": len(shard["names"])} for shard in self._shards],
            "names": names,
        }
        write_json(self.folder / _MANIFEST, manifest)
        own = {_shard_path(self.folder, number) for number in range(len(self._shards))}
        for path in self.folder.glob("shard-*.safetensors"):
            if path not in own:
                path.unlink()


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.safetensors"
