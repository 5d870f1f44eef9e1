"""SceneField: what is occupied, free or unknown in a box, for several hypotheses."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from recon.core.errors import InputError
from recon.core.paths import is_folder
from recon.core.reading import checked, parse_json, read_safetensors, reading
from recon.scenes.grid import SceneGrid

UNKNOWN, FREE, OCCUPIED = 0, 1, 2
_FILE = "scene_field.safetensors"
_FORMAT = "mvdiff-scene-field/1"


@dataclass(frozen=True)
class SceneField:
    """``n`` hypotheses of a scene on one grid."""

    grid: SceneGrid
    state: UInt8[Tensor, "n x y z"]
    """UNKNOWN where no ray came, FREE where rays passed, OCCUPIED where the fused surface passes the cell."""
    distance: Float[Tensor, "n x y z"]
    """Signed distance, positive in free space and negative behind surfaces, clamped to the truncation; it means
    something where ``weight`` is positive."""
    weight: Float[Tensor, "n x y z"]
    """Total weight of the measurements; 0 where no view measured or carved the cell."""

    def __len__(self) -> int:
        return len(self.state)

    def __getitem__(self, index: int | slice) -> "SceneField":
        """Hypotheses ``index``; an int keeps the leading axis."""
        index = slice(index, index + 1 or None) if isinstance(index, int) else index
        return replace(self, state=self.state[index], distance=self.distance[index], weight=self.weight[index])

    @property
    def unknown(self) -> Bool[Tensor, "n x y z"]:
        return self.state == UNKNOWN

    @property
    def free(self) -> Bool[Tensor, "n x y z"]:
        return self.state == FREE

    @property
    def occupied(self) -> Bool[Tensor, "n x y z"]:
        return self.state == OCCUPIED

    def to(self, device: torch.device | str) -> "SceneField":
        moved = (value.to(device) for value in (self.state, self.distance, self.weight))
        return SceneField(self.grid.to(device), *moved)

    @staticmethod
    def cat(fields: "list[SceneField]") -> "SceneField":
        """The hypotheses of several fields on the same grid, one after the other."""
        if any(other.grid.shape != fields[0].grid.shape for other in fields):
            raise InputError("Hypotheses of one scene share one grid: fuse them on the same SceneGrid.")
        parts = {name: torch.cat([getattr(f, name) for f in fields]) for name in ("state", "distance", "weight")}
        return SceneField(fields[0].grid, **parts)

    def save(self, folder: str | Path) -> Path:
        """Write ``scene_field.safetensors`` into ``folder`` (created); returns the file."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"state": self.state, "distance": self.distance.half(), "weight": self.weight.half()}
        tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
        tensors["origin"] = self.grid.origin.float().cpu().contiguous()
        temporary = folder / (_FILE + ".partial")
        save_file(tensors, temporary, metadata={"format": _FORMAT, "cell": json.dumps(self.grid.cell)})
        temporary.replace(folder / _FILE)
        return folder / _FILE

    @staticmethod
    def load(path: str | Path) -> "SceneField":
        """Read a folder or file written by :meth:`save`. Raises :class:`InputError`."""
        path = Path(path)
        path = path / _FILE if is_folder(path) else path
        with reading(path, "scene field", "write it again"):
            tensors, metadata = read_safetensors(path)
            if metadata.get("format") != _FORMAT:
                raise InputError(f"'{path}' is not a saved SceneField ({_FORMAT}): name a file written by save.")
            cell = parse_json(metadata["cell"], float)
            if not cell > 0:
                raise ValueError(f"its cells are {cell} wide")
            x, y, z = tensors["state"].shape[1:]
            grid = checked(SceneGrid(tensors["origin"], cell, (x, y, z)))
            return checked(SceneField(grid, tensors["state"], tensors["distance"].float(), tensors["weight"].float()))
