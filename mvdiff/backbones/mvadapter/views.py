"""Cameras of MV-Adapter as the network sees them, and the photo as it takes it."""

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.conventions import world_rotation
from recon.core.errors import InputError

#: Azimuths in degrees, all at elevation 0; the first sees the object's own front.
AZIMUTHS = (0.0, 45.0, 90.0, 180.0, 270.0, 315.0)
_DISTANCE, _HALF_EXTENT = 1.8, 0.55
#: Share of the picture that the longer side of the object takes, and the gray level behind it.
_SHARE, _GRAY = 0.9, 0.5


def rig(size: int) -> Cameras:
    """The six orthographic cameras [v] around an object whose front faces +Z."""
    return Cameras.orbit(list(AZIMUTHS), 0.0, _DISTANCE, size=size).as_orthographic(_HALF_EXTENT)


def control_images(cameras: Cameras) -> Float[Tensor, "v 6 h w"]:
    """Pictures in [0, 1] of the cameras' direction and of that to their place, both in a world with +Z up.

    All pixels of an orthographic camera have the same values.
    """
    upright = world_rotation("z_up")[:3, :3].to(cameras.c2w)
    place = torch.nn.functional.normalize(cameras.position, dim=-1)
    values = torch.cat([cameras.c2w[:, :3, 2] @ upright, place @ upright], -1)
    values = ((values + 1) / 2).clamp(0, 1)
    return values[:, :, None, None].expand(-1, -1, cameras.height, cameras.width)


def framed(rgba: Image.Image, size: int) -> Image.Image:
    """The object of an RGBA picture in the middle of a gray square, as large as in training."""
    shown = np.argwhere(np.asarray(rgba)[..., 3] > 0)
    if not len(shown):
        raise InputError("The photo shows no object: give one with the object cut out.")
    (top, left), (bottom, right) = shown.min(0), shown.max(0) + 1
    part = rgba.crop((max(left - 1, 0), max(top - 1, 0), right, bottom))
    longer, side = max(part.size), int(size * _SHARE)
    width, height = (
        side if length == longer else max(1, int(length * (size * _SHARE) / longer)) for length in part.size
    )
    small = np.asarray(part.resize((width, height), Image.Resampling.BICUBIC)).astype(np.float32) / 255
    square = np.full((size, size, 3), _GRAY, np.float32)
    row, column = (size - height) // 2, (size - width) // 2
    color, alpha = small[..., :3], small[..., 3:]
    square[row : row + height, column : column + width] = color * alpha + (1 - alpha) * _GRAY
    return Image.fromarray((square * 255).clip(0, 255).astype(np.uint8))


def as_pixels(picture: Image.Image) -> Float[Tensor, "1 3 h w"]:
    """An RGB picture in [-1, 1]."""
    values = torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)
    return 2 * values.permute(2, 0, 1)[None] - 1
