"""Colours alone find what silhouettes cannot show, and leave alone what they say nothing of."""

from dataclasses import replace

import pytest
import torch

from recon import Cameras, ReconstructionConfig, TexturedMesh, ViewSet
from recon.fusion.photo_consistency import CarveConfig
from recon.fusion.refine import FitConfig
from recon.fusion.tsdf import FusedFields
from recon.metrics.shape import nearest
from recon.objects import fitted_fields
from recon.rendering import render_mesh

_HULL = ReconstructionConfig(resolution=48, fit=FitConfig(steps=0), carve=CarveConfig(steps=0))
_CARVED = replace(_HULL, carve=CarveConfig(steps=40, resolution=32, rays=1024, samples=32))


def painted(vertices, faces) -> TexturedMesh:
    """With waves of different lengths, so that no color comes back nearby."""
    mesh = TexturedMesh.from_arrays(vertices, faces)
    waves = torch.tensor([[12.0, 4, 3], [2, 11, 5], [7, -3, 9]])
    return replace(mesh, colors=0.5 + 0.5 * (mesh.vertices @ waves.T).sin())


def block() -> TexturedMesh:
    import trimesh

    made = trimesh.creation.box((0.5, 0.5, 0.35))
    for _ in range(5):
        made = made.subdivide()
    return painted(made.vertices, made.faces)


def bowl() -> TexturedMesh:
    """Open upwards: of its inside the three higher views see the far halves."""
    import trimesh

    angle = torch.linspace(0, torch.pi / 2, 24)
    outer = torch.stack([0.45 * angle.sin(), 0.05 - 0.3 * angle.cos()], -1)
    inner = torch.stack([0.4 * angle.sin(), 0.05 - 0.22 * angle.cos()], -1).flip(0)
    made = trimesh.creation.revolve(torch.cat([outer, inner]).numpy(), sections=64)
    vertices = torch.from_numpy(made.vertices).float()[:, [0, 2, 1]] * torch.tensor([1.0, 1.0, -1.0])
    return painted(vertices.numpy(), made.faces)


def colors_of(mesh: TexturedMesh, size: int = 64) -> ViewSet:
    azimuth, elevation = torch.arange(6) * 60 + 30.0, torch.tensor([20.0, -10.0]).repeat(3)
    return replace(render_mesh(mesh, Cameras.orbit(azimuth, elevation, size=size)), depth=None, normal=None)


def distance(fields: FusedFields, truth: TexturedMesh) -> float:
    generator = torch.Generator().manual_seed(0)
    made = fields.grid.surface(fields.values[0]).sample_surface(4000, generator)
    true = truth.sample_surface(4000, generator)
    return float(nearest(made, true)[0].mean() + nearest(true, made)[0].mean()) / 2


@pytest.mark.parametrize(("shape", "share"), [(block, 0.7), (bowl, 0.92)])
def test_colors_bring_the_hull_nearer(shape, share):
    truth = shape()
    views = colors_of(truth)
    hull, carved = (distance(fitted_fields(views, config), truth) for config in (_HULL, _CARVED))
    assert carved < share * hull


def test_a_rod_stays_whole_and_no_cavities_come_about():
    import trimesh

    made = trimesh.creation.cylinder(0.03, 0.8, sections=24)
    rod = fitted_fields(colors_of(painted(made.vertices, made.faces)), _CARVED)
    at = torch.linspace(-0.35, 0.35, 20)
    assert (rod.grid.sample(rod.values, torch.stack([0 * at, 0 * at, at], -1)) < 0).all()
    solid = fitted_fields(colors_of(block()), _CARVED)
    points = solid.grid.points()
    assert (solid.values[0][(points.abs() < torch.tensor([0.18, 0.18, 0.1])).all(-1)] < 0).all()


def test_hypotheses_are_carved_as_if_alone_and_views_with_depth_are_not():
    few = replace(_CARVED, carve=replace(_CARVED.carve, steps=3))
    first, second = colors_of(block()), colors_of(bowl())
    both, alone = fitted_fields(ViewSet.cat([first, second]), few), fitted_fields(second, few)
    torch.testing.assert_close(both.values[1:], alone.values, rtol=0, atol=1e-5)
    cameras = first.cameras[0]
    measured = render_mesh(block(), cameras)
    assert torch.equal(fitted_fields(measured, few).values, fitted_fields(measured, _HULL).values)
