"""RGB-D sequences: ``NAME.color.png``, ``NAME.depth.png`` and ``NAME.pose.txt`` for each frame, as 7-Scenes keeps them.

Depth is 16-bit in millimeters, 0 and 65535 where nothing was measured. Poses are camera-to-world with OpenCV axes. A
``camera-intrinsics.txt`` (3 x 3, for the pictures' size) stands beside the frames or above them.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.paths import is_file, is_folder
from recon.core.reading import read_text, reading
from recon.core.views import ViewSet
from recon.io.images.files import load_image, load_values

_POSE, _DEPTH = ".pose.txt", ".depth.png"
_COLORS = (".color.png", ".color.jpg")
_INTRINSICS = "camera-intrinsics.txt"
#: Kinect of 7-Scenes, for 640 x 480.
_DEFAULT_FOCAL, _DEFAULT_WIDTH = 585.0, 640
_NOT_MEASURED = 65535
_MILLIMETRES = 1000.0
#: Bytes of a matrix as text.
_MAX_MATRIX = 1 << 16


@dataclass(frozen=True)
class RgbdSequence:
    """Frames on disk; poses are read, pictures only when they are asked for."""

    folder: Path
    names: tuple[str, ...]
    """Frames with picture, depth and a finite pose, in order."""
    c2w: Float[Tensor, "v 4 4"]
    lens: Float[Tensor, "3 3"] | None
    """Intrinsics of the images, where a file has them."""

    def __len__(self) -> int:
        return len(self.names)

    @staticmethod
    def open(folder: Path) -> "RgbdSequence":
        """Raises :class:`InputError` for a folder without such frames."""
        names = sorted(p.name.removesuffix(_POSE) for p in folder.glob(f"*{_POSE}"))
        complete = [n for n in names if _color(folder, n) is not None and is_file(folder / f"{n}{_DEPTH}")]
        poses = [_pose(folder / f"{name}{_POSE}") for name in complete]
        kept = [k for k, pose in enumerate(poses) if pose is not None]
        if not kept:
            raise InputError(f"'{folder}' holds no frames of color, depth and pose (NAME{_POSE}): check the folder.")
        if len(kept) < len(names):
            warnings.warn(f"{len(names) - len(kept)} frames of '{folder}' are incomplete and left out.", stacklevel=2)
        c2w = torch.stack([poses[k] for k in kept])
        return RgbdSequence(folder, tuple(complete[k] for k in kept), c2w, _lens(folder))

    def load(self, frames: Sequence[int], size: tuple[int, int]) -> ViewSet:
        """Frames as views [1 v] of ``size`` (width, height), into which pictures are squeezed; depth in meters.

        Alpha is 1 everywhere; depth is 0 where nothing was measured.
        """
        pictures, depths, lenses = zip(*(self._frame(self.names[k], size) for k in frames), strict=True)
        rgb, depth = torch.stack(pictures)[None], torch.stack(depths)[None, :, None]
        cameras = Cameras(self.c2w[list(frames)], torch.stack(lenses), *size).reshape(1, len(frames))
        return ViewSet(rgb, torch.ones_like(depth), cameras, depth=depth)

    def _frame(
        self, name: str, size: tuple[int, int]
    ) -> tuple[Float[Tensor, "3 h w"], Float[Tensor, "h w"], Float[Tensor, "3 3"]]:
        path = _color(self.folder, name)
        if path is None:
            raise InputError(f"Frame '{name}' of '{self.folder}' has lost its picture: copy it again.")
        picture = load_image(path, upright=False).convert("RGB")
        values = load_values(self.folder / f"{name}{_DEPTH}").astype(np.int32)
        depth = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.NEAREST))
        lens = self.lens
        if lens is None:
            focal = _DEFAULT_FOCAL * picture.width / _DEFAULT_WIDTH
            lens = torch.tensor([[focal, 0, picture.width / 2], [0, focal, picture.height / 2], [0, 0, 1]])
        lens = lens * torch.tensor([[size[0] / picture.width], [size[1] / picture.height], [1.0]])
        rgb = np.asarray(picture.resize(size, Image.Resampling.BOX), np.float32) / 255
        metres = np.where(depth == _NOT_MEASURED, 0, depth).astype(np.float32) / _MILLIMETRES
        return torch.from_numpy(rgb).permute(2, 0, 1), torch.from_numpy(metres), lens


def find(path: Path) -> bool:
    """Whether ``path`` is a folder of such frames."""
    return is_folder(path) and next(path.glob(f"*{_POSE}"), None) is not None


def _color(folder: Path, name: str) -> Path | None:
    return next((folder / f"{name}{end}" for end in _COLORS if is_file(folder / f"{name}{end}")), None)


def _pose(path: Path) -> Float[Tensor, "4 4"] | None:
    """None where tracking was lost, which such files tell by numbers that are not finite."""
    matrix = _matrix(path, (4, 4))
    return torch.from_numpy(matrix).float() if np.isfinite(matrix).all() else None


def _lens(folder: Path) -> Float[Tensor, "3 3"] | None:
    for place in (folder, folder.parent):
        if is_file(place / _INTRINSICS):
            return torch.from_numpy(_matrix(place / _INTRINSICS, (3, 3))).float()
    warnings.warn(f"'{folder}' has no {_INTRINSICS}: a Kinect's lens is taken (585 pixels of 640).", stacklevel=3)
    return None


def _matrix(path: Path, shape: tuple[int, int]) -> Float[np.ndarray, "r c"]:
    with reading(path, "matrix", "export it again"):
        matrix = np.loadtxt(read_text(path, _MAX_MATRIX).splitlines())
    if matrix.shape != shape:
        raise InputError(f"'{path}' holds a matrix of {matrix.shape}, not {shape}: export it again.")
    return matrix
