"""Errors of depth maps and normal maps."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.metrics.image import masked_mean

_LEAST_DEPTH = 1e-6


def abs_rel(
    depth: Float[Tensor, "*#batch h w"], truth: Float[Tensor, "*#batch h w"], mask: Bool[Tensor, "*#batch h w"]
) -> Float[Tensor, "*#batch"]:
    """Mean of |depth - truth| / truth over ``mask`` (AbsRel, Eigen et al. 2014); NaN for an empty mask."""
    return masked_mean((depth - truth).abs() / truth.clamp_min(_LEAST_DEPTH), mask)


def within_ratio(
    depth: Float[Tensor, "*#batch h w"],
    truth: Float[Tensor, "*#batch h w"],
    mask: Bool[Tensor, "*#batch h w"],
    ratio: float = 1.25,
) -> Float[Tensor, "*#batch"]:
    """Share of ``mask`` where depth and truth differ by less than a factor of ``ratio`` (delta < 1.25)."""
    depth, truth = depth.clamp_min(_LEAST_DEPTH), truth.clamp_min(_LEAST_DEPTH)
    return masked_mean((torch.maximum(depth / truth, truth / depth) < ratio).float(), mask)


def median_scale(
    depth: Float[Tensor, "h w"], truth: Float[Tensor, "h w"], mask: Bool[Tensor, "h w"]
) -> Float[Tensor, ""]:
    """Factor that brings ``depth`` onto ``truth``: the median of their ratios over ``mask``; 1 for an empty mask."""
    known = mask & (depth > 0) & (truth > 0)
    return (truth[known] / depth[known]).median() if bool(known.any()) else truth.new_ones(())


def normal_degrees(
    normal: Float[Tensor, "*#batch 3 h w"], truth: Float[Tensor, "*#batch 3 h w"], mask: Bool[Tensor, "*#batch h w"]
) -> Float[Tensor, "*#batch"]:
    """Mean angle in degrees between normals over ``mask``; NaN for an empty mask."""
    a, b = (torch.nn.functional.normalize(n, dim=-3) for n in torch.broadcast_tensors(normal, truth))
    # Unlike acos of the cosine, this is exact for equal normals.
    angle = torch.atan2(torch.linalg.cross(a, b, dim=-3).norm(dim=-3), (a * b).sum(-3))
    return masked_mean(torch.rad2deg(angle), mask)
