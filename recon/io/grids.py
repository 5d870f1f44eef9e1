"""A mesh as a field on a voxel grid: signed distance, and the density and color that a radiance field would have."""

import os
from pathlib import Path

import numpy as np
import torch

from recon.core.grid import VoxelGrid
from recon.core.mesh import TexturedMesh
from recon.io.folders import atomic_write
from recon.io.points import PointSamples
from recon.ops.voxelize import mesh_distance

_FORMAT = "mvdiff-grid/1"
#: Cells around the surface that have its color; elsewhere it is never seen.
_COLORED = 3.0
_POINTS = 200_000
_GRAY = 0.5


def save_grid(mesh: TexturedMesh, path: str | os.PathLike, resolution: int = 128) -> Path:
    """An ``.npz`` whose arrays are indexed x, y, z at the cell centers of the cube ``centre`` ± ``extent``.

    ``sdf`` (negative inside, world units), ``density`` (of VolSDF, Yariv et al. 2021: the Laplace distribution's
    cumulative function of the distance, with ``beta`` of half a cell, over beta), ``rgb`` (sRGB), and the scalars.
    """
    from scipy.spatial import cKDTree

    mesh = mesh.to("cpu")
    grid = VoxelGrid.around([mesh], resolution)
    sdf = mesh_distance(mesh, grid).float()
    beta = 0.5 * grid.spacing
    tail = 0.5 * torch.exp(-sdf.abs() / beta)
    density = torch.where(sdf > 0, tail, 1 - tail) / beta
    points = PointSamples.of(mesh, _POINTS)
    near = sdf.abs() < _COLORED * grid.spacing
    _, index = cKDTree(points.position.numpy()).query(grid.points()[near].numpy(), workers=-1)
    rgb = torch.full((*sdf.shape, 3), _GRAY)
    rgb[near] = points.color[torch.as_tensor(index)]
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            format=np.array(_FORMAT),
            sdf=sdf.numpy(),
            density=density.half().numpy(),
            rgb=(rgb.clamp(0, 1) * 255).round().byte().numpy(),
            centre=grid.center.numpy(),
            extent=np.float32(grid.extent),
            beta=np.float32(beta),
        )
    return Path(path)
