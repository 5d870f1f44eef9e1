"""Signed distance of any triangle mesh on a voxel grid, open and self-overlapping ones included."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.core.grid import VoxelGrid
from recon.core.mesh import TexturedMesh
from recon.ops.distance_transform import at_cells, distance_transform

#: Cells around the surface in which distances are exact; beyond, they are continued.
_BAND = 3.0
_SAMPLES = 40_000
_CANDIDATES = 3


def winding_inside(mesh: TexturedMesh, grid: VoxelGrid) -> Bool[Tensor, "g g g"]:
    """Mask of points whose winding number, averaged over rays in the six axis directions, exceeds one half.

    On a closed surface every ray gives the same number; on an open one the vote of the six approximates the generalised
    winding number (Jacobson et al. 2013).
    """
    triangles = grid.indices(mesh.triangles.double()).cpu().numpy()
    winding = np.zeros((grid.resolution,) * 3)
    for axis in range(3):
        winding += np.moveaxis(
            _column_winding(np.roll(triangles, -axis - 1, axis=2), grid.resolution), (0, 1, 2), _order(axis)
        )
    return torch.as_tensor(winding / 6 > 0.5)


def _order(axis: int) -> tuple[int, int, int]:
    return (axis + 1) % 3, (axis + 2) % 3, axis


def _column_winding(triangles: np.ndarray, size: int) -> np.ndarray:
    """Sum of the two winding numbers along the last axis' columns, [g g g]; ``triangles`` [f 3 3] in cells."""
    # Columns stand a hair off the cell centers, so that none runs along an edge of a regular mesh.
    flat = triangles[..., :2] - np.array([3.1e-4, 1.7e-4])
    low = np.clip(np.ceil(flat.min(1)), 0, size).astype(np.int64)
    high = np.clip(np.floor(flat.max(1)) + 1, 0, size).astype(np.int64)
    width = np.maximum(high - low, 0)
    count = width[:, 0] * width[:, 1]
    face = np.repeat(np.arange(len(triangles)), count)
    within = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    u = low[face, 0] + within // np.maximum(width[face, 1], 1)
    v = low[face, 1] + within % np.maximum(width[face, 1], 1)

    a, b, c = (flat[face, corner] for corner in range(3))
    point = np.stack([u, v], -1)
    area = _cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        wb, wc = _cross(point - a, c - a) / area, _cross(b - a, point - a) / area
        hit = (wb >= 0) & (wc >= 0) & (wb + wc <= 1)
        height = triangles[face, :, 2]
        height = height[:, 0] * (1 - wb - wc) + height[:, 1] * wb + height[:, 2] * wc
    u, v, height, sign = u[hit], v[hit], height[hit], np.sign(area[hit])

    # A crossing lies above the cells below it: bin it at the first cell above.
    layer = np.clip(np.ceil(height), 0, size).astype(np.int64)
    crossings = np.bincount((u * size + v) * (size + 1) + layer, sign, minlength=size * size * (size + 1))
    crossings = crossings.reshape(size, size, size + 1)
    below = np.cumsum(crossings, -1)
    above = below[..., -1:] - below
    return above[..., :size] - below[..., :size]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def mesh_distance(mesh: TexturedMesh, grid: VoxelGrid) -> Float[Tensor, "g g g"]:
    """Signed distance to a mesh, negative inside."""
    import trimesh
    from scipy.spatial import cKDTree

    inside = winding_inside(mesh, grid)
    if not bool(inside.any()):
        return torch.full(inside.shape, 2 * grid.extent)
    cells, nearest = _other_side(inside)
    source = mesh.to_trimesh()
    samples, face = trimesh.sample.sample_surface(source, _SAMPLES, seed=0)
    samples = np.concatenate([samples, source.triangles_center])
    face = np.concatenate([face, np.arange(len(source.faces))])
    near = cells.abs() < _BAND
    band = grid.points()[near].double().numpy()
    # The nearest sample often lies on the neighbor of the nearest triangle: try a few.
    _, candidates = cKDTree(samples).query(band, k=_CANDIDATES, workers=-1)
    triangles = source.triangles[face[candidates.reshape(-1)]]
    repeated = band.repeat(_CANDIDATES, 0)
    distances = np.linalg.norm(trimesh.triangles.closest_point(triangles, repeated) - repeated, axis=-1)
    distance = torch.as_tensor(distances.reshape(-1, _CANDIDATES).min(1)).float()
    signed = cells * grid.spacing
    signed[near] = torch.where(inside[near], -distance, distance)
    return torch.where(near, signed, signed + at_cells(signed, nearest).clamp(-grid.spacing, grid.spacing))


def _other_side(inside: Bool[Tensor, "g g g"]) -> tuple[Float[Tensor, "g g g"], Int[Tensor, "g g g"]]:
    """Signed distance in cells to the nearest cell of the other kind, and that cell, counted through the grid."""
    cells, nearest = distance_transform(torch.stack([inside, ~inside]))
    return torch.where(inside, -cells[1], cells[0]), torch.where(inside, nearest[1], nearest[0])
