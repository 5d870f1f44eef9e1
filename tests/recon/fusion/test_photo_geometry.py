"""The photo's geometry as an observation: alignment, integration of normals, and what fusion makes of both."""

import pytest
import torch
from true_geometry import true_geometry, visible_chamfer

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.fusion.normal_integration import integrated_depth
from recon.fusion.photo_geometry import PhotoGeometry, PhotoObservation, align
from recon.objects import ReconstructionConfig, extract_untextured, fitted_fields
from recon.rendering import render_mesh

SIZE = 64
CAMERA = Cameras.orbit([0.0], 20.0, size=SIZE)
CONFIG = ReconstructionConfig(resolution=64)


def _ball(dent: float) -> TexturedMesh:
    """A ball of radius 0.4 whose front is pushed in."""
    import trimesh

    made = trimesh.creation.icosphere(4, 0.4)
    vertices = torch.from_numpy(made.vertices.copy()).float()
    front = torch.nn.functional.normalize(CAMERA.position[0], dim=0)
    weight = ((vertices @ front / 0.4 - 0.88) / 0.12).clamp_min(0)
    vertices = vertices - dent * weight[:, None] * front
    return TexturedMesh(vertices, torch.from_numpy(made.faces.copy()).long())


def _observed(truth: TexturedMesh, **options) -> PhotoObservation:
    trust = options.pop("trust", 4.0)
    alpha = render_mesh(truth, CAMERA, 2).alpha[0, 0]
    rgba = torch.cat([torch.full((3, SIZE, SIZE), 0.5), alpha])
    return PhotoObservation(true_geometry(truth, CAMERA, **options), rgba, CAMERA, trust)


@pytest.fixture(scope="module")
def wrong_views():
    """Views that all agree on a front that is not dented."""
    cameras = Cameras.orbit([0.0, 60.0, 120.0, 180.0, 240.0, 300.0], 15.0, size=SIZE)
    return render_mesh(_ball(0.0), cameras, 2)


def _error(views, truth: TexturedMesh, observation: PhotoObservation | None) -> float:
    fields = fitted_fields(views, CONFIG, observation=observation)
    return visible_chamfer(extract_untextured(fields, views, CONFIG)[0].mesh, truth, CAMERA)


@pytest.mark.parametrize(
    ("options", "share"),
    [
        ({"metric": True}, 0.4),
        ({}, 0.6),
        ({"channels": "depth"}, 0.6),
        ({"channels": "normal"}, 0.5),
        ({"channels": "depth", "disparity": True}, 0.6),
        ({"metric": True, "noise": 0.005}, 0.6),
    ],
    ids=["scaled depth and normals", "depth and normals", "depth", "normals", "disparity", "noisy"],
)
def test_a_dent_that_only_the_photo_shows_is_taken_over(wrong_views, options: dict, share: float) -> None:
    truth = _ball(0.08)
    without = _error(wrong_views, truth, None)
    assert _error(wrong_views, truth, _observed(truth, **options)) < share * without


def test_the_hidden_side_stays_as_it_was(wrong_views) -> None:
    observed = _observed(_ball(0.08))
    alone = fitted_fields(wrong_views, CONFIG).values[0]
    both = fitted_fields(wrong_views, CONFIG, observation=observed).values[0]
    behind = CAMERA.position[0] @ torch.stack(
        torch.meshgrid(*[torch.linspace(-0.55, 0.55, 64)] * 3, indexing="ij")
    ).flatten(1)
    hidden = (behind < -0.25).reshape(64, 64, 64) & (alone.abs() < 0.02)
    assert float((alone - both).abs()[hidden].mean()) < 0.25 * 1.1 / 64  # of a cell; the fit draws other rays


def test_no_trust_changes_no_bit(wrong_views) -> None:
    alone = fitted_fields(wrong_views, CONFIG)
    untrusted = fitted_fields(wrong_views, CONFIG, observation=_observed(_ball(0.08), trust=0.0))
    assert torch.equal(alone.values, untrusted.values)


def test_views_without_depth_refuse_it(wrong_views) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match="needs views with depth"):
        fitted_fields(replace(wrong_views, depth=None, normal=None), CONFIG, observation=_observed(_ball(0.08)))


def test_geometry_of_another_object_is_left_out(wrong_views, caplog) -> None:
    """Near and far exchanged: no affine map with a positive factor fits."""
    observed = _observed(_ball(0.0), channels="depth")
    geometry = observed.geometry
    assert geometry.values is not None
    turned = PhotoGeometry("depth", -geometry.values, None, geometry.confidence)
    kept = PhotoObservation(turned, observed.rgba, CAMERA)
    with caplog.at_level("WARNING"):
        error = _error(wrong_views, _ball(0.0), kept)
    assert "does not fit a hypothesis" in caplog.text
    assert error < 0.004


def test_alignment_is_not_bent_by_a_third_of_outliers() -> None:
    generator = torch.Generator().manual_seed(0)
    goal = 1 + torch.rand(40, 40, generator=generator)
    values = (goal - 0.7) / 2.5
    goal[:, :13] += 0.4
    line = align(values, goal, torch.ones(40, 40))
    assert line is not None
    assert line == pytest.approx((2.5, 0.7), abs=0.01)
    assert align(values, goal, torch.zeros(40, 40)) is None
    assert align(-values, goal, torch.ones(40, 40)) is None


def test_normals_of_a_ball_are_integrated_to_its_depth() -> None:
    ball = render_mesh(_ball(0.0), CAMERA, 4)
    depth, mask = ball.depth[0, 0, 0], ball.alpha[0, 0, 0] > 0.999
    normal = torch.einsum("ji,jhw->ihw", CAMERA.c2w[0, :3, :3], ball.normal[0, 0])
    flat = torch.where(mask, depth[mask].mean(), torch.tensor(0.0))
    found = integrated_depth(normal, flat, mask, CAMERA.intrinsics[0])
    scale = float((depth[mask] / found[mask]).median())  # normals do not tell the scale
    inner = mask & (normal[2] < -0.5)
    assert float((found * scale - depth)[inner].abs().mean()) < 0.004
    assert float((flat - depth)[inner].abs().mean()) > 0.02
