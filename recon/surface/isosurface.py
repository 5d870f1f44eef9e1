"""Zero level of a signed-distance grid as triangles: marching cubes, or FlexiCubes if kaolin is installed."""

import importlib
import importlib.util
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.core.errors import InputError
from recon.core.grid import VoxelGrid
from recon.core.mesh import TexturedMesh

Isosurface = Literal["marching_cubes", "flexicubes"]

#: Corners of a cell in FlexiCubes' order: x changes first.
_CORNERS = tuple((i & 1, i >> 1 & 1, i >> 2) for i in range(8))


def isosurface(field: Float[Tensor, "g g g"], grid: VoxelGrid, method: str = "marching_cubes") -> TexturedMesh:
    """Closed also where the shape touches the grid's border; no faces where nothing is inside."""
    if method == "marching_cubes":
        return grid.surface(field)
    if method != "flexicubes":
        raise InputError(f"There is no iso-surface '{method}': use marching_cubes or flexicubes.")
    if not has_kaolin():
        raise InputError(
            "FlexiCubes needs NVIDIA's kaolin 0.18 or newer. PyPI has only a placeholder of it: install the wheel that "
            "kaolin's installation page names for your versions of torch and CUDA, or use marching_cubes."
        )
    return _flexicubes(field, grid)


def has_kaolin() -> bool:
    """Whether NVIDIA's kaolin is installed; PyPI's package of that name is an empty placeholder."""
    if importlib.util.find_spec("kaolin") is None:
        return False
    kaolin = importlib.import_module("kaolin")
    return hasattr(kaolin, "ops") and hasattr(kaolin.ops.conversions, "FlexiCubes")


def _flexicubes(field: Float[Tensor, "g g g"], grid: VoxelGrid) -> TexturedMesh:
    """Dual vertices where the field's tangent planes meet best (Shen et al. 2023), which keeps edges sharp."""
    from kaolin.ops.conversions import FlexiCubes

    if bool((field > 0).all()) or bool((field <= 0).all()):
        return TexturedMesh(field.new_zeros(0, 3), field.new_zeros(0, 3).long())
    # A positive rim closes shapes that touch the border; its corners are one spacing outside.
    padded = torch.nn.functional.pad(field[None, None], (1,) * 6, value=grid.spacing)[0, 0].contiguous()
    corners = padded.shape[0]
    axis = torch.arange(corners, device=field.device)
    index = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    places = (index - 0.5) * grid.spacing - grid.extent + grid.center.to(field.device)
    cubes = _cubes(corners, field.device)

    slopes = torch.stack(torch.gradient(padded, spacing=grid.spacing))
    wide = VoxelGrid(grid.center.to(field.device), grid.extent + grid.spacing, corners)

    def gradient(points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        return torch.nn.functional.normalize(wide.sample(slopes, points).T, dim=-1)

    extract = FlexiCubes(device=str(field.device))
    vertices, faces, _ = extract(places, padded.reshape(-1), cubes, corners - 1, grad_func=gradient)
    return TexturedMesh(vertices.float(), faces.long())


def _cubes(corners: int, device: torch.device) -> Int[Tensor, "q 8"]:
    """Indices of each cell's corners on a grid of ``corners`` in each direction, cells in row order."""
    axis = torch.arange(corners - 1, device=device)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.stack([((x + i) * corners + y + j) * corners + z + k for i, j, k in _CORNERS], -1).reshape(-1, 8)
