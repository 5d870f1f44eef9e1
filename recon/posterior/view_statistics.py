"""Mean and spread of the sampled views, pixel by pixel."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.views import ViewSet


@dataclass(frozen=True)
class ViewStatistics:
    """Weighted over hypotheses, of the views whose cameras all hypotheses share; spreads are standard deviations.

    Depth counts only hypotheses that have a surface in the pixel.
    """

    alpha_mean: Float[Tensor, "v 1 h w"]
    alpha_std: Float[Tensor, "v 1 h w"]
    rgb_mean: Float[Tensor, "v 3 h w"]
    """Over white."""
    rgb_std: Float[Tensor, "v 3 h w"]
    depth_mean: Float[Tensor, "v 1 h w"] | None
    depth_std: Float[Tensor, "v 1 h w"] | None
    cameras: Cameras
    normal_mean: Float[Tensor, "v 3 h w"] | None = None
    """Unit normals in world axes, zero where no hypothesis has a surface."""
    normal_spread: Float[Tensor, "v 1 h w"] | None = None
    """Circular standard deviation in degrees (Mardia & Jupp 2000, 0 where they agree)."""

    def to(self, device: torch.device | str) -> "ViewStatistics":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {name: None if v is None else v.to(device) for name, v in values.items()}
        return ViewStatistics(**moved)

    @staticmethod
    def from_views(views: Sequence[ViewSet], weights: Float[Tensor, "n"]) -> "ViewStatistics | None":
        """None when the hypotheses share no camera. (The photo's own view differs with the drawn elevation.)"""
        if len({v.rgb.shape for v in views}) != 1:
            return None
        placed = torch.cat([_placed(v.cameras) for v in views])
        shared = (placed - placed[:1]).abs().amax((0, 2, 3)) < 1e-4
        if not bool(shared.any()):
            return None
        kept = shared.nonzero()[:, 0].tolist()
        views = [v.select_views(kept) for v in views]
        alpha = torch.cat([v.alpha for v in views])
        alpha_mean, alpha_std = _moments(alpha, weights[:, None, None, None, None].expand_as(alpha))
        rgb = torch.cat([v.composited() for v in views])
        rgb_mean, rgb_std = _moments(rgb, weights[:, None, None, None, None].expand_as(rgb))
        depth_mean = depth_std = None
        depths = [v.depth for v in views if v.depth is not None]
        if len(depths) == len(views):
            depth = torch.cat(depths)
            depth_mean, depth_std = _moments(depth, weights[:, None, None, None, None] * (alpha > 0.5))
        normal_mean = normal_spread = None
        normals = [v.normal for v in views if v.normal is not None]
        if len(normals) == len(views):
            normal_mean, normal_spread = _directions(
                torch.cat(normals), weights[:, None, None, None, None] * (alpha > 0.5)
            )
        return ViewStatistics(
            alpha_mean,
            alpha_std,
            rgb_mean,
            rgb_std,
            depth_mean,
            depth_std,
            views[0].cameras[0],
            normal_mean,
            normal_spread,
        )


def _placed(cameras: Cameras) -> Float[Tensor, "n v 3 8"]:
    """Everything that identifies a camera."""
    flat = torch.zeros_like(cameras.c2w[..., :3, :1])
    if cameras.orthographic is not None:
        flat = flat + cameras.orthographic[..., None, None]
    return torch.cat([cameras.c2w[..., :3, :], cameras.intrinsics, flat], -1)


def _directions(
    normals: Float[Tensor, "n v 3 h w"], weights: Float[Tensor, "n v 1 h w"]
) -> tuple[Float[Tensor, "v 3 h w"], Float[Tensor, "v 1 h w"]]:
    total = weights.sum(0)
    mean = (weights * normals).sum(0) / total.clamp_min(1e-12)
    length = mean.norm(dim=1, keepdim=True)
    spread = torch.rad2deg((-2 * length.clamp(1e-6, 1).log()).sqrt())
    return torch.nn.functional.normalize(mean, dim=1), torch.where(total > 0, spread, 0.0)


def _moments(
    values: Float[Tensor, "n v c h w"], weights: Float[Tensor, "n v c h w"]
) -> tuple[Float[Tensor, "v c h w"], Float[Tensor, "v c h w"]]:
    total = weights.sum(0).clamp_min(1e-12)
    mean = (weights * values).sum(0) / total
    return mean, ((weights * (values - mean) ** 2).sum(0) / total).sqrt()
