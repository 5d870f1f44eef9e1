"""Convex collision: axis-aligned boxes that cover the occupied cells of a scene."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.scenes.field import SceneField

_CORNERS = torch.tensor([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
#: Two triangles for each side, counter-clockwise from outside.
_SIDES = torch.tensor(
    [
        [0, 1, 3],
        [0, 3, 2],
        [4, 6, 7],
        [4, 7, 5],
        [0, 4, 5],
        [0, 5, 1],
        [2, 3, 7],
        [2, 7, 6],
        [0, 2, 6],
        [0, 6, 4],
        [1, 5, 7],
        [1, 7, 3],
    ]
)


def collision_boxes(field: SceneField, largest_count: int = 512) -> Float[Tensor, "b 2 3"]:
    """Low and high corners of disjoint boxes over the occupied cells of one hypothesis.

    Cells are pooled until no more than ``largest_count`` boxes are left, so that walls may become thicker by one pooled
    cell towards the unknown or the free side.
    """
    occupied, grid = field.occupied[0].float()[None, None], field.grid
    for factor in range(2, max(grid.shape) + 1):
        coarse = torch.nn.functional.max_pool3d(occupied, factor, factor, ceil_mode=True)[0, 0] > 0
        boxes = _merged(coarse)
        if len(boxes) <= largest_count:
            break
    corners = torch.from_numpy(boxes).to(grid.origin).reshape(-1, 2, 3)
    return corners * (factor * grid.cell) + grid.origin


def box_mesh(corners: Float[Tensor, "2 3"]) -> TexturedMesh:
    """A closed box between two corners."""
    low, high = corners
    return TexturedMesh(low + (high - low) * _CORNERS.to(corners), _SIDES.to(corners.device))


def _merged(occupied: Bool[Tensor, "x y z"]) -> np.ndarray:
    """Boxes [b 6] (low, high in cells): runs along x, joined along z, then along y where they are alike."""
    padded = np.pad(occupied.cpu().numpy().astype(np.int8), ((1, 1), (0, 0), (0, 0)))
    steps = np.diff(padded, axis=0)
    starts, ends = (np.argwhere(np.moveaxis(steps, 0, -1) == sign) for sign in (1, -1))  # [y z x], in one order
    runs = np.stack([starts[:, 2], starts[:, 0], starts[:, 1], ends[:, 2], starts[:, 0] + 1, starts[:, 1] + 1], -1)
    return _joined(_joined(runs, 2), 1)


def _joined(boxes: np.ndarray, axis: int) -> np.ndarray:
    """Boxes that touch along ``axis`` and are alike across it, as one."""
    if not len(boxes):
        return boxes
    across = [column for column in range(6) if column % 3 != axis]
    order = np.lexsort((boxes[:, axis], *(boxes[:, column] for column in across)))
    boxes = boxes[order]
    alike = (boxes[1:, across] == boxes[:-1, across]).all(1) & (boxes[1:, axis] == boxes[:-1, axis + 3])
    first = np.flatnonzero(np.concatenate([[True], ~alike]))
    last = np.concatenate([first[1:], [len(boxes)]]) - 1
    joined = boxes[first].copy()
    joined[:, axis + 3] = boxes[last, axis + 3]
    return joined
