"""Lenses under which an object fills a picture as a given silhouette does."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras


def framed_as(points: Float[Tensor, "k 3"], cameras: Cameras, alpha: Float[Tensor, "h w"]) -> Cameras:
    """``cameras`` [c] with lenses under which the points' box has the center and the larger side of the silhouette's.

    The convex hull of a surface serves as well as the surface.
    """
    rows, columns = ((alpha > 0.5).any(axis).nonzero()[:, 0] for axis in (1, 0))
    height, width = alpha.shape
    scale = alpha.new_tensor([cameras.width / width, cameras.height / height])
    low = alpha.new_tensor([float(columns[0]), float(rows[0])]) * scale
    high = alpha.new_tensor([float(columns[-1] + 1), float(rows[-1] + 1)]) * scale
    pixels, _ = cameras.project(points.cpu()[None].expand(len(cameras), -1, -1))
    own_low, own_high = torch.aminmax(pixels, dim=1)  # [c 2]
    zoom = (high - low).amax() / (own_high - own_low).amax(-1).clamp_min(1e-6)
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, :2, :2] *= zoom[:, None, None]
    shift = (low + high) / 2 - zoom[:, None] * ((own_low + own_high) / 2 - cameras.intrinsics[:, :2, 2])
    intrinsics[:, :2, 2] = shift
    return replace(cameras, intrinsics=intrinsics)
