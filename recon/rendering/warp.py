"""Forward warping of views with depth into other cameras: a z-buffer over points, one for each pixel.

Every point competes for the pixel it falls into with the 64-bit word (depth bits, source index); an atomic minimum
settles visibility without sorting, as in the rasterizer, because positive floats order like their bits.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.views import ViewSet

_EMPTY = torch.iinfo(torch.int64).max
_NEAR = 1e-3
#: Depth of the sky in the z-buffer, behind everything.
_SKY = 1e6
#: Relative difference of depth from which two surfaces are not the same one.
DEPTH_TEST = 0.04
#: Surfaces seen at a smaller cosine are left out.
_GRAZING = 0.15
#: Second difference of nearness, relative to it, from which a pixel lies on an edge of depth.
_BEND = 0.1


@dataclass(frozen=True)
class Warped:
    """Pictures of target cameras [n v] made of source views; all channels are 0 where nothing is known."""

    rgb: Float[Tensor, "n v 3 h w"]
    depth: Float[Tensor, "n v 1 h w"]
    """z-depth in the target camera; 0 at the sky."""
    valid: Float[Tensor, "n v 1 h w"]
    """1 where a source pixel arrived."""
    provenance: Float[Tensor, "n v 1 h w"]
    """Trust in the source view times how squarely it saw the surface, 0 to 1."""


def forward_warp(views: ViewSet, targets: Cameras, trust: Float[Tensor, "n m"] | None = None) -> Warped:
    """Warp views [n m] with depth into cameras [n v].

    Pixels on edges of depth and at grazing angles are left out. Cracks that open where a surface is magnified are
    closed, so that no surface behind shows through (4 % depth test). The sky is moved by its direction alone.

    Args:
        views: with depth; alpha of at most 1/2 is sky. Normals are used where they are there.
        targets: the cameras to warp into.
        trust: of each source view; 1 where it is left out.
    """
    for cameras in (views.cameras, targets):
        cameras.require_pinholes("Warping")
    n, m = views.rgb.shape[:2]
    trust = views.rgb.new_ones(n, m) if trust is None else trust
    points = _Points.of(views, trust)
    words = torch.stack([points.visible_from(targets[:, k]) for k in range(targets.shape[1])], 1)  # [n v p]
    words = _closed(words.unflatten(-1, (targets.height, targets.width))).flatten(2)
    valid = words != _EMPTY
    index = torch.where(valid, words & 0xFFFFFFFF, 0)
    depth = (words >> 32).to(torch.int32).view(torch.float32)
    known = torch.where(valid & (depth < _SKY), depth, 0.0)

    def take(values: Float[Tensor, "n c p"]) -> Float[Tensor, "n v c h w"]:
        index_ = index[:, :, None].expand(-1, -1, values.shape[1], -1)
        taken = values[:, None].expand(-1, index.shape[1], -1, -1).gather(3, index_)
        return (taken * valid[:, :, None]).unflatten(-1, (targets.height, targets.width))

    def shaped(values: Tensor) -> Float[Tensor, "n v 1 h w"]:
        return values.float()[:, :, None].unflatten(-1, (targets.height, targets.width))

    return Warped(take(points.rgb), shaped(known), shaped(valid), take(points.trust[:, None]))


def depth_edges(depth: Float[Tensor, "*b h w"]) -> Bool[Tensor, "*b h w"]:
    """Pixels at jumps of z-depth: where nearness 1/z, which is linear over a plane, bends. A depth of 0 is the sky."""
    near = torch.where(depth > 0, 1 / depth.clamp_min(1e-6), 0.0)
    edge = torch.zeros_like(depth, dtype=torch.bool)
    for dim in (-1, -2):
        before, here, after = (near.narrow(dim, k, near.shape[dim] - 2) for k in range(3))
        bent = (before + after - 2 * here).abs() > _BEND * torch.maximum(here, torch.maximum(before, after) / 2)
        edge.narrow(dim, 1, near.shape[dim] - 2).logical_or_(bent)
    return edge & (depth > 0)


@dataclass(frozen=True)
class _Points:
    """All pixels of the source views of each set, in one row."""

    place: Float[Tensor, "n p 3"]
    """World position, or of the sky its unit direction."""
    at_infinity: Bool[Tensor, "n p"]
    kept: Bool[Tensor, "n p"]
    rgb: Float[Tensor, "n 3 p"]
    trust: Float[Tensor, "n p"]

    @staticmethod
    def of(views: ViewSet, trust: Float[Tensor, "n m"]) -> "_Points":
        depth = views.depth[:, :, 0]
        _, directions = views.cameras.rays()  # [n m p 3]
        surface = (depth > 0) & (views.alpha[:, :, 0] > 0.5)
        place = views.cameras.unproject(depth).flatten(2, 3)
        at_infinity = ~surface.flatten(2)
        kept = at_infinity | ~depth_edges(depth).flatten(2)
        trust = trust[:, :, None].expand(kept.shape)
        if views.normal is not None:
            cosine = -(views.normal.flatten(3).transpose(-1, -2) * directions).sum(-1)
            kept = kept & (at_infinity | (cosine > _GRAZING))
            trust = torch.where(at_infinity, trust, trust * cosine.clamp(0, 1).sqrt())
        return _Points(
            torch.where(at_infinity[..., None], directions, place).flatten(1, 2),
            at_infinity.flatten(1),
            kept.flatten(1),
            views.rgb.transpose(1, 2).flatten(2),
            trust.flatten(1),
        )

    def visible_from(self, camera: Cameras) -> Int[Tensor, "n q"]:
        """The word of the nearest point in each pixel of one camera for each set."""
        origin = torch.where(self.at_infinity[..., None], 0.0, camera.position[:, None])
        local = (self.place - origin) @ (camera.c2w[:, :3, :3] @ camera.intrinsics.transpose(-1, -2))
        z = local[..., 2]
        x, y = (local[..., :2] / z.clamp_min(_NEAR)[..., None]).floor().unbind(-1)
        inside = self.kept & (z > _NEAR) & (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)
        key = torch.where(self.at_infinity, _SKY, z).float()
        index = torch.arange(z.shape[1], device=z.device)
        words = torch.where(inside, (key.view(torch.int32).long() << 32) | index, _EMPTY)
        pixel = torch.where(inside, y * camera.width + x, 0.0).long()
        buffer = torch.full((len(z), camera.width * camera.height), _EMPTY, dtype=torch.int64, device=z.device)
        return buffer.scatter_reduce_(1, pixel, words, "amin")


def _closed(words: Int[Tensor, "n v h w"]) -> Int[Tensor, "n v h w"]:
    """Pixels between two opposite neighbors that are both nearer (or that alone are known) take the nearer of them."""
    for dim in (-1, -2):
        before = torch.roll(words, 1, dim).index_fill(dim, torch.tensor([0], device=words.device), _EMPTY)
        after = torch.roll(words, -1, dim).index_fill(
            dim, torch.tensor([words.shape[dim] - 1], device=words.device), _EMPTY
        )
        farther = torch.maximum(before, after)
        # An empty word has the bits of a NaN, which compares with nothing.
        behind = _depth(words) > (1 + DEPTH_TEST) * _depth(farther)
        crack = (farther != _EMPTY) & ((words == _EMPTY) | behind)
        words = torch.where(crack, torch.minimum(before, after), words)
    return words


def _depth(words: Int[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    return (words >> 32).to(torch.int32).view(torch.float32)


def seen_in(views: ViewSet, source: ViewSet, tolerance: float = DEPTH_TEST) -> Bool[Tensor, "n v h w"]:
    """Mask of the pixels of views [n v] whose surface a single view [n 1] sees, too; both have depth.

    The sky is seen where its direction meets sky.
    """
    for cameras in (views.cameras, source.cameras):
        cameras.require_pinholes("Warping")
    depth = views.depth[:, :, 0]
    surface = depth > 0
    _, directions = views.cameras.rays()
    place = torch.where(surface.flatten(2)[..., None], views.cameras.unproject(depth).flatten(2, 3), directions)
    position = source.cameras.position[..., None, :] * surface.flatten(2)[..., None]
    camera = source.cameras
    local = (place - position) @ (camera.c2w[..., :3, :3] @ camera.intrinsics.transpose(-1, -2))
    z = local[..., 2]
    x, y = (local[..., :2] / z.clamp_min(_NEAR)[..., None]).floor().unbind(-1)
    inside = (z > _NEAR) & (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)
    pixel = torch.where(inside, y * camera.width + x, 0.0).long()
    there = source.depth.flatten(2).expand(-1, depth.shape[1], -1).gather(2, pixel)
    same = torch.where(surface.flatten(2), (there - z).abs() < tolerance * z, there == 0)
    return (inside & same).unflatten(2, depth.shape[2:])
