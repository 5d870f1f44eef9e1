"""``views.safetensors``: a ViewSet in one file."""

from pathlib import Path

import torch

from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.io.folders import write_bytes
from recon.io.reading import check_finite, checked, read_safetensors, reading
from recon.io.safetensors_files import to_bytes

FILE = "views.safetensors"
_FORMAT = "mvdiff-views/1"
_CHANNELS = ("rgb", "alpha", "normal", "depth")
#: Longest side of a picture that is read.
_MAX_SIDE = 1 << 14


def save_views(views: ViewSet, folder: Path) -> Path:
    """Write ``views.safetensors`` into ``folder`` (created), pictures in 16 bits; returns the file."""
    tensors = {name: getattr(views, name) for name in _CHANNELS}
    tensors = {name: value.half() for name, value in tensors.items() if value is not None}
    tensors |= {"c2w": views.cameras.c2w.float(), "intrinsics": views.cameras.intrinsics.float()}
    return write_bytes(folder / FILE, to_bytes(tensors, {"format": _FORMAT}))


def load_saved(path: Path) -> ViewSet:
    """The ViewSet in a file, or in ``views.safetensors`` of a folder.

    Raises:
        InputError: for anything else, and for cameras that are not finite.
    """
    path = path / FILE if path.is_dir() else path
    with reading(path, "ViewSet", "save it again"):
        tensors, header = read_safetensors(path)
        if header.get("format") != _FORMAT:
            raise ValueError(f"its header does not say {_FORMAT}")
        tensors = {name: value.float() for name, value in tensors.items() if name in (*_CHANNELS, "c2w", "intrinsics")}
        check_finite(tensors)
        height, width = tensors["rgb"].shape[-2:]
        if not 1 <= min(height, width) <= max(height, width) <= _MAX_SIDE:
            raise ValueError(f"its pictures have {width} x {height} pixels")
        cameras = checked(Cameras(tensors.pop("c2w"), tensors.pop("intrinsics"), width, height))
        if (torch.diagonal(cameras.intrinsics, dim1=-2, dim2=-1) <= 0).any():
            raise ValueError("its focal lengths are not positive")
        return checked(ViewSet(cameras=cameras, **tensors))
