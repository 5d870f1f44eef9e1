"""Mean and spread of the sampled views, pixel by pixel."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from recon.cameras import Cameras
from recon.views import ViewSet


@dataclass(frozen=True)
class ViewStatistics:
    """Weighted over hypotheses; standard deviations. Depth counts only hypotheses that have a surface in the pixel."""

    alpha_mean: Float[Tensor, "v 1 h w"]
    alpha_std: Float[Tensor, "v 1 h w"]
    rgb_mean: Float[Tensor, "v 3 h w"]
    """Over white."""
    rgb_std: Float[Tensor, "v 3 h w"]
    depth_mean: Float[Tensor, "v 1 h w"] | None
    depth_std: Float[Tensor, "v 1 h w"] | None
    cameras: Cameras

    def to(self, device: torch.device | str) -> "ViewStatistics":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return ViewStatistics(**{name: None if v is None else v.to(device) for name, v in values.items()})

    @staticmethod
    def from_views(views: Sequence[ViewSet], weights: Float[Tensor, "n"]) -> "ViewStatistics | None":
        """None when the hypotheses were not seen by the same cameras."""
        first = views[0].cameras
        same = all(
            v.cameras.c2w.shape == first.c2w.shape
            and (v.cameras.width, v.cameras.height) == (first.width, first.height)
            and torch.allclose(v.cameras.c2w, first.c2w, atol=1e-4)
            for v in views
        )
        if not same:
            return None
        alpha = torch.cat([v.alpha for v in views])
        alpha_mean, alpha_std = _moments(alpha, weights[:, None, None, None, None].expand_as(alpha))
        rgb = torch.cat([v.composited() for v in views])
        rgb_mean, rgb_std = _moments(rgb, weights[:, None, None, None, None].expand_as(rgb))
        depth_mean = depth_std = None
        if all(v.depth is not None for v in views):
            depth = torch.cat([v.depth for v in views])
            depth_mean, depth_std = _moments(depth, weights[:, None, None, None, None] * (alpha > 0.5))
        return ViewStatistics(alpha_mean, alpha_std, rgb_mean, rgb_std, depth_mean, depth_std, first[0])


def _moments(
    values: Float[Tensor, "n v c h w"], weights: Float[Tensor, "n v c h w"]
) -> tuple[Float[Tensor, "v c h w"], Float[Tensor, "v c h w"]]:
    total = weights.sum(0).clamp_min(1e-12)
    mean = (weights * values).sum(0) / total
    return mean, ((weights * (values - mean) ** 2).sum(0) / total).sqrt()
