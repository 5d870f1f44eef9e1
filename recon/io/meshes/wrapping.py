"""Texture coordinates beyond 0…1: the repetition is written into the texture, as the sampler states it."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

Wrap = Literal["repeat", "mirror", "clamp"]

#: Longest side of a joined texture.
MAX_ATLAS = 4096
#: Tiles across one face beyond which coordinates are cut off.
MAX_REPEATS = 64
REPEAT: tuple[Wrap, Wrap] = ("repeat", "repeat")


def unroll(
    uv: Float[np.ndarray, "f 3 2"], image: UInt8[np.ndarray, "h w c"], wrap: tuple[Wrap, Wrap] = REPEAT
) -> tuple[Float[np.ndarray, "f 3 2"], UInt8[np.ndarray, "h2 w2 c"]]:
    """Coordinates in 0…1 and the image that they refer to, which holds every tile that a face needs."""
    axes = [_tiles(uv[..., i], image.shape[1 - i], wrap[i]) for i in range(2)]
    sizes = [high - low for _, low, high in axes]
    moved = [(each[0] - each[1]) / size for each, size in zip(axes, sizes, strict=True)]
    coordinates = np.stack(moved, -1).clip(0, 1).astype(np.float32)
    if all((low, high) == (0, 1) for _, low, high in axes):
        return coordinates, image
    height, width = image.shape[:2]
    scale = min(1.0, MAX_ATLAS / (width * sizes[0]), MAX_ATLAS / (height * sizes[1]))
    image = resized(image, max(1, int(width * scale)), max(1, int(height * scale)))
    columns, rows = (_texels(low, high, image.shape[1 - i], wrap[i]) for i, (_, low, high) in enumerate(axes))
    return coordinates, np.ascontiguousarray(image[rows][:, columns])


def resized(image: UInt8[np.ndarray, "h w c"], width: int, height: int) -> UInt8[np.ndarray, "{height} {width} c"]:
    """The image at another size (Lanczos)."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def _tiles(values: Float[np.ndarray, "f 3"], size: int, wrap: Wrap) -> tuple[np.ndarray, float, float]:
    """Coordinates moved towards zero by whole periods, and the range of tiles that they need."""
    if wrap == "clamp":  # to whole texels: a coordinate just outside needs no tile of its own
        low = np.floor(np.clip(values.min() * size + 1e-3, -MAX_REPEATS * size, 0)) / size
        high = np.ceil(np.clip(values.max() * size - 1e-3, size, MAX_REPEATS * size)) / size
        return values, float(low), float(high)
    period = 2 if wrap == "mirror" else 1
    values = values - period * np.floor((values.min(1, keepdims=True) + 1e-4) / period)
    return values, 0, int(np.ceil(values.max() - 1e-3).clip(1, MAX_REPEATS))


def _texels(low: float, high: float, size: int, wrap: Wrap) -> Int[np.ndarray, "n"]:
    """The texel that each place of the unrolled image shows."""
    place = np.arange(round(low * size), max(round(high * size), round(low * size) + 1))
    if wrap == "clamp":
        return place.clip(0, size - 1)
    if wrap == "repeat":
        return place % size
    place = place % (2 * size)
    return np.minimum(place, 2 * size - 1 - place)
