"""Closed-form fusion: depths and silhouettes of all views vote into a signed-distance grid."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon.grid import VoxelGrid
from recon.views import ViewSet


@dataclass(frozen=True)
class FuseConfig:
    """How the votes are weighed."""

    truncation: float = 0.04
    """Distances beyond this say only on which side of the surface a point lies, in world units."""
    chunk: int = 2**18
    """Voxels at a time: bounds the memory."""


def fuse(views: ViewSet, grid: VoxelGrid, config: FuseConfig) -> Float[Tensor, "n g g g"]:
    """Signed distance, negative inside, truncated to +-``truncation``; one field for each hypothesis.

    With depth every view measures its own surface; without it the silhouettes alone carve (the visual hull).
    Pictures are assumed to hold the whole object: what lies outside a picture is outside the silhouette.
    """
    points = grid.to(views.device).points().reshape(-1, 3)
    fields = []
    for k in range(len(views)):
        maps = _channels(views[k], config)
        parts = [_vote(views[k], maps, part, config) for part in points.split(config.chunk)]
        fields.append(torch.cat(parts).reshape((grid.resolution,) * 3))
    return torch.stack(fields)


def _channels(views: ViewSet, config: FuseConfig) -> Float[Tensor, "v c h w"]:
    """What the votes read: the silhouette's distance in pixels; then weight, weighted depth and weighted cosine."""
    edge = silhouette_distance(views.alpha[0])
    if views.depth is None:
        return edge
    solid = ((views.alpha[0] > 0.5) & (views.depth[0] > 0)).float()
    weight = solid * (1 - 0.9 * _is_torn(views.depth[0], solid, config.truncation))
    # Weighted, so that interpolation at a silhouette does not mix in the background's zeros.
    return torch.cat([edge, weight, weight * views.depth[0], weight * _cosine(views)], 1)


def _vote(
    views: ViewSet, maps: Float[Tensor, "v c h w"], points: Float[Tensor, "p 3"], config: FuseConfig
) -> Float[Tensor, "p"]:
    cameras, limit = views.cameras[0], config.truncation
    pixels, z = cameras.project(points[None])
    size = pixels.new_tensor([cameras.width, cameras.height])
    values = torch.nn.functional.grid_sample(
        maps, (pixels / size * 2 - 1)[:, None], padding_mode="border", align_corners=False
    )[:, :, 0]
    visible = z > 1e-3
    pixel_size = z / cameras.intrinsics[:, 1, 1, None]
    outside = torch.where(visible, values[:, 0] * pixel_size, -limit)  # from the silhouette's edge, in world units
    if views.depth is None:
        return _intersection(outside.clamp(-limit, limit))
    weight, depth, cosine = values[:, 1:].unbind(1)
    depth, cosine = (value / weight.clamp_min(1e-3) for value in (depth, cosine))
    # Along the normal, not along the ray: exact for a plane, however slanted it is.
    ahead = (depth - z) * cosine
    covered = visible & (weight > 1e-2)
    near = covered & (ahead.abs() <= limit)
    # Grazing views measure badly.
    confidence = near * weight * cosine.clamp(0.1, 1) ** 2
    # Emptiness grows with the distance from the silhouette, so that a border that is a pixel off does not carve.
    empty = torch.where(covered, (ahead > limit) * weight, (outside / (0.5 * limit)).clamp(0, 1))
    distance = torch.where(covered, ahead, outside).clamp(-limit, limit)
    # What lies behind a view's surface is unknown to it: it has no vote. Unknown to all means inside.
    votes = confidence + empty
    total = votes.sum(0)
    return torch.where(total > 1e-3, (votes * distance).sum(0) / total.clamp_min(1e-3), -limit)


def _intersection(outside: Float[Tensor, "v p"]) -> Float[Tensor, "p"]:
    """The visual hull's distance; with many views a single one that disagrees is not believed."""
    tolerated = len(outside) // 8
    return outside.topk(tolerated + 1, dim=0).values[-1]


def silhouette_distance(alpha: Float[Tensor, "v 1 h w"]) -> Float[Tensor, "v 1 h w"]:
    """Pixels from the contour alpha = 0.5, positive outside; sub-pixel next to it."""
    from scipy.ndimage import distance_transform_edt

    maps = []
    for picture in alpha[:, 0].cpu().numpy():
        inside = picture > 0.5
        if not inside.any():
            maps.append(np.full(picture.shape, float(sum(picture.shape)), np.float32))
            continue
        if inside.all():
            maps.append(np.full(picture.shape, -float(sum(picture.shape)), np.float32))
            continue
        distance = distance_transform_edt(~inside) - distance_transform_edt(inside)
        distance -= np.sign(distance) * 0.5  # between pixel centres, not at them
        # Alpha is the covered share of a pixel: on the border it is the distance itself.
        maps.append(np.where(np.abs(distance) < 1, 0.5 - picture, distance).astype(np.float32))
    return torch.from_numpy(np.stack(maps))[:, None].to(alpha.device)


def _is_torn(
    depth: Float[Tensor, "v 1 h w"], solid: Float[Tensor, "v 1 h w"], limit: float
) -> Float[Tensor, "v 1 h w"]:
    """Pixels beside a jump of the depth: they mix front and back."""
    inside = torch.where(solid > 0, depth, torch.inf)
    low = -torch.nn.functional.max_pool2d(-inside, 3, 1, 1)
    high = torch.nn.functional.max_pool2d(torch.where(solid > 0, depth, -torch.inf), 3, 1, 1)
    return (high - low > 1.5 * limit).float()


def _cosine(views: ViewSet) -> Float[Tensor, "v 1 h w"]:
    """Of the angle between surface and line of sight, times the ray's length at depth 1: depth to distance."""
    cameras = views.cameras[0]
    _, directions = cameras.rays()
    ahead = directions / (directions * cameras.c2w[:, None, :3, 2]).sum(-1, keepdim=True)
    ahead = ahead.movedim(-1, 1).unflatten(-1, (cameras.height, cameras.width))
    normal = views.normal[0] if views.normal is not None else depth_normals(views)
    return -(ahead * normal).sum(1, keepdim=True).clamp(-1.5, -0.05)


def depth_normals(views: ViewSet) -> Float[Tensor, "v 3 h w"]:
    """World normals from the slopes of the depth maps, towards the camera."""
    points = views.cameras[0].unproject(views.depth[0, :, 0]).movedim(-1, 1)
    padded = torch.nn.functional.pad(points, (1, 1, 1, 1), mode="replicate")
    right = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    return torch.nn.functional.normalize(torch.linalg.cross(down, right, dim=1), dim=1)
