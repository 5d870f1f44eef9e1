"""Sines and cosines of numbers, as the published models encode times and positions."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def frequencies(count: int, device: torch.device | None = None) -> Float[Tensor, "{count}"]:
    """From 1 down towards 1 / 10000, equal steps of the logarithm (Vaswani et al. 2017)."""
    return torch.exp(-math.log(10_000) * torch.arange(count, dtype=torch.float32, device=device) / count)


def time_code(times: Float[Tensor, "b"], width: int, cosines_first: bool) -> Float[Tensor, "b {width}"]:
    """Code of times; all cosines, then all sines, or the other way about."""
    angles = times[:, None].float() * frequencies(width // 2, times.device)
    waves = (angles.cos(), angles.sin()) if cosines_first else (angles.sin(), angles.cos())
    return torch.cat(waves, -1)


def grid_code(side: int, width: int, device: torch.device | None = None) -> Float[Tensor, "p {width}"]:
    """Code of the cells of a cube, axis after axis, x slowest; channels that are left over are 0."""
    axis = torch.arange(side, dtype=torch.float32, device=device)
    cells = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    angles = cells[..., None] * frequencies(width // 6, device)
    code = torch.cat([angles.sin(), angles.cos()], -1).flatten(1)
    return torch.nn.functional.pad(code, (0, width - code.shape[1]))
