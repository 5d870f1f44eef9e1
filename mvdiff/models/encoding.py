"""Between pictures and the eight channels in [-1, 1] that the network denoises."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.rendering.warp import Warped

#: Albedo, alpha, world normal, depth.
CHANNELS = 8
#: Channels of a view that share a noise level where a network has two: colors; alpha, normal and depth.
GROUPS = (3, 5)
#: Warped colors and depth code, validity, provenance.
CONDITION_CHANNELS = 6
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
    """The inverse, onto valid colors, unit normals and depths inside the bounding sphere's slab."""
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
    """A photo with straight alpha in [0, 1] to [-1, 1], color 0 where the object is not."""
    rgb, alpha = rgba.split([3, 1], dim=-3)
    return torch.cat([(rgb * 2 - 1) * (alpha > 0), alpha * 2 - 1], -3)


@dataclass(frozen=True)
class SceneCode:
    """The same channels for scenes: lit colors everywhere, alpha 0 at the sky, nearness in place of depth.

    Nearness is y = z0 / (z + z0), stored as 2 y - 1: bounded, finest around ``z0`` and 0 at the sky.
    """

    z0: float = 1.5
    """Depth of nearness 1/2: the photo's median depth, which is the unit of a scene's world."""
    farthest: float = 255.0
    """Greatest depth that is decoded, in ``z0``."""

    def encode_depth(self, depth: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Code in [-1, 1) of z-depths; a depth of 0 is the sky."""
        return torch.where(depth > 0, 2 * self.z0 / (depth + self.z0), 0.0) - 1

    def decode_depth(self, code: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """z-depths above 0, also of the sky's code."""
        near = (code * 0.5 + 0.5).clamp(1 / (1 + self.farthest), 1 - 1e-3)
        return self.z0 * (1 - near) / near

    def encode(self, views: ViewSet) -> Float[Tensor, "n v 8 h w"]:
        """Channels of views; missing normals and depth become zero."""
        surface = (views.alpha > 0.5).float()
        normal = torch.zeros_like(views.rgb) if views.normal is None else views.normal * surface
        depth = torch.zeros_like(views.alpha) if views.depth is None else self.encode_depth(views.depth)
        return torch.cat([views.rgb * 2 - 1, views.alpha * 2 - 1, normal, depth], -3)

    def decode(self, sample: Float[Tensor, "n v 8 h w"], cameras: Cameras) -> ViewSet:
        """Views with valid colors, unit normals and positive depths; normals and depth are 0 at the sky."""
        rgb, alpha, normal, code = sample.float().split([3, 1, 3, 1], dim=-3)
        alpha = (alpha * 0.5 + 0.5).clamp(0, 1)
        surface = (alpha > 0.5).float()
        return ViewSet(
            rgb=(rgb * 0.5 + 0.5).clamp(0, 1),
            alpha=alpha,
            cameras=cameras,
            normal=torch.nn.functional.normalize(normal, dim=-3) * surface,
            depth=self.decode_depth(code) * surface,
        )

    def condition(self, warped: Warped) -> Float[Tensor, "n v 6 h w"]:
        """Condition channels: warped colors and depth code where valid (else 0), validity, provenance."""
        pictures = torch.cat([warped.rgb * 2 - 1, self.encode_depth(warped.depth)], -3) * warped.valid
        return torch.cat([pictures, warped.valid, warped.provenance * warped.valid], -3)


def _origin_distance(cameras: Cameras) -> Float[Tensor, "n v 1 1 1"]:
    return cameras.position.norm(dim=-1)[..., None, None, None]
