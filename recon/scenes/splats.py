"""Splats of a scene: one flat disc for each pixel of the view that shows its surface best."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.core.splats import Splats, quaternion
from recon.core.views import ViewSet
from recon.scenes.depth_maps import DepthMaps

#: Standard deviation of a disc as a share of its pixel's footprint: neighbors overlap to a closed surface.
_SPREAD = 0.6
#: Thickness of a disc as a share of the footprint.
_THIN = 0.1
#: Largest stretch of a disc on a surface seen at a grazing angle.
_STRETCH = 4.0
_OPACITY = 0.98


@dataclass(frozen=True)
class SplatConfig:
    """Density and opacity of a scene's splats."""

    cell: float = 0.03
    """Edge in world units of the cells in which only the best view's splats are kept."""
    agreement_opacity: float = 0.35
    """Opacity of a splat whose depth no other view confirms, as a share of that of a confirmed one."""


def scene_splats(
    views: ViewSet,
    config: SplatConfig | None = None,
    agreement: Float[Tensor, "v h w"] | None = None,
    photo: int | None = 0,
) -> Splats:
    """One disc for each measuring pixel, without repetition where views overlap.

    In each cell only one view's discs stay: the photo's where it sees the cell, else those of the view with the
    smallest pixels there.

    Args:
        views: Views [1 v] with depth and normals.
        config: Density.
        agreement: Confirmation of each pixel by the other views in 0 to 1; all are confirmed by default.
        photo: Index of the view that goes before all others.

    Returns:
        Splats in the order of views and pixels.
    """
    config, maps = config or SplatConfig(), DepthMaps.of(views)
    use = maps.measures
    view = torch.arange(len(use), device=use.device)[:, None, None].expand_as(use)[use]
    depth = torch.where(use, maps.depth, 1.0)
    position = maps.cameras.unproject(depth)[use]
    focal = maps.cameras.intrinsics.diagonal(dim1=-2, dim2=-1)[:, :2].mean(-1)[view]
    footprint, cosine = depth[use] / focal, maps.cosine[use]
    rank = footprint / cosine
    if photo is not None:
        rank = torch.where(view == photo, rank * 1e-3, rank)
    kept = _best_view(position, view, rank, config.cell)
    normal = views.normal[0].permute(0, 2, 3, 1)[use][kept]
    toward = maps.cameras.position[view[kept]] - position[kept]
    confirmed = torch.ones_like(footprint) if agreement is None else agreement[use]
    opacity = _OPACITY * (config.agreement_opacity + (1 - config.agreement_opacity) * confirmed[kept])
    stretch = 1 / cosine[kept].clamp_min(1 / _STRETCH)
    scale = footprint[kept][:, None] * torch.stack([stretch, torch.ones_like(stretch), torch.ones_like(stretch)], -1)
    scale = scale * scale.new_tensor([_SPREAD, _SPREAD, _THIN])
    color = views.rgb[0].permute(0, 2, 3, 1)[use][kept]
    return Splats(position[kept], scale, quaternion(_disc_axes(normal, toward)), opacity, color)


def _best_view(
    position: Float[Tensor, "p 3"], view: Int[Tensor, "p"], rank: Float[Tensor, "p"], cell: float
) -> Bool[Tensor, "p"]:
    """Points of the view that has the lowest mean ``rank`` in each cell."""
    index = (position / cell).floor().long()
    index = index - index.amin(0)
    size = index.amax(0) + 1
    key = (index[:, 0] * size[1] + index[:, 1]) * size[2] + index[:, 2]
    place = torch.unique(key, return_inverse=True)[1]
    pair, number = torch.unique(place * (int(view.max()) + 1) + view, return_inverse=True)
    mean = torch.zeros(len(pair), device=rank.device).scatter_reduce(0, number, rank, "mean", include_self=False)
    best = torch.full((int(place.max()) + 1,), torch.inf, device=rank.device)
    best = best.scatter_reduce(0, place, mean[number], "amin")
    return mean[number] <= best[place]


def _disc_axes(normal: Float[Tensor, "p 3"], toward: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3 3"]:
    """Axes of discs as columns: along the ray's shadow on the surface, across it, and the normal towards the view."""
    facing = torch.where((normal * toward).sum(-1, keepdim=True) < 0, -normal, normal)
    third = torch.nn.functional.normalize(facing, dim=-1)
    shadow = toward - (toward * third).sum(-1, keepdim=True) * third
    # Seen head-on any direction will do.
    other = torch.eye(3, device=third.device)[third.abs().argmin(-1)]
    flat = shadow.norm(dim=-1, keepdim=True) < 1e-4 * toward.norm(dim=-1, keepdim=True)
    shadow = torch.where(flat, other - (other * third).sum(-1, keepdim=True) * third, shadow)
    first = torch.nn.functional.normalize(shadow, dim=-1)
    return torch.stack([first, torch.linalg.cross(third, first), third], -1)
