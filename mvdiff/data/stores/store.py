"""The pictures of many objects in memory, on any device, ready to draw batches from."""

import fnmatch
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from mvdiff.data.render.record import ObjectRecord, RecordConfig
from mvdiff.data.stores.shards import SHARD_OBJECTS, ShardObject, ShardReader, ShardWriter
from recon.core.cameras import DEFAULT_DISTANCE
from recon.core.errors import InputError

_ARRAYS = tuple(field.name for field in fields(ObjectRecord))


@dataclass
class ViewStore:
    """Records of ``o`` objects as big tensors on one device."""

    targets: UInt8[Tensor, "o t 8 h w"]
    target_angles: Float[Tensor, "o t 2"]
    target_distances: Float[Tensor, "o t"]
    references: UInt8[Tensor, "o r 4 h w"]
    reference_parameters: Float[Tensor, "o r 6"]
    known: Bool[Tensor, "o 8"]
    names: list[str]
    config: RecordConfig

    @staticmethod
    def empty(count: int, config: RecordConfig, device: torch.device | str = "cpu") -> "ViewStore":
        t, r, size = config.num_targets, config.references, config.size
        return ViewStore(
            torch.zeros(count, t, 8, size, size, dtype=torch.uint8, device=device),
            torch.zeros(count, t, 2, device=device),
            torch.full((count, t), DEFAULT_DISTANCE, device=device),
            torch.zeros(count, r, 4, size, size, dtype=torch.uint8, device=device),
            torch.zeros(count, r, 6, device=device),
            torch.ones(count, 8, dtype=torch.bool, device=device),
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
            value = getattr(record, array)
            if self.device.type == "cuda" and not value.is_cuda:
                value = value.pin_memory()  # a copy from other memory would wait for all work queued on the device
            getattr(self, array)[index] = value.to(self.device, non_blocking=True)
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

    def _slice(self, own: slice) -> "ViewStore":
        arrays = {name: getattr(self, name)[own] for name in _ARRAYS}
        return ViewStore(**arrays, names=self.names[own], config=self.config)

    def digest(self) -> str:
        """Hash of the pictures, their cameras, their names and the config."""
        state = hashlib.sha256(json.dumps([asdict(self.config), self.names]).encode())
        for name in _ARRAYS:
            state.update(getattr(self, name).cpu().contiguous().numpy())
        return state.hexdigest()

    def record(self, index: int) -> ObjectRecord:
        return ObjectRecord(**{name: getattr(self, name)[index] for name in _ARRAYS})

    def save(self, folder: str | Path) -> None:
        """Write tar shards. Existing equal shards are kept, so an interrupted save can be continued."""
        writer = ShardWriter(folder, self.config)
        for start in range(0, len(self), SHARD_OBJECTS):
            part = self._slice(slice(start, start + SHARD_OBJECTS))
            key = part.digest()
            if not writer.keep(key):
                writer.write(key, (ShardObject(part.record(k), {"name": part.names[k]}) for k in range(len(part))))
        writer.finish()

    @staticmethod
    def load(
        url: str | Path, device: torch.device | str = "cpu", only: Callable[[str], bool] = lambda name: True
    ) -> "ViewStore":
        """A data set of tar shards, from a folder or any URL that fsspec knows; raises :class:`InputError`.

        ``only`` chooses objects by their name.
        """
        reader = ShardReader(url)
        chosen = [
            number
            for number, shard in enumerate(reader.shards)
            if any(only(origin["name"]) for origin in shard.origins)
        ]
        store = ViewStore.empty(sum(map(only, reader.names)), reader.config, device)
        objects = (item for number in chosen for item in reader.read(number) if only(item.name))
        for index, item in enumerate(objects):
            store.put(index, item.record, item.name)
        return store

    @staticmethod
    def cat(stores: list["ViewStore"]) -> "ViewStore":
        """One store of the objects of all; raises :class:`InputError` where their configs differ."""
        config = joined_config(store.config for store in stores)
        arrays = {name: torch.cat([getattr(store, name) for store in stores]) for name in _ARRAYS}
        return ViewStore(**arrays, names=[n for store in stores for n in store.names], config=config)


def joined_config(configs: Iterable[RecordConfig]) -> RecordConfig:
    """The one config of all; raises :class:`InputError` where they differ."""
    first, *others = configs
    for other in others:
        different = [name for name, value in asdict(first).items() if asdict(other)[name] != value]
        if different:
            raise InputError(f"Data sets of different {', '.join(different)} cannot be joined: render them alike.")
    return first
