"""The pixels of posed views as rays, from which the fit draws."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.core.grid import VoxelGrid
from recon.core.views import ViewSet
from recon.fields.interpolation import trilinear
from recon.ops.ragged import padded_nonzero
from recon.ops.windows import max_pool_window


@dataclass(frozen=True)
class RayBatch:
    """``r`` rays for each of ``n`` hypotheses, and what their pixels show."""

    origin: Float[Tensor, "n r 3"]
    direction: Float[Tensor, "n r 3"]
    rgb: Float[Tensor, "n r 3"]
    alpha: Float[Tensor, "n r"]
    distance: Float[Tensor, "n r"]
    """Along the ray to the surface that the view shows; 0 where it shows none."""
    normal: Float[Tensor, "n r 3"] | None
    trust: Float[Tensor, "n r"]
    """In the view."""
    view: Int[Tensor, "n r"]
    """Its number."""


class RayPool:
    """All pixels in and around the silhouettes."""

    def __init__(
        self,
        views: ViewSet,
        trust: Float[Tensor, "n v"],
        confidence: Float[Tensor, "n v 1 h w"] | None = None,
    ) -> None:
        n, v = len(views), views.num_views
        near = max_pool_window(views.alpha, 3).reshape(n, -1) > 0.3
        self.count = near.sum(1)
        chosen, _ = padded_nonzero(near)

        def take(value: Tensor) -> Tensor:
            return value.gather(1, chosen[..., None].expand(-1, -1, value.shape[-1]) if value.ndim == 3 else chosen)

        origin, direction = (value.flatten(1, 2) for value in views.cameras.rays())
        forward = views.cameras.c2w[..., None, :3, 2].expand(n, v, near.shape[1] // v, 3).flatten(1, 2)
        depth = torch.zeros_like(near, dtype=origin.dtype) if views.depth is None else views.depth.flatten(1)
        solid = (views.alpha.flatten(1) > 0.5) & (depth > 0)
        trusted = trust.repeat_interleave(near.shape[1] // v, 1)
        if confidence is not None:  # what is measured counts by its confidence, a silhouette as before
            trusted = trusted * torch.where(solid, confidence.flatten(1), 1.0)
        self.all = RayBatch(
            origin=take(origin),
            direction=take(direction),
            rgb=take(views.rgb.movedim(2, -1).flatten(1, 3)),
            alpha=take(views.alpha.flatten(1)).clamp(0, 1),
            distance=take(torch.where(solid, depth / (direction * forward).sum(-1), 0.0)),
            normal=None if views.normal is None else take(views.normal.movedim(2, -1).flatten(1, 3)),
            trust=take(trusted),
            view=take(torch.arange(v, device=near.device).repeat_interleave(near.shape[1] // v).expand(n, -1)),
        )

    def drawn(self, uniform: Float[Tensor, "r"]) -> Int[Tensor, "n r"]:
        """Numbers of the rays at ``uniform`` places of each hypothesis' own list: none depends on its neighbors."""
        return (uniform * self.count[:, None]).long().clamp_max(self.all.alpha.shape[1] - 1)

    @torch.no_grad()
    def surface_distances(self, values: Float[Tensor, "n g g g"], grid: VoxelGrid) -> Float[Tensor, "n q"]:
        """To what each pixel shows; where it shows no depth, to the first surface of the distances ``values``."""
        index, used = padded_nonzero(self.all.distance == 0)
        origin, direction = (
            x.gather(1, index[..., None].expand(-1, -1, 3)) for x in (self.all.origin, self.all.direction)
        )
        crossing = first_crossings(values, grid, origin, direction) * used
        return self.all.distance.scatter_add(1, index, crossing)

    def take(self, index: Int[Tensor, "n r"]) -> RayBatch:
        def gathered(value: Tensor | None) -> Tensor | None:
            if value is None:
                return None
            return value.gather(1, index[..., None].expand(-1, -1, value.shape[-1]) if value.ndim == 3 else index)

        return RayBatch(**{name: gathered(value) for name, value in vars(self.all).items()})


def first_crossings(
    values: Float[Tensor, "n g g g"],
    grid: VoxelGrid,
    origin: Float[Tensor, "n r 3"],
    direction: Float[Tensor, "n r 3"],
    samples: int = 40,
) -> Float[Tensor, "n r"]:
    """Distance along each ray to where ``values`` first fall below zero, or else to where they are least."""
    middle = ((grid.center - origin) * direction).sum(-1, keepdim=True)
    t = middle + torch.linspace(-1, 1, samples, device=values.device) * grid.extent * 1.1
    points = origin[:, :, None] + direction[:, :, None] * t[..., None]
    along = torch.cat([trilinear(values, part.flatten(1, 2), grid) for part in points.split(4096, 1)], 1)
    along = along.unflatten(1, t.shape[1:])
    inside = along < 0
    first = inside.to(torch.uint8).argmax(-1, keepdim=True)
    here, before = along.gather(-1, first), along.gather(-1, (first - 1).clamp_min(0))
    share = torch.where(first > 0, before / (before - here).clamp_min(1e-6), 1.0).clamp(0, 1)
    crossing = t.gather(-1, first) - (1 - share) * (t[..., 1:2] - t[..., :1])
    least = t.gather(-1, along.argmin(-1, keepdim=True))
    return torch.where(inside.any(-1, keepdim=True), crossing, least)[..., 0]
