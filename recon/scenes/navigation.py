"""Walkable floor of a scene: cells that carry a body, have head-room for it, and connect to the photo's place."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.scenes.field import SceneField
from recon.scenes.grid import SceneGrid


@dataclass(frozen=True)
class Body:
    """An upright cylinder that walks. Lengths in world units."""

    height: float
    radius: float
    step: float
    """Largest height of a step from one cell to the next."""

    @staticmethod
    def person(metres: float) -> "Body":
        """A person of 1.7 m, 0.5 m wide, who steps 0.3 m high; ``metres`` is the length of a world unit."""
        if not (math.isfinite(metres) and metres > 0):
            raise InputError(f"The length of a scene unit is a positive number of metres, not {metres:g}.")
        return Body(1.7 / metres, 0.25 / metres, 0.3 / metres)


@dataclass(frozen=True)
class NavMesh:
    """The floor that a body can reach."""

    mesh: TexturedMesh
    """Two triangles for each cell, at the floor's height, facing up."""
    cells: Int[Tensor, "q 3"]
    """Index of the lowest free cell over each floor cell."""
    spawn: Float[Tensor, "3"] | None
    """Place on the floor nearest to the start; None where nothing is walkable."""
    connected: bool
    """Whether the floor reaches under the start itself, rather than being the nearest one known."""
    grid: SceneGrid

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def area(self) -> float:
        """In square world units."""
        return len(self.cells) * self.grid.cell**2


def walkable(field: SceneField, body: Body, start: Float[Tensor, "3"] | None = None) -> NavMesh:
    """Floor cells that ``body`` can reach on foot from ``start``.

    A floor cell is a free cell on an occupied one. The body stands there if all cells within its radius are known to be
    free from one step above the floor up to its height: unknown space is never walked through. Cells side by side are
    connected where their heights differ by at most a step.

    Args:
        field: A field of one hypothesis.
        body: Size of the body.
        start: Where the walk starts, the photo's place by default.

    Returns:
        The connected part of the floor nearest below the start.
    """
    grid = field.grid
    start = grid.origin.new_zeros(3) if start is None else start.to(grid.origin)
    free, occupied = field.free[0], field.occupied[0]
    floor = free.clone()
    floor[:, 1:] &= occupied[:, :-1]
    floor[:, 0] = False
    cells = (floor & stands(free, body, grid)).nonzero()
    if not len(cells):
        return NavMesh(_no_mesh(grid), cells, None, False, grid)
    part = _parts(cells, grid, body)
    spawn, connected = _nearest(cells, part, grid, start, body)
    own = cells[part == part[spawn]]
    heights = _heights(field, own)
    place = grid.origin + (cells[spawn] + 0.5) * grid.cell
    place[1] = heights[(own == cells[spawn]).all(-1)][0]
    return NavMesh(_floor_mesh(own, heights, grid), own, place, connected, grid)


def stands(free: Bool[Tensor, "x y z"], body: Body, grid: SceneGrid) -> Bool[Tensor, "x y z"]:
    """Cells over which the body's cylinder, from a step above the floor on, is free."""
    above, top = math.ceil(body.step / grid.cell), max(1, math.ceil(body.height / grid.cell))
    clear = _eroded(free, body.radius / grid.cell)
    count = torch.nn.functional.pad(clear.int().cumsum(1), (0, 0, 1, 0))  # [x y+1 z]
    result = torch.zeros_like(free)
    above = min(above, top - 1)
    length = free.shape[1] - top + 1
    if length > 0:
        window = count[:, top : top + length] - count[:, above : above + length]
        result[:, :length] = window == top - above
    return result


def _eroded(free: Bool[Tensor, "x y z"], radius: float) -> Bool[Tensor, "x y z"]:
    """Cells all of whose neighbors within ``radius`` cells at the same height are free."""
    from scipy.ndimage import distance_transform_edt

    padded = np.pad(free.cpu().numpy(), ((1, 1), (0, 0), (1, 1)))  # outside the box nothing is known
    far = np.stack([distance_transform_edt(padded[:, y]) > radius for y in range(padded.shape[1])], 1)
    return torch.from_numpy(far[1:-1, :, 1:-1]).to(free.device)


