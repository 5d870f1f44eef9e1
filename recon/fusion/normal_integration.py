"""Depth from normals by least squares on the logarithm of depth (Cao et al. 2022), held to a coarse depth."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

#: Weight of the coarse depth relative to a slope: low, so that it decides only what normals leave open.
_ANCHOR = 1e-4
#: Slopes of the log depth a pixel beyond which a pixel is seen too obliquely to be integrated over.
_STEEPEST = 0.1


def integrated_depth(
    normal: Float[Tensor, "3 h w"],
    coarse: Float[Tensor, "h w"],
    mask: Bool[Tensor, "h w"],
    intrinsics: Float[Tensor, "3 3"],
) -> Float[Tensor, "h w"]:
    """z-depth whose slopes are those of ``normal`` (OpenCV camera axes) within ``mask``; 0 outside.

    Neighbors are linked where both are in the mask, neither is seen too obliquely, and ``coarse`` (0 where unknown)
    has no step between them. Parts without any coarse depth stay 0.
    """
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import spsolve

    n, z, inside = (each.detach().cpu().double().numpy() for each in (normal, coarse, mask.double()))
    slope_x, slope_y = _log_slopes(n, intrinsics.detach().cpu().double().numpy())
    known = (inside > 0) & (z > 0)
    if not known.any():
        return torch.zeros_like(coarse)
    steady = (inside > 0) & (np.abs(slope_x) < _STEEPEST) & (np.abs(slope_y) < _STEEPEST)
    log_z = np.log(np.where(z > 0, z, z[known].mean()))
    number = np.full(z.shape, -1)
    number[inside > 0] = np.arange(int((inside > 0).sum()))
    rows = [_links(number, steady, known, log_z, slope, axis) for axis, slope in ((1, slope_x), (0, slope_y))]
    first, second, rise = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    size, count = int(number.max()) + 1, len(first)
    at = np.arange(count)
    difference = coo_matrix(
        (np.r_[np.ones(count), -np.ones(count)], (np.r_[at, at], np.r_[second, first])), shape=(count, size)
    ).tocsr()
    anchor = np.where(known, _ANCHOR, 1e-9)[inside > 0]
    solved = spsolve(
        (difference.T @ difference + diags(anchor)).tocsc(), difference.T @ rise + anchor * log_z[inside > 0]
    )
    result = np.zeros_like(z)
    result[inside > 0] = np.exp(solved)
    return torch.from_numpy(result).to(coarse)


def _log_slopes(
    n: Float[np.ndarray, "3 h w"], intrinsics: Float[np.ndarray, "3 3"]
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Derivatives of log depth along x and y, a pixel: the tangents of z r are perpendicular to the normal."""
    height, width = n.shape[1:]
    y, x = np.mgrid[:height, :width] + 0.5
    across = n[0] * (x - intrinsics[0, 2]) / intrinsics[0, 0] + n[1] * (y - intrinsics[1, 2]) / intrinsics[1, 1] + n[2]
    across = np.minimum(across, -1e-3)  # towards the viewer
    return -n[0] / (intrinsics[0, 0] * across), -n[1] / (intrinsics[1, 1] * across)


def _links(
    number: np.ndarray,
    steady: Bool[np.ndarray, "h w"],
    known: Bool[np.ndarray, "h w"],
    log_z: Float[np.ndarray, "h w"],
    slope: Float[np.ndarray, "h w"],
    axis: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, their neighbors along ``axis``, and the rise of log depth between them."""
    here, there = (slice(None), slice(None, -1)), (slice(None), slice(1, None))
    if axis == 0:
        here, there = (slice(None, -1), slice(None)), (slice(1, None), slice(None))
    step = np.abs(log_z[there] - log_z[here])
    linked = steady[here] & steady[there] & ~(known[here] & known[there] & (step > 2 * _STEEPEST))
    return number[here][linked], number[there][linked], 0.5 * (slope[here] + slope[there])[linked]
