"""Observations of points by posed views: outside the silhouette, in front of a surface, or behind it."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.ops.distance_transform import distance_transform
from recon.ops.windows import max_pool_window, min_pool_window

#: Beside a step of the depth of more than this, in world units, a pixel mixes front and back.
_STEP = 0.06


@dataclass(frozen=True)
class Readings:
    """Observations of ``p`` points by every view."""

    visible: Bool[Tensor, "v p"]
    """In front of the camera."""
    outside: Float[Tensor, "v p"]
    """Distance from the silhouette's edge, positive outside, in world units."""
    covered: Bool[Tensor, "v p"]
    """Whether the view measures a surface there."""
    weight: Float[Tensor, "v p"]
    """Weight of the measurement: at most 1, or the pixel's confidence where that is stated."""
    cosine: Float[Tensor, "v p"]
    """Between its normal and the line of sight."""
    ahead: Float[Tensor, "v p"]
    """Distance to it along its normal, positive in front of it."""


@dataclass(frozen=True)
class ObservationMaps:
    """The views of one hypothesis, prepared for looking up points."""

    cameras: Cameras
    """Batch shape [v]."""
    pictures: Float[Tensor, "v c h w"]
    """The silhouette's distance in pixels; with depth also weight, weighted depth and weighted cosine."""
    surface: Float[Tensor, "v h w 3"] | None
    """The points that the pixels show; None without depth."""

    @staticmethod
    def of(
        views: ViewSet, step: float = _STEP, confidence: Float[Tensor, "1 v 1 h w"] | None = None
    ) -> "ObservationMaps":
        """Build the maps of ``views`` [1 v]; pixels beside a depth discontinuity above ``step`` get a low weight.

        Views that show nothing are left out where others show something. ``confidence`` multiplies the weights.
        """
        shown = showing(views)[0]
        if bool(shown.any()) and not bool(shown.all()):
            kept = shown.nonzero()[:, 0].tolist()
            views, confidence = views.select_views(kept), None if confidence is None else confidence[:, kept]
        cameras, edge = views.cameras[0], silhouette_distance(views.alpha[0])
        if views.depth is None:
            return ObservationMaps(cameras, edge, None)
        solid = ((views.alpha[0] > 0.5) & (views.depth[0] > 0)).float()
        weight = solid * (1 - 0.9 * _is_torn(views.depth[0], solid, step))
        if confidence is not None:
            weight = weight * confidence[0]
        # Weighted, so that interpolation at a silhouette does not mix in the background's zeros.
        pictures = torch.cat([edge, weight, weight * views.depth[0], weight * _cosine(views)], 1)
        return ObservationMaps(cameras, pictures, cameras.unproject(views.depth[0, :, 0]))

    def read(self, points: Float[Tensor, "#v p 3"]) -> Readings:
        """Observe the same points in every view, or separate points in each."""
        pixels, z = self.cameras.project(points)
        size = pixels.new_tensor([self.cameras.width, self.cameras.height])
        values = torch.nn.functional.grid_sample(
            self.pictures, (pixels / size * 2 - 1)[:, None], padding_mode="border", align_corners=False
        )[:, :, 0]
        visible = z > 1e-3
        outside = self.cameras.length(values[:, 0], z)
        if self.surface is None:
            zero = torch.zeros_like(z)
            return Readings(visible, outside, zero.bool(), zero, zero, zero)
        weight = values[:, 1]
        depth, cosine = (value / weight.clamp_min(1e-3) for value in (values[:, 2], values[:, 3]))
        # Along the normal, not along the ray: exact for a plane, however slanted it is.
        return Readings(visible, outside, visible & (weight > 1e-2), weight, cosine, (depth - z) * cosine)


def showing(views: ViewSet) -> Bool[Tensor, "n v"]:
    """Indices of ``views`` that show any part of the object."""
    return (views.alpha > 0.5).flatten(2).any(2)


def silhouette_distance(alpha: Float[Tensor, "v 1 h w"]) -> Float[Tensor, "v 1 h w"]:
    """Pixels from the contour alpha = 0.5, positive outside; sub-pixel next to it."""
    inside = alpha > 0.5
    outwards, inwards = distance_transform(torch.cat([inside, ~inside])[:, 0])[0][:, None].chunk(2)
    distance = outwards - inwards
    distance = distance - distance.sign() * 0.5  # between pixel centers, not at them
    far = float(sum(alpha.shape[-2:]))  # where there is no contour
    # Alpha is the covered share of a pixel: on the border it is the distance itself.
    return torch.where(distance.abs() < 1, 0.5 - alpha, distance.clamp(-far, far)).to(alpha.dtype)


def _is_torn(depth: Float[Tensor, "v 1 h w"], solid: Float[Tensor, "v 1 h w"], step: float) -> Float[Tensor, "v 1 h w"]:
    """Pixels beside a step of the depth: they mix front and back."""
    inside = torch.where(solid > 0, depth, torch.inf)
    low = min_pool_window(inside)
    high = max_pool_window(torch.where(solid > 0, depth, -torch.inf))
    return (high - low > step).float()


def _cosine(views: ViewSet) -> Float[Tensor, "v 1 h w"]:
    """Cosine of surface normal and line of sight, times the ray's length at depth 1: converts z-depth to distance."""
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
