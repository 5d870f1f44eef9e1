"""Procedural pictures that stand in for photographs behind the objects."""

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from mvdiff.data.scenes import textures

_MAKERS = (
    textures.planks,
    textures.tiles,
    textures.carpet,
    textures.wallpaper,
    textures.bricks,
    textures.concrete,
    textures.stone,
    textures.fabric,
    textures.rug,
    textures.books,
    textures.painting,
    textures.grass,
)


def procedural_backgrounds(count: int, seed: int) -> UInt8[Tensor, "p 3 256 512"]:
    """Walls over floors, each of a tiled texture, with one brightness gradient."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([_background(rng) for _ in range(count)])).permute(0, 3, 1, 2).contiguous()


def _background(rng: np.random.Generator) -> UInt8[np.ndarray, "256 512 3"]:
    wall, floor = (np.tile(textures.pick(rng, _MAKERS, [1 / len(_MAKERS)] * len(_MAKERS)), (2, 4, 1)) for _ in range(2))
    picture = np.where(np.arange(256)[:, None, None] < rng.integers(0, 257), wall, floor)
    light = 1 + rng.uniform(-0.3, 0.3) * np.linspace(-1, 1, 512)[None, :, None]
    return ((picture * light * rng.uniform(0.6, 1.1)).clip(0, 1) * 255).astype(np.uint8)
