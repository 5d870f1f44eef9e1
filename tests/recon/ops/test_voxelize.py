"""The posterior's grid: insides, distances and surfaces of known shapes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from posterior_shapes import ball, box

from recon.core.mesh import TexturedMesh
from recon.ops.voxelize import mesh_distance, winding_inside
from recon.posterior import VoxelGrid


def test_winding_fills_a_turned_box_with_its_volume() -> None:
    mesh = box(angle=0.4)
    grid = VoxelGrid.around([mesh], 64)
    inside = winding_inside(mesh, grid)
    local = grid.points() @ torch.tensor(trimesh.transformations.rotation_matrix(0.4, [0, 1, 0])[:3, :3]).float()
    exact = (local.abs() < torch.tensor([0.3, 0.2, 0.1])).all(-1)
    assert (inside != exact).float().mean() < 1e-4


def test_winding_counts_overlapping_parts_once() -> None:
    a, b = ball(0.3, (-0.1, 0, 0)).mesh, ball(0.3, (0.1, 0, 0)).mesh
    both = TexturedMesh(torch.cat([a.vertices, b.vertices]), torch.cat([a.faces, b.faces + len(a.vertices)]))
    grid = VoxelGrid.around([both], 48)
    assert torch.equal(winding_inside(both, grid), winding_inside(a, grid) | winding_inside(b, grid))


def test_winding_closes_a_bowl_with_a_small_hole() -> None:
    mesh = ball(0.3, level=4).mesh
    open_mesh = replace(mesh, faces=mesh.faces[mesh.triangles.mean(1)[:, 1] < 0.27])
    grid = VoxelGrid.around([mesh], 48)
    volume = float(winding_inside(open_mesh, grid).sum()) * grid.cell_volume
    assert volume == pytest.approx(4 / 3 * math.pi * 0.3**3, rel=0.05)


def test_mesh_distance_is_the_ball_s() -> None:
    mesh = ball(0.3, (0.05, 0.1, -0.02), level=5).mesh
    grid = VoxelGrid.around([mesh], 40)
    exact = (grid.points() - torch.tensor([0.05, 0.1, -0.02])).norm(dim=-1) - 0.3
    near = exact.abs() < 1.5 * grid.spacing
    found = mesh_distance(mesh, grid)
    assert (found - exact)[near].abs().max() < 1e-3
    assert (found - exact).abs().max() < grid.spacing


def test_surface_faces_outwards_and_samples_where_it_lies() -> None:
    grid = VoxelGrid(torch.tensor([0.1, 0.2, 0.3]), 0.5, 40)
    field = (grid.points() - torch.tensor([0.2, 0.2, 0.25])).norm(dim=-1) - 0.2
    mesh = grid.surface(field)
    solid = mesh.to_trimesh()
    assert solid.is_watertight
    assert solid.volume == pytest.approx(4 / 3 * math.pi * 0.2**3, rel=0.02)
    assert np.allclose(solid.center_mass, [0.2, 0.2, 0.25], atol=1e-3)
    assert grid.sample(field[None], mesh.vertices).abs().max() < 2e-3
    assert len(grid.surface(field + 1)) == 0


def test_surfaces_are_watertight_and_without_slivers_of_no_area() -> None:
    grid = VoxelGrid(torch.zeros(3), 0.5, 32)
    on_centers = ((grid.points().abs().amax(-1) / grid.spacing).round() - 8) * grid.spacing
    mesh = grid.surface(on_centers).to_trimesh()
    assert (on_centers == 0).any()
    assert mesh.is_watertight
    assert mesh.area_faces.min() > 1e-12
