"""Geometry that a monocular estimator sees in the photo, as a further observation of the visible side.

Such an estimate has no common scale with a hypothesis: its depth is aligned to each hypothesis by an affine map
(Ranftl et al. 2020), robustly, so that the parts on which they differ do not bend the map.
"""

import logging
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.grid import VoxelGrid
from recon.core.views import ViewSet
from recon.fields.interpolation import trilinear
from recon.fusion.normal_integration import integrated_depth
from recon.fusion.rays import first_crossings

logger = logging.getLogger(__name__)

#: Fewest pixels with both depths that an alignment is made from.
_FEWEST = 64
#: Errors beyond this many robust standard deviations count nothing (Tukey's biweight).
_CUTOFF = 4.0
_ROUNDS = 12
#: Distance (world units) by which the photo contradicts a sampled point that halves its weight at confidence 1.
_CONTRADICTION = 0.02
#: Cosine between viewing directions of one side, and the depth behind the photo's surface that may be another one.
_SAME_SIDE, _HIDDEN = 0.8, 0.15
_LEAST_SCALE = 0.004  # world units: agreement within a fraction of a cell is rounding


@dataclass(frozen=True)
class PhotoGeometry:
    """An estimate of the geometry at the pixels of the photo's square crop, in a camera that aims at its middle."""

    kind: Literal["depth", "disparity"]
    """Whether ``values`` are an affine function of z-depth or of its inverse."""
    values: Float[Tensor, "s s"] | None
    normal: Float[Tensor, "3 s s"] | None
    """Unit normals in OpenCV camera axes (x right, y down, z away from the viewer)."""
    confidence: Float[Tensor, "s s"]
    """In [0, 1]; 0 where nothing is said."""
    focal: float | None = None
    """Focal length in pixels of depth that is known up to a factor: the object's width then gives that factor."""


