"""Orthographic views to meshes: as accurate as pinhole views, with the right hand, place and colors."""

from dataclasses import replace

import pytest
import torch
import trimesh
from asymmetric import pictures, seat

from recon import ReconstructionConfig, TexturedMesh, reconstruct
from recon.core.grid import VoxelGrid
from recon.fusion.consistency import contradictions
from recon.fusion.refine import FitConfig
from recon.fusion.tsdf import FuseConfig, fuse
from recon.metrics.shape import nearest
from recon.surface.texture import TextureConfig

_CONFIG = ReconstructionConfig(
    resolution=56, fit=FitConfig(steps=0), texture=TextureConfig(size=128), max_faces=4000, smoothing=(4, 8)
)
_GRID = VoxelGrid(torch.zeros(3), 0.55, 56)


def sphere(radius: float) -> TexturedMesh:
    made = trimesh.creation.icosphere(4, radius)
    return TexturedMesh.from_arrays(made.vertices, made.faces)


def test_fusion_measures_a_spheres_distance_as_well_as_from_pinholes():
    truth = _GRID.points().norm(dim=-1) - 0.35
    near, far = truth.abs() < 0.02, truth.abs() > 0.04
    errors = {}
    for name, views in pictures(sphere(0.35)).items():
        field = fuse(views, _GRID, FuseConfig()).values[0]
        errors[name] = float((field[near] - truth[near]).abs().mean())
        assert ((field[far] > 0) == (truth[far] > 0)).float().mean() > 0.999
    assert errors["pinholes"] < 0.25 * _GRID.spacing
    assert errors["orthographic"] < 1.1 * errors["pinholes"]
    assert errors["mixed"] < 1.1 * errors["pinholes"]


def test_views_of_one_object_do_not_contradict_each_other():
    for name, views in pictures(seat()).items():
        assert contradictions(views)[0] < 1e-3, name


def test_silhouettes_alone_give_the_hull():
    field = fuse(replace(pictures(sphere(0.35))["orthographic"], depth=None), _GRID, FuseConfig()).values[0]
    distance = _GRID.points().norm(dim=-1)
    assert (field[distance < 0.33] < 0).all()
    assert (field[distance > 0.42] > 0).float().mean() > 0.99


def error(mesh: TexturedMesh, other: TexturedMesh) -> float:
    generator = torch.Generator().manual_seed(0)
    p, q = mesh.sample_surface(4000, generator), other.sample_surface(4000, generator)
    return float(nearest(p, q)[0].mean() + nearest(q, p)[0].mean()) / 2


@pytest.fixture(scope="module")
def rebuilt():
    return {name: reconstruct(views, _CONFIG)[0] for name, views in pictures(seat()).items()}


def test_the_mesh_is_as_near_as_that_of_pinholes(rebuilt):
    errors = {name: error(made.mesh, seat()) for name, made in rebuilt.items()}
    assert errors["orthographic"] < 1.1 * errors["pinholes"]
    assert errors["mixed"] < 1.1 * errors["pinholes"]
    mirrored = seat().vertices * torch.tensor([-1.0, 1.0, 1.0])
    assert error(rebuilt["orthographic"].mesh, replace(seat(), vertices=mirrored)) > 3 * errors["orthographic"]


def test_the_texture_has_the_objects_colors_in_their_places(rebuilt):
    from recon.rendering import render_mesh

    for name, expected in pictures(seat()).items():
        found = render_mesh(rebuilt[name].mesh, expected.cameras[0])
        both = (found.alpha > 0.99) & (expected.alpha > 0.99)
        assert ((found.rgb - expected.rgb).abs() * both).sum() / (3 * both.sum()) < 0.03, name
