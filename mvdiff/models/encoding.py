"""Between pictures and the eight channels in [-1, 1] that the network denoises."""

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.views import ViewSet

#: Albedo, alpha, world normal, depth.
CHANNELS = 8
RADIUS = 0.5


def encode_views(views: ViewSet) -> Float[Tensor, "n v 8 h w"]:
    """Missing normals and depth become zero; so is every channel but alpha where the object is not."""
    inside = (views.alpha > 0).float()
    normal = torch.zeros_like(views.rgb) if views.normal is None else views.normal
    depth = torch.zeros_like(views.alpha)
    if views.depth is not None:
        depth = (views.depth - _origin_distance(views.cameras)) / RADIUS
    return torch.cat([(views.rgb * 2 - 1) * inside, views.alpha * 2 - 1, normal * inside, depth * inside], -3)


def decode_views(sample: Float[Tensor, "n v 8 h w"], cameras: Cameras) -> ViewSet:
    """The inverse, onto valid colours, unit normals and depths inside the bounding sphere's slab."""
    rgb, alpha, normal, depth = sample.float().split([3, 1, 3, 1], dim=-3)
    alpha = (alpha * 0.5 + 0.5).clamp(0, 1)
    inside = (alpha > 1 / 255).float()
    return ViewSet(
        rgb=(rgb * 0.5 + 0.5).clamp(0, 1) * inside,
        alpha=alpha,
        cameras=cameras,
        normal=torch.nn.functional.normalize(normal, dim=-3) * inside,
        depth=(depth.clamp(-1, 1) * RADIUS + _origin_distance(cameras)) * inside,
    )


def encode_reference(rgba: Float[Tensor, "*b 4 h w"]) -> Float[Tensor, "*b 4 h w"]:
    """A photo with straight alpha in [0, 1] to [-1, 1], colour 0 where the object is not."""
    rgb, alpha = rgba.split([3, 1], dim=-3)
    return torch.cat([(rgb * 2 - 1) * (alpha > 0), alpha * 2 - 1], -3)


def _origin_distance(cameras: Cameras) -> Float[Tensor, "n v 1 1 1"]:
    return cameras.position.norm(dim=-1)[..., None, None, None]
