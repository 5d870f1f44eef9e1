"""Iso-surfaces: in place, closed, turned outwards; FlexiCubes against marching cubes where kaolin is installed."""

from dataclasses import replace

import pytest
import torch

from recon.core.errors import InputError
from recon.core.grid import VoxelGrid
from recon.surface.cleanup import is_watertight
from recon.surface.isosurface import has_kaolin, isosurface

GRID = VoxelGrid(torch.tensor([0.1, -0.2, 0.3]), 0.6, 32)
METHODS = [
    "marching_cubes",
    pytest.param(
        "flexicubes",
        marks=pytest.mark.skipif(not has_kaolin(), reason="needs NVIDIA's kaolin >= 0.18 (PyPI's is a placeholder)"),
    ),
]


def box(size: tuple[float, float, float]) -> torch.Tensor:
    """Signed distance to a box around the grid's own center."""
    away = (GRID.points() - GRID.center).abs() - torch.tensor(size)
    return away.clamp_min(0).norm(dim=-1) + away.amax(-1).clamp_max(0)


@pytest.mark.parametrize("method", METHODS)
def test_a_box_comes_back_in_place_and_turned_outwards(method):
    mesh = isosurface(box((0.4, 0.3, 0.2)), GRID, method)
    assert is_watertight(mesh)
    low, high = mesh.bounds
    assert torch.allclose(low, GRID.center - torch.tensor([0.4, 0.3, 0.2]), atol=0.4 * GRID.spacing)
    assert torch.allclose(high, GRID.center + torch.tensor([0.4, 0.3, 0.2]), atol=0.4 * GRID.spacing)
    corners = mesh.triangles.double()
    volume = (torch.linalg.cross(corners[:, 0], corners[:, 1]) * corners[:, 2]).sum() / 6
    assert float(volume) == pytest.approx(8 * 0.4 * 0.3 * 0.2, rel=0.06)


@pytest.mark.parametrize("method", METHODS)
def test_shapes_at_the_border_are_closed_and_empty_fields_have_no_faces(method):
    assert is_watertight(isosurface(box((0.8, 0.3, 0.2)), GRID, method))
    assert len(isosurface(torch.ones(32, 32, 32), GRID, method)) == 0
    assert len(isosurface(-torch.ones(32, 32, 32), GRID, method)) == 0
    barely = torch.full((32, 32, 32), 0.01)
    barely[16, 16, 16] = -1e-9  # inside by rounding alone: no surface, and no complaint of the algorithm below
    assert len(isosurface(barely, GRID, method)) == 0


@pytest.mark.skipif(not has_kaolin(), reason="needs NVIDIA's kaolin >= 0.18 (PyPI's is a placeholder)")
def test_flexicubes_lies_nearer_at_edges():
    field, errors = box((0.4, 0.3, 0.2)), []
    for method in ("marching_cubes", "flexicubes"):
        points = isosurface(field, GRID, method).sample_surface(5000, torch.Generator().manual_seed(0)) - GRID.center
        away = points.abs() - torch.tensor([0.4, 0.3, 0.2])
        errors.append(float((away.clamp_min(0).norm(dim=-1) - away.amax(-1).clamp_max(0)).mean()))
    assert errors[1] < 0.7 * errors[0]


def test_what_is_not_there_is_named():
    with pytest.raises(InputError, match="use marching_cubes or flexicubes"):
        isosurface(box((0.3, 0.3, 0.3)), GRID, "dual_contouring")
    if not has_kaolin():
        with pytest.raises(InputError, match="install the wheel that kaolin's installation page names"):
            isosurface(box((0.3, 0.3, 0.3)), replace(GRID), "flexicubes")
