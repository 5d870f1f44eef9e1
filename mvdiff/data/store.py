"""The pictures of many objects, ready to draw batches from: in memory on any device, or as shards on disk."""

import fnmatch
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mvdiff.data.record import ObjectRecord, RecordConfig
from recon.errors import InputError

_MANIFEST = "manifest.json"
_FORMAT = "mvdiff-store/1"
_SHARD_OBJECTS = 64
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
        arrays = {name: getattr(self, name)[:count] for name in _ARRAYS}
        return ViewStore(**arrays, names=self.names[:count], config=self.config)

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

    def save(self, folder: str | Path) -> None:
        """Shards of 64 objects; a shard that is already there is kept, so that an interrupted save goes on."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(self), _SHARD_OBJECTS):
            path = folder / f"shard-{start // _SHARD_OBJECTS:05d}.safetensors"
            if path.exists():
                continue
            part = {name: getattr(self, name)[start : start + _SHARD_OBJECTS].cpu().contiguous() for name in _ARRAYS}
            temporary = path.with_suffix(".partial")
            save_file(part, temporary)
            temporary.replace(path)
        manifest = {"format": _FORMAT, "config": asdict(self.config), "names": self.names}
        temporary = folder / (_MANIFEST + ".partial")
        temporary.write_text(json.dumps(manifest, indent=1))
        temporary.replace(folder / _MANIFEST)

    @staticmethod
    def load(folder: str | Path, device: torch.device | str = "cpu") -> "ViewStore":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        try:
            manifest = json.loads((folder / _MANIFEST).read_text())
            if manifest["format"] != _FORMAT:
                raise ValueError(f"format {manifest['format']!r}")
            config = RecordConfig(**manifest["config"])
            config.ring_elevations = tuple(config.ring_elevations)
            store = ViewStore.empty(len(manifest["names"]), config, device)
            for number in range(-(-len(store) // _SHARD_OBJECTS)):
                part = load_file(folder / f"shard-{number:05d}.safetensors")
                own = slice(number * _SHARD_OBJECTS, (number + 1) * _SHARD_OBJECTS)
                for name in _ARRAYS:
                    getattr(store, name)[own] = part[name].to(device)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError, RuntimeError) as error:
            raise InputError(
                f"{folder} is not a complete view store ({error}); render it again with tools/render_dataset.py."
            ) from error
        store.names = manifest["names"]
        return store

    @staticmethod
    def cat(stores: list["ViewStore"]) -> "ViewStore":
        arrays = {name: torch.cat([getattr(store, name) for store in stores]) for name in _ARRAYS}
        return ViewStore(**arrays, names=[n for store in stores for n in store.names], config=stores[0].config)
