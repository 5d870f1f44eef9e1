"""ViewSet: posed pictures of one or several hypotheses of an object, the noun between sampling and reconstruction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.paths import is_folder
from recon.core.reading import check_finite, checked, read_safetensors, reading
from recon.core.tensors import safetensors_bytes

VIEWS_FILE = "views.safetensors"
_FORMAT = "mvdiff-views/1"
_CHANNELS = ("rgb", "alpha", "normal", "depth")
_CAMERAS = ("c2w", "intrinsics", "orthographic")
#: Longest side of a picture that is read.
_MAX_SIDE = 1 << 14


@dataclass(frozen=True)
class ViewSet:
    """``n`` hypotheses of ``v`` views each. Only color and alpha are always there."""

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

    def _map(self, function: Callable[[Any], Any]) -> "ViewSet":
        """Apply ``function`` to every channel and to the cameras."""
        normal = None if self.normal is None else function(self.normal)
        depth = None if self.depth is None else function(self.depth)
        return ViewSet(function(self.rgb), function(self.alpha), function(self.cameras), normal, depth)

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

        channels: dict[str, Any] = {name: stored(getattr(self, name)) for name in ("rgb", "alpha", "normal", "depth")}
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
        normal = [v.normal for v in views if v.normal is not None]
        depth = [v.depth for v in views if v.depth is not None]
        return ViewSet(
            torch.cat([v.rgb for v in views]),
            torch.cat([v.alpha for v in views]),
            Cameras.cat([v.cameras for v in views]),
            None if views[0].normal is None else torch.cat(normal),
            None if views[0].depth is None else torch.cat(depth),
        )

    def save(self, folder: str | Path) -> Path:
        """Write ``views.safetensors`` into ``folder`` (created); returns the file."""
        tensors = {name: getattr(self, name) for name in _CHANNELS}
        tensors = {name: value.half() for name, value in tensors.items() if value is not None}
        tensors |= {"c2w": self.cameras.c2w.float(), "intrinsics": self.cameras.intrinsics.float()}
        if self.cameras.orthographic is not None:
            tensors["orthographic"] = self.cameras.orthographic
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / (VIEWS_FILE + ".partial")
        temporary.write_bytes(safetensors_bytes(tensors, {"format": _FORMAT}))
        return temporary.replace(folder / VIEWS_FILE)

    @staticmethod
    def load(path: str | Path) -> "ViewSet":
        """Read a folder or file written by :meth:`save`."""
        path = Path(path)
        path = path / VIEWS_FILE if is_folder(path) else path
        with reading(path, "ViewSet", "save it again"):
            tensors, header = read_safetensors(path)
            if header.get("format") != _FORMAT:
                raise ValueError(f"its header does not say {_FORMAT}")
            return _assembled({name: value.float() for name, value in tensors.items()})


def _assembled(tensors: dict[str, Tensor]) -> ViewSet:
    """Raises ``ValueError`` for tensors that are no views."""
    tensors = {name: value for name, value in tensors.items() if name in (*_CHANNELS, *_CAMERAS)}
    check_finite(tensors)
    height, width = tensors["rgb"].shape[-2:]
    if not 1 <= min(height, width) <= max(height, width) <= _MAX_SIDE:
        raise ValueError(f"its pictures have {width} x {height} pixels")
    flat = tensors.pop("orthographic", None)
    flat = None if flat is None else flat > 0
    cameras = checked(Cameras(tensors.pop("c2w"), tensors.pop("intrinsics"), width, height, flat))
    if (torch.diagonal(cameras.intrinsics, dim1=-2, dim2=-1) <= 0).any():
        raise ValueError("its focal lengths are not positive")
    return checked(ViewSet(cameras=cameras, **tensors))
