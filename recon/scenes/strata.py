"""Strata of a scene's cells by what the photo shows: seen, hidden, outside."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from recon.core.cameras import Cameras
from recon.scenes.grid import SceneGrid

SEEN, HIDDEN, OUTSIDE = 0, 1, 2
#: Depth behind the photo's surface, as a share of it, that still counts as seen.
_SLACK = 0.02


def photo_strata(grid: SceneGrid, photo: Cameras, depth: Float[Tensor, "h w"]) -> UInt8[Tensor, "x y z"]:
    """SEEN, HIDDEN or OUTSIDE for each cell.

    Args:
        grid: The scene's cells.
        photo: The photo's camera [1].
        depth: z-depth of the photo's pixels, 0 for sky.

    Returns:
        SEEN for cells in the photo's frustum up to its surface, HIDDEN for those behind it, OUTSIDE for the others.
    """
    return point_strata(grid.points().reshape(-1, 3), photo, depth).reshape(grid.shape)


def point_strata(points: Float[Tensor, "p 3"], photo: Cameras, depth: Float[Tensor, "h w"]) -> UInt8[Tensor, "p"]:
    """:func:`photo_strata` of world points."""
    height, width = depth.shape
    pixels, z = (value[0] for value in photo.resized(width, height).project(points[None]))
    column, row = pixels.floor().long().unbind(-1)
    inside = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    surface = depth[row.clamp(0, height - 1), column.clamp(0, width - 1)]
    seen = (surface <= 0) | (z <= surface * (1 + _SLACK))
    strata = torch.where(seen, SEEN, HIDDEN)
    return torch.where(inside, strata, OUTSIDE).to(torch.uint8)
