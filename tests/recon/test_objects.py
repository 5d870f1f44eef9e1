"""Views of known solids to meshes: place, size, handedness, colors, and what contradicting views do."""

from dataclasses import replace

import pytest
import torch

from recon import Cameras, ReconstructionConfig, TexturedMesh, ViewSet, reconstruct
from recon.core.errors import InputError
from recon.core.grid import VoxelGrid
from recon.fusion.consistency import ViewConsistency, contradictions
from recon.fusion.observations import ObservationMaps, silhouette_distance
from recon.fusion.refine import FitConfig, fit
from recon.fusion.tsdf import FuseConfig, _vote, fuse
from recon.metrics.shape import nearest
from recon.rendering import render_mesh
from recon.surface.cleanup import decimate, is_watertight, significant_parts
from recon.surface.texture import TextureConfig

_CONFIG = ReconstructionConfig(
    resolution=56, fit=FitConfig(steps=5), texture=TextureConfig(size=128), max_faces=4000, smoothing=(4, 8)
)
_GRID = VoxelGrid(torch.zeros(3), 0.55, 56)


def box(low: tuple, high: tuple, color: tuple) -> TexturedMesh:
    import trimesh

    made = trimesh.creation.box(bounds=[low, high])
    return TexturedMesh.from_arrays(made.vertices, made.faces, torch.tensor([color]).expand(8, 3).numpy())


def joined(*meshes: TexturedMesh) -> TexturedMesh:
    import trimesh

    parts = trimesh.util.concatenate([m.to_trimesh() for m in meshes])
    return TexturedMesh.from_arrays(parts.vertices, parts.faces, torch.cat([m.colors for m in meshes]).numpy())


def sphere(radius: float, subdivisions: int = 4) -> TexturedMesh:
    import trimesh

    made = trimesh.creation.icosphere(subdivisions, radius)
    return TexturedMesh.from_arrays(made.vertices, made.faces)


def views_of(mesh: TexturedMesh, size: int = 64) -> ViewSet:
    azimuth = torch.tensor([0.0, 30, 90, 150, 210, 270, 330])
    elevation = torch.tensor([10.0, 20, -10, 20, -10, 20, -10])
    return render_mesh(mesh, Cameras.orbit(azimuth, elevation, size=size))


@pytest.fixture(scope="module")
def seat() -> TexturedMesh:
    """Red base; a green arm up at +X and towards the viewer: no mirror image or turn of itself."""
    base = box((-0.3, -0.3, -0.2), (0.3, -0.1, 0.2), (0.8, 0.1, 0.1))
    return joined(base, box((0.15, -0.1, 0.05), (0.3, 0.3, 0.2), (0.1, 0.7, 0.1)))


@pytest.fixture(scope="module")
def rebuilt(seat):
    return reconstruct(views_of(seat), _CONFIG)[0]


def chamfer(a: TexturedMesh, b: TexturedMesh) -> float:
    generator = torch.Generator().manual_seed(0)
    p, q = a.sample_surface(4000, generator), b.sample_surface(4000, generator)
    return float(nearest(p, q)[0].mean() + nearest(q, p)[0].mean()) / 2


def test_fusion_measures_a_spheres_distance():
    field = fuse(views_of(sphere(0.35)), _GRID, FuseConfig()).values[0]
    truth = _GRID.points().norm(dim=-1) - 0.35
    near = truth.abs() < 0.02
    assert (field[near] - truth[near]).abs().mean() < 0.25 * _GRID.spacing
    far = truth.abs() > 0.04
    assert ((field[far] > 0) == (truth[far] > 0)).float().mean() > 0.999


def test_silhouettes_alone_give_the_hull():
    views = replace(views_of(sphere(0.35)), depth=None, normal=None)
    field = fuse(views, _GRID, FuseConfig()).values[0]
    radius = _GRID.points().norm(dim=-1)
    assert (field[radius < 0.33] < 0).all()
    assert (field[radius > 0.46] > 0).all()


def test_silhouette_distance_of_a_disc():
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    truth = ((x - 32) ** 2 + (y - 32) ** 2).sqrt() - 20
    alpha = (0.5 - truth).clamp(0, 1)[None, None]
    assert (silhouette_distance(alpha)[0, 0] - truth).abs().max() < 1.0


