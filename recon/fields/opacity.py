"""Opacity of intervals along rays: from signed distances (NeuS, Wang et al. 2021) and from densities."""

import torch
from jaxtyping import Float
from torch import Tensor


def neus_alpha(sdf: Float[Tensor, "*r s"], sharpness: float | Float[Tensor, ""]) -> Float[Tensor, "*r t"]:
    """Opacity of the intervals between neighboring samples of a signed distance (NeuS, Wang et al. 2021, eq. 13)."""
    outside = torch.sigmoid(sdf * sharpness)
    return ((outside[..., :-1] - outside[..., 1:]) / (outside[..., :-1] + 1e-5)).clamp(0, 1)


def density_alpha(density: Float[Tensor, "*r s"], t: Float[Tensor, "*r s"]) -> Float[Tensor, "*r t"]:
    """Opacity of the intervals, their density the mean of both ends (NeRF, Mildenhall et al. 2020, eq. 3)."""
    return -torch.expm1(-(density[..., 1:] + density[..., :-1]) / 2 * (t[..., 1:] - t[..., :-1]))
