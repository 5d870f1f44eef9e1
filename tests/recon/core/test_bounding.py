"""The sphere found from silhouettes is the object's own."""

import pytest
import torch
import trimesh

from recon import Cameras, TexturedMesh, ViewSet
from recon.core.bounding import BoundingSphere
from recon.core.errors import InputError
from recon.rendering import render_mesh

CAMERAS = Cameras.orbit([0.0, 60, 120, 180, 240, 300], [20.0, -10] * 3, size=64)


def ball(radius: float, center: tuple[float, float, float]) -> TexturedMesh:
    mesh = trimesh.creation.icosphere(3, radius)
    mesh.apply_translation(center)
    return TexturedMesh.from_arrays(mesh.vertices, mesh.faces, mesh.vertices * 0 + 0.5)


def elsewhere(views: ViewSet, scale: float, shift: torch.Tensor) -> ViewSet:
    c2w = views.cameras.c2w.clone()
    c2w[..., :3, 3] = c2w[..., :3, 3] * scale + shift
    return ViewSet(
        views.rgb, views.alpha, Cameras(c2w, views.cameras.intrinsics, 64, 64), views.normal, views.depth * scale
    )


def test_a_ball_in_another_world() -> None:
    shift = torch.tensor([10.0, -4.0, 2.5])
    views = elsewhere(render_mesh(ball(0.3, (0.05, 0.1, 0.0)), CAMERAS), 4.0, shift)
    sphere = BoundingSphere.of_views(views)
    assert torch.allclose(sphere.center, shift + 4 * torch.tensor([0.05, 0.1, 0.0]), atol=0.05)
    assert sphere.radius == pytest.approx(1.2, rel=0.03)
    assert not sphere.is_unit


def test_there_and_back() -> None:
    shift = torch.tensor([10.0, -4.0, 2.5])
    views = elsewhere(render_mesh(ball(0.3, (0.05, 0.1, 0.0)), CAMERAS), 4.0, shift)
    sphere = BoundingSphere.of_views(views)
    unit = sphere.to_unit(views)
    inside = BoundingSphere.of_views(unit)
    assert inside.is_unit
    assert float(inside.center.norm()) < 1e-3
    # Depth and cameras still agree: unprojected points lie on the ball.
    hit = unit.alpha[0, :, 0] > 0.99
    points = unit.cameras.unproject(unit.depth[:, :, 0])[0][hit]
    back = sphere.from_unit(TexturedMesh(points, torch.zeros(1, 3, dtype=torch.long))).vertices
    center = shift + 4 * torch.tensor([0.05, 0.1, 0.0])
    assert ((back - center).norm(dim=-1) - 1.2).abs().median() < 0.02


def test_own_objects_stay_where_they_are() -> None:
    assert BoundingSphere.of_views(render_mesh(ball(0.45, (0.0, 0.02, 0.0)), CAMERAS)).is_unit


def test_views_that_do_not_tell_are_refused() -> None:
    views = render_mesh(ball(0.3, (0, 0, 0)), CAMERAS)
    with pytest.raises(InputError, match="fewer than two"):
        BoundingSphere.of_views(ViewSet(views.rgb, views.alpha * 0, views.cameras))
    with pytest.raises(InputError, match="same way"):
        BoundingSphere.of_views(views.select_views([0, 0, 0]))