def test_without_a_contour_all_is_far():
    nothing = torch.zeros(1, 1, 6, 8)
    assert (silhouette_distance(nothing) == 14).all()
    assert (silhouette_distance(1 - nothing) == -14).all()


def test_object_comes_back_upright_unmirrored_and_watertight(seat, rebuilt):
    assert is_watertight(rebuilt.mesh)
    error = chamfer(rebuilt.mesh, seat)
    assert error < 0.012
    for axis in range(3):
        flip = torch.eye(4)
        flip[axis, axis] = -1
        assert chamfer(rebuilt.mesh.transformed(flip), seat) > 3 * error


def test_texture_shows_the_objects_colors(seat, rebuilt):
    assert rebuilt.mesh.uv.min() >= 0
    assert rebuilt.mesh.uv.max() <= 1
    cameras = Cameras.orbit(torch.tensor([45.0, 135, 225, 315]), 15.0, size=64)
    truth, own = render_mesh(seat, cameras), render_mesh(rebuilt.mesh, cameras)
    both = (truth.alpha > 0.99) & (own.alpha > 0.99)
    error = ((truth.rgb - own.rgb).square().mean(2, keepdim=True) * both).sum() / both.sum()
    assert -10 * error.log10() > 18


def test_sdf_is_negative_inside_at_cell_centers(rebuilt):
    points = VoxelGrid(torch.zeros(3), rebuilt.extent, len(rebuilt.sdf)).points()
    inside = ((points - torch.tensor([0.0, -0.2, 0.0])).abs() < torch.tensor([0.25, 0.05, 0.15])).all(-1)
    assert (rebuilt.sdf[inside] < 0).all()
    assert (rebuilt.sdf[points[..., 1] > 0.35] > 0).all()


def test_a_batch_is_its_hypotheses_one_by_one(seat, rebuilt):
    config = replace(_CONFIG, fit=FitConfig(steps=0))
    other = views_of(sphere(0.3))
    together = reconstruct(ViewSet.cat([views_of(seat), other]), config)
    alone = reconstruct(other, config)[0]
    assert torch.equal(together[1].mesh.vertices, alone.mesh.vertices)
    assert torch.equal(together[1].mesh.texture, alone.mesh.texture)
    assert together[1].residual == alone.residual


def test_contradicting_views_raise_the_residual_and_keep_the_object(seat, rebuilt):
    views = views_of(seat)
    wrong = views.alpha.clone()
    wrong[:, 3] = wrong[:, 3].roll(5, -1)
    made = reconstruct(replace(views, alpha=wrong), _CONFIG)[0]
    assert made.residual > 1.5 * rebuilt.residual
    assert made.residuals[3] > made.residuals.median()
    assert len(made.mesh) > 100


def test_the_view_that_all_others_contradict_is_not_trusted(seat):
    views = views_of(seat)
    true = ViewConsistency.of(ObservationMaps.of(views))
    assert true.contradiction < 0.002
    assert true.trust.min() > 0.9
    turned = render_mesh(seat.transformed(_turned(40.0)), views.cameras[0])
    channels = {name: getattr(views, name).clone() for name in ("rgb", "alpha", "normal", "depth")}
    for name, value in channels.items():
        value[:, 2] = getattr(turned, name)[:, 2]
    wrong = ViewConsistency.of(ObservationMaps.of(replace(views, **channels)))
    assert wrong.trust.argmin() == 2
    assert wrong.trust[2] < 0.5 * wrong.trust.median()


def test_contradictions_are_told_hypothesis_by_hypothesis(seat):
    views = views_of(seat)
    depth = views.depth.clone()
    depth[:, ::2] -= 0.05 * (depth[:, ::2] > 0)
    blank = views.alpha.clone()
    blank[:, 1] = 0
    several = ViewSet.cat([views, replace(views, depth=depth), replace(views, alpha=blank)])
    true, contradicting, missing = contradictions(several).tolist()
    assert true < 0.002 < contradicting < missing


def test_fusion_hands_on_how_far_the_views_agree(seat):
    views = views_of(seat)
    alpha, depth = views.alpha.clone(), views.depth.clone()
    alpha[:, 4] = 0
    depth[:, ::2] -= 0.05 * (depth[:, ::2] > 0)
    both = ViewSet.cat([views, replace(views, alpha=alpha, depth=depth)])
    fields = fuse(both, replace(_GRID, resolution=24), FuseConfig())
    assert fields.trust[0].min() > 0.9
    assert fields.trust[1, 4] == 0
    assert fields.consistency[0] > 0.9
    assert fields.consistency[1] < 0.1
    assert fields[1].consistency == fields.consistency[1:]
    assert torch.equal(fields[1].trust, fields.trust[1:])


