"""Depth maps prepared for fusion: which pixels measure, how far their rays carve, and pyramids over both."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet

#: Relative second difference of the inverse depth, which is zero on planes, beyond which a pixel lies on an edge.
_BENT = 0.05
#: Cosine between surface and ray below which a pixel does not measure.
_GRAZING = 0.04
#: Share of the normal's cosine that the depth's own slope must have, or it is a smear between two surfaces.
_SMEAR = 0.4
#: Alpha between which a pixel mixes sky and surface.
_SKY, _SOLID = 0.5, 0.95


@dataclass(frozen=True)
class DepthMaps:
    """The ``v`` views of one hypothesis. Sky is infinitely deep."""

    cameras: Cameras
    depth: Float[Tensor, "v h w"]
    """z-depth; infinite for sky."""
    measures: Bool[Tensor, "v h w"]
    """Pixels whose depth is a surface: no sky, no edge between two surfaces, not seen at a grazing angle."""
    inverse: Float[Tensor, "v h w"]
    """Inverse depth, which is linear across the image of a plane; 0 for sky."""
    gradient: Float[Tensor, "v 2 h w"]
    """Change of the inverse depth from pixel to pixel, across and down, on the pixel's own side of an edge."""
    slope: Float[Tensor, "v h w"]
    """Factor from a difference in z-depth to the distance from the pixel's tangent plane."""
    cosine: Float[Tensor, "v h w"]
    """Between surface and ray."""

    @staticmethod
    def of(views: ViewSet) -> "DepthMaps":
        """Views [1 v]. Raises :class:`InputError` without depth or normals."""
        if views.depth is None or views.normal is None:
            raise InputError("Fusing a scene needs depth and normals in every view: sample or estimate them first.")
        alpha, depth, cameras = views.alpha[0, :, 0], views.depth[0, :, 0], views.cameras[0]
        sky = (alpha < _SKY) | (depth <= 0)
        directions = cameras.rays()[1].reshape(*depth.shape, 3)
        cosine = (views.normal[0].permute(0, 2, 3, 1) * directions).sum(-1).abs()
        per_depth = 1 / (directions * cameras.c2w[:, None, None, :3, 2]).sum(-1)  # length of the ray at depth 1
        inverse = torch.where(sky, 0.0, 1 / depth.clamp_min(1e-6))
        across, bent_across = _one_sided(inverse)
        down, bent_down = (value.mT for value in _one_sided(inverse.mT))
        edge = torch.maximum(bent_across, bent_down) > _BENT * inverse
        gradient = torch.stack([across, down], 1)
        # What smears over several pixels between two surfaces is steeper than its normal says.
        own_cosine = inverse / (_plane(inverse, gradient, cameras).norm(dim=1) * per_depth).clamp_min(1e-9)
        measures = ~sky & (alpha >= _SOLID) & ~edge & (own_cosine >= _SMEAR * cosine) & (cosine > _GRAZING)
        inverse, gradient = _smooth(inverse, gradient, measures)
        deep = torch.where(sky, math.inf, torch.where(measures, 1 / inverse.clamp_min(1e-6), depth))
        slope = per_depth * cosine.clamp_min(_GRAZING)
        return DepthMaps(cameras, deep, measures, inverse, gradient, slope, cosine)

    def limits(
        self, front: Float[Tensor, "v h w"], behind: float
    ) -> tuple[Float[Tensor, "v h w"], Float[Tensor, "v h w"]]:
        """z-depth up to which each ray is free space, and z-depth from which on space is unobserved.

        ``front`` and ``behind`` are the truncation before and behind the surface in world units.
        """
        before = torch.where(self.measures, self.depth - front / self.slope, self.depth - front)
        free = -torch.nn.functional.max_pool2d(-before[:, None], 3, 1, 1)[:, 0]
        beyond = torch.where(self.measures, self.depth + behind / self.slope, -math.inf)
        beyond = torch.where(torch.isinf(self.depth), math.inf, beyond)
        hidden = torch.nn.functional.max_pool2d(beyond[:, None], 3, 1, 1)[:, 0]
        return free, torch.maximum(hidden, free)