@dataclass(frozen=True)
class PhotoObservation:
    """The photo's silhouette and estimated geometry, with each hypothesis' idea of its camera."""

    geometry: PhotoGeometry
    rgba: Float[Tensor, "4 s s"]
    cameras: Cameras
    """[n], of pictures of s x s pixels."""
    trust: float = 4.0
    """Weight of the estimate relative to that of one sampled view; 0 leaves it out."""

    def joined(
        self, views: ViewSet, values: Float[Tensor, "n g g g"], grid: VoxelGrid
    ) -> tuple[ViewSet, Float[Tensor, "n v 1 h w"]]:
        """``views`` with the photo as one more, and the confidence of all pixels.

        Args:
            views: Sampled views [n v] with depth, of s x s pixels.
            values: Signed distances that the views alone give.
            grid: Their grid.
        """
        cameras, geometry = self.cameras.to(views.device), self.geometry
        own = surface_depth(values, grid, cameras)
        depth, spread = zip(*(self._aligned(own[k], cameras[k : k + 1]) for k in range(len(views))), strict=True)
        confidence = self.trust * geometry.confidence.to(views.device) * torch.stack(spread)
        seen = confidence > 0
        alpha = self.rgba[3:].to(views.device)
        photo = ViewSet(
            self.rgba[:3].to(views.device).expand(len(views), 1, -1, -1, -1),
            alpha.expand(len(views), 1, -1, -1, -1),
            cameras.reshape(len(views), 1),
            None if views.normal is None else self._normals(cameras, torch.stack(depth))[:, None],
            torch.where(seen, torch.stack(depth), 0.0)[:, None, None],
        )
        sampled = torch.cat([_uncontradicted(views[k], photo[k], confidence[k]) for k in range(len(views))])
        return _appended(views, photo), torch.cat([sampled, confidence[:, None, None].clamp_min(1e-3)], 1)

    def _aligned(self, own: Float[Tensor, "s s"], camera: Cameras) -> tuple[Float[Tensor, "s s"], Float[Tensor, "s s"]]:
        """Depth in the hypothesis' camera, and the pixels (0 or 1) at which it is known."""
        geometry = self.geometry
        said = (geometry.confidence.to(own) > 0) & (self.rgba[3].to(own) > 0.5)
        if geometry.values is None:
            if geometry.normal is None or int((said & (own > 0)).sum()) < _FEWEST:
                return own, torch.zeros_like(own)
            depth = integrated_depth(geometry.normal.to(own), own, said, camera.intrinsics[0])
            both = (depth > 0) & (own > 0)
            scale = location(
                (own / depth.clamp_min(1e-3)).clamp_min(1e-3).log()[both], geometry.confidence.to(own)[both]
            )
            return depth * scale.exp(), (depth > 0).to(own)
        values, weight = geometry.values.to(own), geometry.confidence.to(own) * (said & (own > 0))
        goal = own if geometry.kind == "depth" else 1 / own.clamp_min(1e-3)
        line = align(values, goal, weight, self._factor(values, own, weight, camera))
        if line is None:
            logger.warning("The estimated depth of the photo does not fit a hypothesis and is left out of it.")
            return own, torch.zeros_like(own)
        mapped = line[0] * values + line[1]
        depth = mapped if geometry.kind == "depth" else 1 / mapped.clamp_min(1e-3)
        usable = said & (depth > 1e-3)
        return torch.where(usable, depth, 0.0), usable.to(own)

    def _factor(
        self, values: Float[Tensor, "s s"], own: Float[Tensor, "s s"], weight: Float[Tensor, "s s"], camera: Cameras
    ) -> float | None:
        """Ratio of the object's widths in the hypothesis and in the estimate, which is that of their reliefs, too."""
        used = weight > 0
        if self.geometry.focal is None or not bool(used.any()):
            return None
        ratio = own[used].median() / values[used].median().clamp_min(1e-6)
        return float(ratio * self.geometry.focal / camera.intrinsics[0, 0, 0])

    def _normals(self, cameras: Cameras, depth: Float[Tensor, "n s s"]) -> Float[Tensor, "n 3 s s"]:
        """In world axes; of the depth where the estimator gives none."""
        if self.geometry.normal is None:
            return _depth_normals(cameras, depth)
        return torch.einsum("nij,jhw->nihw", cameras.c2w[:, :3, :3], self.geometry.normal.to(depth))


def _uncontradicted(views: ViewSet, photo: ViewSet, confidence: Float[Tensor, "s s"]) -> Float[Tensor, "1 v 1 h w"]:
    """Confidence of sampled depths [1 v], low where the photo sees past their points, or the surface in front of them.

    The second holds only for views from about the photo's side: others may see what is hidden from it.
    """
    if views.depth is None or photo.depth is None:
        return torch.ones_like(views.alpha)
    points = views.cameras[0].unproject(views.depth[0, :, 0])
    pixels, z = photo.cameras[0, 0].project(points.reshape(-1, 3))
    where = (pixels / pixels.new_tensor([photo.cameras.width, photo.cameras.height]) * 2 - 1)[None, None]
    weight = confidence * (photo.depth[0, 0, 0] > 0)
    maps = torch.stack([weight, weight * photo.depth[0, 0, 0]])[None]
    weight, depth = torch.nn.functional.grid_sample(maps, where, align_corners=False)[0, :, 0]
    ahead = (depth / weight.clamp_min(1e-3) - z).reshape(views.depth[0, :, 0].shape)
    facing = (views.cameras.c2w[0, :, :3, 2] * photo.cameras.c2w[0, 0, :3, 2]).sum(-1) > _SAME_SIDE
    behind = (ahead < 0) & (ahead > -_HIDDEN) & facing[:, None, None]
    error = torch.where((ahead > 0) | behind, ahead, 0.0)
    found = 1 / (1 + weight.reshape(ahead.shape) * (error / _CONTRADICTION) ** 2)
    return torch.where(views.depth[0, :, 0] > 0, found, 1.0)[None, :, None]


