"""ViewSet: posed pictures of one or several hypotheses of an object, the noun between sampling and reconstruction."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError

_FILE = "views.safetensors"
_FORMAT = "mvdiff-views/1"


@dataclass(frozen=True)
class ViewSet:
    """``n`` hypotheses of ``v`` views each. Only colour and alpha are always there."""

    rgb: Float[Tensor, "n v 3 h w"]
    """sRGB in [0, 1], straight alpha; delit when it comes from the embedded model."""
    alpha: Float[Tensor, "n v 1 h w"]
    cameras: Cameras
    """Batch shape [n, v]."""
    normal: Float[Tensor, "n v 3 h w"] | None = None
    """Unit normals in world axes, zero where there is no surface."""
    depth: Float[Tensor, "n v 1 h w"] | None = None
    """z-depth in world units, zero where there is no surface."""

    def __post_init__(self) -> None:
        n, v, _, h, w = self.rgb.shape
        if tuple(self.cameras.shape) != (n, v):
            raise InputError(f"{n} x {v} views need cameras [{n}, {v}], not {tuple(self.cameras.shape)}.")
        if (self.cameras.height, self.cameras.width) != (h, w):
            cameras = f"{self.cameras.width} x {self.cameras.height}"
            raise InputError(f"The pictures are {w} x {h}, their cameras {cameras}: bring them together by resized().")

    def __len__(self) -> int:
        return self.rgb.shape[0]

    @property
    def num_views(self) -> int:
        return self.rgb.shape[1]

    @property
    def device(self) -> torch.device:
        return self.rgb.device

    def _map(self, function) -> "ViewSet":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return ViewSet(**{name: None if value is None else function(value) for name, value in values.items()})

    def __getitem__(self, index: int | slice | list[int]) -> "ViewSet":
        """Hypotheses ``index``; an int keeps the leading axis."""
        index = slice(index, index + 1 or None) if isinstance(index, int) else index
        return self._map(lambda value: value[index])

    def select_views(self, index: slice | list[int]) -> "ViewSet":
        return self._map(lambda value: value[:, index])

    def as_one(self) -> "ViewSet":
        """All views [n v] as those of one hypothesis [1 n*v]."""
        return self._map(lambda value: value.reshape(1, -1, *value.shape[2:]))

    def to(self, device: torch.device | str) -> "ViewSet":
        return self._map(lambda value: value.to(device))

    def rounded(self) -> "ViewSet":
        """Channels in the half precision of saved files, so that a resumed run equals an uninterrupted one."""

        def stored(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.half().float()

        channels = {name: stored(getattr(self, name)) for name in ("rgb", "alpha", "normal", "depth")}
        return replace(self, **channels)

    def transformed(self, world: Float[Tensor, "4 4"]) -> "ViewSet":
        """The same pictures in a world moved by the rigid matrix ``world``."""
        normal = self.normal
        if normal is not None:
            normal = torch.einsum("ij,nvjhw->nvihw", world[:3, :3].to(normal), normal)
        return replace(self, cameras=self.cameras.transformed(world), normal=normal)

    def composited(self, background: float = 1.0) -> Float[Tensor, "n v 3 h w"]:
        return self.rgb * self.alpha + background * (1 - self.alpha)

    @staticmethod
    def cat(views: "Sequence[ViewSet]") -> "ViewSet":
        """The hypotheses of several sets, one after the other."""
        channels = {
            name: None if getattr(views[0], name) is None else torch.cat([getattr(v, name) for v in views])
            for name in ("rgb", "alpha", "normal", "depth")
        }
        return ViewSet(cameras=Cameras.cat([v.cameras for v in views]), **channels)

    def save(self, folder: str | Path) -> Path:
        """Write ``views.safetensors`` into ``folder`` (created); returns the file."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: getattr(self, name) for name in ("rgb", "alpha", "normal", "depth")}
        tensors = {name: value.half().cpu().contiguous() for name, value in tensors.items() if value is not None}
        tensors["c2w"] = self.cameras.c2w.float().cpu().contiguous()
        tensors["intrinsics"] = self.cameras.intrinsics.float().cpu().contiguous()
        temporary = folder / (_FILE + ".partial")
        save_file(tensors, temporary, metadata={"format": _FORMAT, "n_views": json.dumps(self.rgb.shape[:2])})
        temporary.replace(folder / _FILE)
        return folder / _FILE

    @staticmethod
    def load(path: str | Path) -> "ViewSet":
        """Read a folder or file written by :meth:`save`."""
        from safetensors import SafetensorError, safe_open

        path = Path(path)
        path = path / _FILE if path.is_dir() else path
        try:
            with safe_open(path, framework="pt") as file:
                if (file.metadata() or {}).get("format") != _FORMAT:
                    raise ValueError(f"{path} is not a saved ViewSet ({_FORMAT}).")
                tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, FileNotFoundError) as error:
            raise ValueError(f"{path} is not a readable ViewSet: {error}") from error
        height, width = tensors["rgb"].shape[-2:]
        cameras = Cameras(tensors.pop("c2w"), tensors.pop("intrinsics"), width, height)
        return ViewSet(cameras=cameras, **tensors)