def _one_sided(inverse: Float[Tensor, "v h w"]) -> tuple[Float[Tensor, "v h w"], Float[Tensor, "v h w"]]:
    """Change from column to column, and how much it bends at best.

    Of the pixels to the left, to the right and around, those count that lie most nearly on a line: beside a silhouette
    only one side is the same surface, and a pixel that mixes two surfaces has none (the choice of ENO schemes, Harten
    et al. 1987).
    """
    beyond = torch.full_like(inverse[..., :2], torch.inf)
    step = torch.cat([beyond, inverse.diff(dim=-1), beyond], -1)  # from column x - 1 to x at place x + 1
    further_left, left, right, further_right = (step[..., i : i + inverse.shape[-1]] for i in range(4))
    changes = torch.stack([left, right, (left + right) / 2, left, right])
    bends = torch.stack([left - further_left, right - further_right, left - right, left, right]).abs()
    bends = torch.where(torch.isfinite(bends), bends, torch.inf)
    best = bends[:3].argmin(0, keepdim=True)
    change = changes.gather(0, best)[0]
    return torch.where(torch.isfinite(change), change, 0.0), bends.amin(0)


def _smooth(
    inverse: Float[Tensor, "v h w"], gradient: Float[Tensor, "v 2 h w"], measures: Bool[Tensor, "v h w"]
) -> tuple[Float[Tensor, "v h w"], Float[Tensor, "v 2 h w"]]:
    """Means over 3 x 3 pixels where all of them measure one surface: noise goes, planes stay exact."""
    whole = torch.nn.functional.max_pool2d(1 - measures.float(), 3, 1, 1) == 0
    whole[:, [0, -1]] = whole[..., [0, -1]] = False
    # A jump between two surfaces that both measure is far more than their slopes explain.
    high, low = (sign * torch.nn.functional.max_pool2d(sign * inverse, 3, 1, 1) for sign in (1, -1))
    whole = whole & (high - low <= 3 * gradient.abs().sum(1) + 2 * _BENT * inverse)
    mean = torch.nn.functional.avg_pool2d(torch.cat([inverse[:, None], gradient], 1), 3, 1, 1)
    return torch.where(whole, mean[:, 0], inverse), torch.where(whole[:, None], mean[:, 1:], gradient)


def _plane(
    inverse: Float[Tensor, "v h w"], gradient: Float[Tensor, "v 2 h w"], cameras: Cameras
) -> Float[Tensor, "v 3 h w"]:
    """Vector n of each pixel's plane n . X = 1, in camera axes, from the inverse depth and its gradient."""
    focal_x, focal_y = (cameras.intrinsics[:, i, i, None, None] for i in range(2))
    x = torch.arange(cameras.width, device=inverse.device) + 0.5 - cameras.intrinsics[:, 0, 2, None, None]
    y = torch.arange(cameras.height, device=inverse.device)[:, None] + 0.5 - cameras.intrinsics[:, 1, 2, None, None]
    ahead = inverse - gradient[:, 0] * x - gradient[:, 1] * y
    return torch.stack([gradient[:, 0] * focal_x, gradient[:, 1] * focal_y, ahead], 1)


@dataclass(frozen=True)
class Pyramid:
    """Extremes of a map around each place, over windows that double from level to level."""

    levels: tuple[Float[Tensor, "v _ _"], ...]

    @staticmethod
    def of(maps: Float[Tensor, "v h w"]) -> "Pyramid":
        """Greatest values; of the negative map the least ones."""
        levels, current = [], maps[:, None]
        while True:
            levels.append(torch.nn.functional.max_pool2d(current, 3, 1, 1)[:, 0])
            if max(current.shape[-2:]) == 1:
                return Pyramid(tuple(levels))
            current = torch.nn.functional.max_pool2d(current, 2, 2, ceil_mode=True)

    def around(self, view: int, pixels: Float[Tensor, "p 2"], radius: Float[Tensor, "p"]) -> Float[Tensor, "p"]:
        """The greatest value of one view within at least ``radius`` pixels of each place."""
        level = radius.clamp_min(1).log2().ceil().long().clamp_max(len(self.levels) - 1)
        found = torch.empty_like(radius)
        for number in level.unique().tolist():
            own, values = level == number, self.levels[number][view]
            column, row = (pixels[own] / 2**number).long().unbind(-1)
            height, width = values.shape
            found[own] = values[row.clamp(0, height - 1), column.clamp(0, width - 1)]
        return found