def test_fine_cells_are_computed_only_where_it_matters():
    views = views_of(sphere(0.35))
    grid = replace(_GRID, resolution=72)
    maps = ObservationMaps.of(views)
    whole = _vote(maps, ViewConsistency.of(maps), grid.points().reshape(-1, 3), FuseConfig()).reshape(72, 72, 72)
    assert (fuse(views, grid, FuseConfig()).values[0] - whole).abs().max() < 0.05 * FuseConfig().truncation


def test_vertices_know_how_far_the_views_are_from_them(seat, rebuilt):
    views = views_of(seat)
    assert rebuilt.mesh.attributes["inconsistency"].mean() < 0.01
    # The arm of one view stands nearer to the camera than the others say.
    depth = views.depth.clone()
    upper = views.cameras[0].unproject(depth[0, :, 0])[..., 1] > 0
    depth[0, 1, 0][upper[1] & (depth[0, 1, 0] > 0)] -= 0.06
    mesh = reconstruct(replace(views, depth=depth), _CONFIG)[0].mesh
    value = mesh.attributes["inconsistency"]
    assert value.shape == (len(mesh.vertices),)
    upper, before = mesh.vertices[:, 1] > 0, rebuilt.mesh
    gain = value[upper].mean() - before.attributes["inconsistency"][before.vertices[:, 1] > 0].mean()
    elsewhere = value[~upper].mean() - before.attributes["inconsistency"][before.vertices[:, 1] <= 0].mean()
    assert gain > 0.003
    assert gain > 2 * elsewhere


def test_fit_brings_a_wrong_field_nearer():
    views, truth = views_of(sphere(0.35)), _GRID.points().norm(dim=-1) - 0.35
    start = (truth + 0.015)[None].clamp(-0.04, 0.04)
    trust = torch.ones(1, views.num_views)
    end = fit(views, _GRID, start, trust, FitConfig(steps=30, anchor_weight=0.0))
    near = truth.abs() < 0.01
    assert (end[0][near] - truth[near]).abs().mean() < 0.7 * (start[0][near] - truth[near]).abs().mean()
    assert torch.equal(fit(views, _GRID, start, trust, FitConfig(steps=0)), start)


def test_small_parts_and_cavities_go_and_decimation_stays_closed():
    ball, speck = sphere(0.3), sphere(0.02, 2).transformed(_moved(0.45))
    hollow = sphere(0.2)
    hollow = replace(hollow, faces=hollow.faces.flip(1))
    bare = [replace(m, colors=None) for m in (ball, speck, hollow)]
    offsets = [0, len(ball.vertices), len(ball.vertices) + len(speck.vertices)]
    whole = TexturedMesh(
        torch.cat([m.vertices for m in bare]), torch.cat([m.faces + o for m, o in zip(bare, offsets, strict=True)])
    )
    kept = significant_parts(whole, 0.01)
    assert len(kept) == len(ball)
    assert is_watertight(kept)
    small = decimate(kept, 1000)
    assert is_watertight(small)
    assert 800 < len(small) <= 1100
    assert not is_watertight(replace(small, faces=small.faces[1:]))


def _turned(degrees: float) -> torch.Tensor:
    angle, matrix = torch.deg2rad(torch.tensor(degrees)), torch.eye(4)
    matrix[0, 0] = matrix[2, 2] = angle.cos()
    matrix[0, 2], matrix[2, 0] = angle.sin(), -angle.sin()
    return matrix


def _moved(x: float) -> torch.Tensor:
    matrix = torch.eye(4)
    matrix[0, 3] = x
    return matrix


def test_views_without_an_object_have_no_faces_and_presets_have_names(seat):
    views = views_of(seat)
    empty = replace(views, alpha=torch.zeros_like(views.alpha))
    assert len(reconstruct(empty, _CONFIG)[0].mesh) == 0
    assert ReconstructionConfig.preset("fast").fit.steps == 0
    with pytest.raises(InputError, match="use fast, default, quality"):
        ReconstructionConfig.preset("best")