def _parts(cells: Int[Tensor, "q 3"], grid: SceneGrid, body: Body) -> Int[Tensor, "q"]:
    """Number of the connected part of each floor cell."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    x, y, z = grid.shape
    index = np.full((x + 1, y, z + 1), -1)
    own = cells.cpu().numpy()
    index[own[:, 0], own[:, 1], own[:, 2]] = np.arange(len(own))
    rows, columns = [], []
    climb = int(body.step / grid.cell)
    for across in ((1, 0), (0, 1)):
        for rise in range(-climb, climb + 1):
            height = own[:, 1] + rise
            inside = (height >= 0) & (height < y)
            other = index[own[:, 0] + across[0], height.clip(0, y - 1), own[:, 2] + across[1]]
            linked = inside & (other >= 0)
            rows.append(np.flatnonzero(linked))
            columns.append(other[linked])
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(len(own), len(own)))
    return torch.from_numpy(connected_components(graph, directed=False)[1]).long().to(cells.device)


def _nearest(
    cells: Int[Tensor, "q 3"], part: Int[Tensor, "q"], grid: SceneGrid, start: Float[Tensor, "3"], body: Body
) -> tuple[int, bool]:
    """Floor cell to begin on, and whether it is the one under the start.

    Parts on which the body could not turn round are passed over while there is a larger one.
    """
    size = part.bincount()[part]
    wide = size * grid.cell**2 >= 4 * (2 * body.radius) ** 2
    usable = wide if bool(wide.any()) else size == size.max()
    centers = grid.origin + (cells + 0.5) * grid.cell
    across = (centers - start)[:, [0, 2]].norm(dim=-1)
    # The floor under the eyes before one that is nearer, but above them.
    over = (centers[:, 1] > start[1]).float() * 1e3
    cost = across + over + 0.1 * (start[1] - centers[:, 1]).abs()
    cost[~usable] = torch.inf
    best = int(cost.argmin())
    return best, bool(across[best] <= body.radius + grid.cell) and bool(centers[best, 1] <= start[1])


def _heights(field: SceneField, cells: Int[Tensor, "q 3"]) -> Float[Tensor, "q"]:
    """Height of the floor under each cell: where the distance crosses zero between it and the cell below."""
    x, y, z = cells.unbind(-1)
    upper, lower = field.distance[0, x, y, z], field.distance[0, x, y - 1, z]
    share = (upper / (upper - lower).clamp_min(1e-9)).clamp(0, 1)
    return field.grid.origin[1] + (y + 0.5 - share) * field.grid.cell


def _floor_mesh(cells: Int[Tensor, "q 3"], heights: Float[Tensor, "q"], grid: SceneGrid) -> TexturedMesh:
    """A square for each cell; corners that cells of about the same height share are one vertex at their mean."""
    around = cells.new_tensor([[0, 0], [0, 1], [1, 1], [1, 0]])  # counter-clockwise from above: towards +Z, then +X
    corners = cells[:, None, [0, 2]] + around
    level = (heights / (2 * grid.cell)).round().long()[:, None, None].expand(-1, 4, 1)
    keys, number = torch.unique(torch.cat([corners, level], -1).reshape(-1, 3), dim=0, return_inverse=True)
    height = heights.new_zeros(len(keys)).scatter_reduce(
        0, number, heights.repeat_interleave(4), "mean", include_self=False
    )
    x, z = (grid.origin[axis] + keys[:, i] * grid.cell for i, axis in enumerate((0, 2)))
    quads = number.reshape(-1, 4)
    faces = torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return TexturedMesh(torch.stack([x, height, z], -1), faces)


def _no_mesh(grid: SceneGrid) -> TexturedMesh:
    return TexturedMesh(grid.origin.new_zeros(0, 3), torch.zeros(0, 3, dtype=torch.long, device=grid.origin.device))