def align(
    values: Float[Tensor, "h w"],
    goal: Float[Tensor, "h w"],
    weight: Float[Tensor, "h w"],
    factor: float | None = None,
) -> tuple[float, float] | None:
    """Factor and offset that bring ``values`` to ``goal``, by iteratively reweighted least squares.

    None where fewer than 64 pixels count, or the factor would not be positive: near stays near. A known ``factor``
    leaves the offset alone to be found.
    """
    used = weight > 0
    if int(used.sum()) < _FEWEST:
        return None
    x, y, w = (each[used].double() for each in (values, goal, weight))
    if factor is not None:
        return factor, float(location(y - factor * x, w))
    slope, offset = _fitted_line(x, y, w)
    kept = torch.ones_like(w)
    for _ in range(_ROUNDS):
        kept = _biweight(slope * x + offset - y, kept)
        slope, offset = _fitted_line(x, y, w * kept)
    if not bool(slope > 0) or not bool(torch.isfinite(offset)):
        return None
    return float(slope), float(offset)


def location(values: Float[Tensor, "p"], weight: Float[Tensor, "p"]) -> Float[Tensor, ""]:
    """Tukey's biweight mean, started at the median."""
    middle, kept = values.median(), torch.ones_like(values)
    for _ in range(_ROUNDS):
        kept = _biweight(values - middle, kept)
        middle = (weight * kept * values).sum() / (weight * kept).sum().clamp_min(1e-9)
    return middle


def _biweight(error: Float[Tensor, "p"], kept: Float[Tensor, "p"]) -> Float[Tensor, "p"]:
    """Tukey's weights; the scale is that of the values that had one in the round before."""
    scale = (1.4826 * error.abs()[kept > 0].median()).clamp_min(_LEAST_SCALE)
    return (1 - (error / (_CUTOFF * scale)) ** 2).clamp_min(0) ** 2


def _fitted_line(
    x: Float[Tensor, "p"], y: Float[Tensor, "p"], w: Float[Tensor, "p"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    total = w.sum().clamp_min(1e-9)
    mean_x, mean_y = (w * x).sum() / total, (w * y).sum() / total
    factor = (w * (x - mean_x) * (y - mean_y)).sum() / (w * (x - mean_x) ** 2).sum().clamp_min(1e-12)
    return factor, mean_y - factor * mean_x


def surface_depth(values: Float[Tensor, "n g g g"], grid: VoxelGrid, cameras: Cameras) -> Float[Tensor, "n s s"]:
    """z-depth of the first zero crossing at each pixel of ``cameras`` [n]; 0 where there is none."""
    origin, direction = cameras.rays()
    distance = first_crossings(values, grid, origin, direction)
    place = origin + direction * distance[..., None]
    met: Bool[Tensor, "n p"] = trilinear(values, place, grid).abs() < grid.spacing
    depth = distance * (direction * cameras.c2w[:, None, :3, 2]).sum(-1)
    return torch.where(met, depth, 0.0).unflatten(1, (cameras.height, cameras.width))


def _depth_normals(cameras: Cameras, depth: Float[Tensor, "n s s"]) -> Float[Tensor, "n 3 s s"]:
    points = cameras.unproject(depth).movedim(-1, 1)
    padded = torch.nn.functional.pad(points, (1, 1, 1, 1), mode="replicate")
    right, down = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2], padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return torch.nn.functional.normalize(torch.linalg.cross(down, right, dim=1), dim=1)


def _appended(views: ViewSet, photo: ViewSet) -> ViewSet:
    """The sampled views and the photo, side by side."""
    normal = None if views.normal is None or photo.normal is None else torch.cat([views.normal, photo.normal], 1)
    depth = None if views.depth is None or photo.depth is None else torch.cat([views.depth, photo.depth], 1)
    return ViewSet(
        torch.cat([views.rgb, photo.rgb], 1),
        torch.cat([views.alpha, photo.alpha], 1),
        Cameras.cat([views.cameras, photo.cameras], 1),
        normal,
        depth,
    )
