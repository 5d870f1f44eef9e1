"""The box of cubic cells in which a scene is fused and compared."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.core.errors import InputError

#: Share of the points on each side of each axis that may lie outside a fitted box.
_OUTLIERS = 0.002
#: Free cells around the points on every side.
_MARGIN = 3


@dataclass(frozen=True)
class SceneGrid:
    """``shape`` cells along x, y and z from the corner ``origin``; values live at cell centers."""

    origin: Float[Tensor, "3"]
    """The corner with the smallest coordinates, not a cell center."""
    cell: float
    """Edge of a cell in world units."""
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cell) and self.cell > 0) or min(self.shape) < 1:
            raise InputError(f"A grid needs positive cells, not {self.shape} of {self.cell:g} units: check the depths.")

    @property
    def size(self) -> Float[Tensor, "3"]:
        return self.origin.new_tensor(self.shape) * self.cell

    @property
    def num_cells(self) -> int:
        return math.prod(self.shape)

    @property
    def cell_volume(self) -> float:
        return self.cell**3

    def to(self, device: torch.device | str) -> "SceneGrid":
        return replace(self, origin=self.origin.to(device))

    def axes(self) -> tuple[Float[Tensor, "x"], Float[Tensor, "y"], Float[Tensor, "z"]]:
        """Coordinates of the cell centers along each axis."""
        steps = (torch.arange(count, device=self.origin.device) + 0.5 for count in self.shape)
        return tuple(start + step * self.cell for start, step in zip(self.origin, steps, strict=True))

    def points(self) -> Float[Tensor, "x y z 3"]:
        """Cell centers in world units."""
        return torch.stack(torch.meshgrid(*self.axes(), indexing="ij"), -1)

    def indices(self, points: Float[Tensor, "*s 3"]) -> Float[Tensor, "*s 3"]:
        """World points in cells: cell centers are whole numbers."""
        return (points - self.origin) / self.cell - 0.5

    def locate(self, points: Float[Tensor, "*s 3"]) -> tuple[Int[Tensor, "*s 3"], Bool[Tensor, "*s"]]:
        """Index of the cell that holds each point (clamped to the box), and whether the point is in the box."""
        index = ((points - self.origin) / self.cell).floor().long()
        last = index.new_tensor(self.shape) - 1
        inside = ((index >= 0) & (index <= last)).all(-1)
        return index.clamp_min(0).minimum(last), inside

    def sample(self, fields: Float[Tensor, "n x y z"], points: Float[Tensor, "*s 3"]) -> Float[Tensor, "n *s"]:
        """Trilinear values at world points; the border continues outwards."""
        where = ((points - self.origin) / self.size * 2 - 1).flip(-1).reshape(1, -1, 1, 1, 3)
        values = torch.nn.functional.grid_sample(fields[None], where, padding_mode="border", align_corners=False)
        return values.reshape(len(fields), *points.shape[:-1])

    def coarser(self, factor: int) -> "SceneGrid":
        """Cells ``factor`` times as large over the same box, or a little beyond it."""
        return SceneGrid(self.origin, self.cell * factor, tuple(-(-count // factor) for count in self.shape))

    @staticmethod
    def fit(points: Float[Tensor, "p 3"], cells: int = 4_000_000, reach: float = math.inf) -> "SceneGrid":
        """The box around ``points`` (without their outliers) of about ``cells`` cells.

        ``reach`` is the largest distance from the origin, the photo's place, along each axis.
        """
        points = points[torch.isfinite(points).all(-1)]
        if not len(points):
            raise InputError("No view shows a surface: a scene needs depth that is not sky.")
        rank = min(round(_OUTLIERS * len(points)), (len(points) - 1) // 2)
        ordered = points.sort(0).values
        low, high = ordered[rank].clamp_min(-reach), ordered[len(points) - 1 - rank].clamp_max(reach)
        # The photo's place is part of the scene, also where nothing stands around it.
        low, high = low.clamp_max(0.0), high.clamp_min(0.0)
        size = (high - low).clamp_min(1e-3)
        cell = float(size.prod() / cells) ** (1 / 3)
        for _ in range(8):  # the margin's own cells count as well
            shape = [math.ceil(float(side) / cell) + 2 * _MARGIN for side in size]
            cell *= (math.prod(shape) / cells) ** (1 / 3)
        shape = tuple(math.ceil(float(side) / cell) + 2 * _MARGIN for side in size)
        middle = (low + high) / 2
        return SceneGrid(middle - middle.new_tensor(shape) * (cell / 2), cell, shape)
