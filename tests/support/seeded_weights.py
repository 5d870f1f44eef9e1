"""Random weights that two implementations can share: each tensor depends on its name and shape only."""

import math
import zlib
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def seeded_tensor(name: str, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Values for the parameter ``name``: of unit gain for matrices and kernels, near 1 for scales, small for biases."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{name}".encode()))
    values = torch.randn(shape, generator=generator)
    if len(shape) >= 2:
        return values / math.sqrt(math.prod(shape[1:]))
    return 1 + 0.1 * values if name.endswith("weight") else 0.1 * values


def seeded_state(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """A state dict for names and shapes, in the sorted order of the names."""
    return {name: seeded_tensor(name, tuple(shapes[name]), seed) for name in sorted(shapes)}


def initialize_by_name(module: M, seed: int = 0) -> M:
    """Overwrite every floating-point parameter and buffer of ``module``, zero-initialized ones too; in place.

    Two modules with the same names and shapes get the same values, in whatever order they were built.
    """
    state = module.state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items() if value.is_floating_point()}
    module.load_state_dict(seeded_state(shapes, seed), strict=False)
    return module.eval()
