"""Pictures with known cameras, from whatever file names them, to one ViewSet."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.core.views import ViewSet
from recon.io.images.files import load_image, load_mask
from recon.io.images.matting import cut_out
from recon.io.views.lens import Lens, undistorted

#: Pictures larger than this are reduced.
MAX_SIDE = 1024
_ANY_SIZE = 1 << 20
#: Single precision has seven digits; cameras farther from the origin than this, in sizes of their ring, need more.
_FAR = 1000.0


@dataclass(frozen=True)
class PosedPicture:
    """One picture still on disk, and the camera that took it."""

    where: str
    """Name of the photo in messages."""
    picture: Path
    c2w: Float[np.ndarray, "4 4"]
    """Camera-to-world, OpenCV axes, in double precision."""
    lens: Lens | None
    """Lens of the image or of a scaled copy of it; None to use ``fov``."""
    mask: Path | None = None
    """Values that become the alpha."""
    as_stored: bool = False
    """Whether the camera speaks of the pixels as they are stored, without the rotation in the picture's metadata."""
    fov: float = 40.0
    """Vertical field of view in degrees, where there is no ``lens``."""

    def lens_of(self, size: tuple[int, int]) -> Lens:
        """The lens on a picture of ``size``. Raises :class:`InputError` where its shape is another."""
        width, height = size
        if self.lens is None:
            focal = 0.5 * height / np.tan(np.radians(self.fov) / 2)
            return Lens(width, height, (focal, focal), (width / 2, height / 2))
        if not self.lens.fits(size):
            raise InputError(
                f"{self.where} speaks of {self.lens.width:g} x {self.lens.height:g} pixels, "
                f"but its picture has {width} x {height}: give the pictures that the cameras were found with."
            )
        return self.lens.resized(width, height)


def find_picture(folders: Sequence[Path], name: str, suffixes: Sequence[str] = ("",)) -> Path | None:
    """The file that ``name`` means in one of ``folders``.

    Names of Windows programs (``images\\\\0.png``) are understood; of an absolute path of another machine, the ends.
    """
    plain = name.replace("\\", "/")
    ends = plain.split("/")
    foreign = plain.startswith("/") or plain[1:3] == ":/"
    names = [name, plain, *("/".join(ends[-count:]) for count in range(len(ends) - 1, 0, -1) if foreign)]
    places = (folder / (each + suffix) for each in names for folder in folders for suffix in suffixes)
    return next((place for place in places if is_file(place)), None)


def load_posed(frames: Sequence[PosedPicture], source: str, max_side: int = MAX_SIDE, whole: bool = False) -> ViewSet:
    """All frames as views [1 v]; opaque pictures are cut out as photos are, with a warning that names ``source``.

    ``whole`` keeps them as they are, as pictures of scenes must be. Distorted pictures become those of a pinhole.
    Smaller ones are padded to one size on the right and below, which leaves their cameras as they are. Cameras very far
    from the origin stay in double precision.

    Raises:
        InputError: for pictures that cannot be read or do not fit their cameras.
    """
    lenses, pictures, opaque = [], [], 0
    for frame in frames:
        rgba, lens = _picture(frame)
        if not whole and rgba[..., 3].min() > 250:
            opaque += 1
            cut, _ = cut_out(Image.fromarray(rgba))
            rgba = np.rint(cut * 255).astype(np.uint8)
        rgba, lens = undistorted(*_reduced(rgba, lens, max_side))
        rgba, lens = _reduced(rgba, lens, max_side)
        lenses.append(lens)
        pictures.append(rgba)
    if opaque:
        warnings.warn(
            f"{opaque} of {len(pictures)} pictures of '{source}' have no transparency; "
            "the object was cut out of them automatically: check the result.",
            stacklevel=3,
        )
    rgba = _stacked(pictures)
    cameras = _cameras(np.stack([frame.c2w for frame in frames]), lenses, (rgba.shape[-1], rgba.shape[-2]))
    return ViewSet(rgba[:, :, :3], rgba[:, :, 3:], cameras)


def _picture(frame: PosedPicture) -> tuple[UInt8[np.ndarray, "h w 4"], Lens]:
    """A frame's whole picture with its mask, and the lens on it."""
    upright = not frame.as_stored
    image = load_image(frame.picture, max_side=_ANY_SIZE, upright=upright)
    if frame.as_stored and frame.lens is not None and not frame.lens.fits(image.size):
        turned = load_image(frame.picture, max_side=_ANY_SIZE)
        if frame.lens.fits(turned.size):  # a program that turned the pictures before it looked at them
            image, upright = turned, True
    lens, rgba = frame.lens_of(image.size), np.array(image)
    if frame.mask is not None:
        mask = load_mask(frame.mask, upright=upright)
        if not lens.fits(mask.shape[::-1]):
            raise InputError(
                f"{frame.where} has a mask of {mask.shape[1]} x {mask.shape[0]} pixels for a picture of "
                f"{image.width} x {image.height}: make them equal."
            )
        rgba[..., 3] = np.asarray(Image.fromarray(mask).resize(image.size, Image.Resampling.BILINEAR))
    return rgba, lens


def _reduced(rgba: UInt8[np.ndarray, "h w 4"], lens: Lens, max_side: int) -> tuple[UInt8[np.ndarray, "h2 w2 4"], Lens]:
    longest = max(rgba.shape[:2])
    if longest <= max_side:
        return rgba, lens
    width, height = (max(1, round(side * max_side / longest)) for side in rgba.shape[1::-1])
    image = Image.fromarray(rgba).resize((width, height), Image.Resampling.LANCZOS)
    return np.array(image), lens.resized(width, height)


def _stacked(pictures: Sequence[UInt8[np.ndarray, "_h _w 4"]]) -> Float[Tensor, "1 v 4 h w"]:
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    rgba = torch.zeros(1, len(pictures), 4, height, width)
    for place, picture in zip(rgba[0], pictures, strict=True):
        place[:, : picture.shape[0], : picture.shape[1]] = torch.from_numpy(picture).permute(2, 0, 1) / 255
    return rgba


def _cameras(c2w: Float[np.ndarray, "v 4 4"], lenses: Sequence[Lens], size: tuple[int, int]) -> Cameras:
    middle = c2w[:, :3, 3].mean(0)
    reach = np.linalg.norm(c2w[:, :3, 3] - middle, axis=-1).max()
    far = 0 < _FAR * reach < np.linalg.norm(middle)
    precision = torch.float64 if far else torch.float32
    intrinsics = np.stack([lens.matrix() for lens in lenses])
    matrices = (torch.from_numpy(values)[None].to(precision) for values in (c2w, intrinsics))
    flat = torch.tensor([[lens.orthographic for lens in lenses]])
    return Cameras(*matrices, *size, flat if bool(flat.any()) else None)
