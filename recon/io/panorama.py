"""Panoramas from and to image files: equirectangular, 2:1."""

import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from recon.core.errors import InputError
from recon.io.folders import atomic_write
from recon.io.images.files import load_image

#: Relative difference from 2:1 up to which an image is a panorama.
_TOLERANCE = 0.01


def load_panorama(path: str | os.PathLike, max_height: int = 2048) -> Float[Tensor, "3 h w"]:
    """Read an equirectangular image (sRGB, 2:1). Raises :class:`InputError` for any other shape."""
    path = Path(path)
    image = load_image(path, alpha="straight", max_side=2 * max_height).convert("RGB")
    width, height = image.size
    if abs(width / height / 2 - 1) > _TOLERANCE:
        raise InputError(f"'{path}' is {width} x {height}: a full panorama is twice as wide as high.")
    height = min(height, max_height)
    if image.size != (2 * height, height):
        image = image.resize((2 * height, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1).contiguous()


def save_panorama(image: Float[Tensor, "3 h w"], path: str | os.PathLike) -> Path:
    """Write an equirectangular image atomically; the format is the suffix."""
    with atomic_write(path) as temporary:
        Image.fromarray((image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()).save(temporary)
    return Path(path)
