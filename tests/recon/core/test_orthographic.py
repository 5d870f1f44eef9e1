"""Orthographic cameras against what parallel rays must do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon import Cameras, ViewSet
from recon.core.bounding import BoundingSphere
from recon.core.errors import InputError

_SIZE = (16, 12)


def camera(azimuth: float = 30.0, elevation: float = 20.0) -> Cameras:
    return Cameras.orbit(azimuth, elevation, size=_SIZE).as_orthographic(0.6)


@settings(max_examples=20, deadline=None)
@given(st.floats(-180, 180), st.floats(-90, 90), st.floats(0.1, 5), st.floats(-5, 5))
def test_rays_and_projection_are_inverse(azimuth, elevation, half_extent, skew):
    own = Cameras.orbit(azimuth, elevation, size=_SIZE).as_orthographic(half_extent)
    own.intrinsics[0, 1] = skew
    origins, directions = own.rays()
    pixels, depth = own.project(origins + 1.3 * directions)
    y, x = torch.meshgrid(torch.arange(12) + 0.5, torch.arange(16) + 0.5, indexing="ij")
    assert torch.allclose(pixels, torch.stack([x, y], -1).reshape(-1, 2), atol=1e-3)
    assert torch.allclose(depth, torch.full_like(depth, 1.3), atol=1e-5)
    points = own.unproject(depth.reshape(12, 16)).reshape(-1, 3)
    assert torch.allclose(points, origins + 1.3 * directions, atol=1e-5)


def test_rays_are_parallel_and_start_on_one_plane():
    origins, directions = camera().rays()
    forward = camera().c2w[:3, 2]
    assert torch.equal(directions, forward.expand_as(directions))
    assert ((origins - camera().position) @ forward).abs().max() < 1e-6
    assert torch.allclose((origins[1] - origins[0]).norm(), torch.tensor(2 * 0.6 / 12))


def test_azimuth_zero_sees_plus_x_on_the_right_and_plus_y_on_top_at_any_depth():
    front = camera(0, 0)
    pixels, depth = front.project(torch.tensor([[0.3, 0.0, 0.0], [0.3, 0.0, 0.5], [0.0, 0.3, 0.0]]))
    assert pixels[:, 0].tolist() == pytest.approx([8 + 0.3 * 10, 8 + 0.3 * 10, 8])
    assert pixels[:, 1].tolist() == pytest.approx([6, 6, 6 - 0.3 * 10])
    assert depth.tolist() == pytest.approx([1.5, 1.0, 1.5])


def test_a_far_pinhole_comes_near_an_orthographic_camera():
    far = Cameras.orbit(25.0, 15.0, distance=6400.0, fov=2 * torch.tensor(0.6 / 6400).atan().rad2deg().item(), size=64)
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    expected = far.project(points)[0]
    found = Cameras.orbit(25.0, 15.0, size=64).as_orthographic(0.6).project(points)[0]
    assert torch.allclose(found, expected, atol=0.02)


def test_mixed_batches_index_reshape_and_move_like_pinholes():
    pinhole, parallel = Cameras.orbit([0.0, 90.0], size=_SIZE), camera()[None].expand(2)
    mixed = Cameras.cat([pinhole, parallel])
    point = torch.tensor([[[0.1, 0.2, 0.3]]])
    for part, whole in (
        (mixed[:2], pinhole),
        (mixed.reshape(2, 2)[1], parallel),
        (mixed.to(torch.float64)[3:], parallel[1:]),
    ):
        for found, expected in zip(part.project(point.to(part.c2w)), whole.project(point), strict=True):
            assert torch.allclose(found.float(), expected, atol=1e-6)
        for found, expected in zip(part.rays(), whole.rays(), strict=True):
            assert torch.allclose(found.float(), expected, atol=1e-6)
    assert torch.equal(Cameras.stack([pinhole, parallel], 1).orthographic, torch.tensor([[False, True]] * 2))
    assert Cameras.cat([pinhole, pinhole]).orthographic is None


def test_lengths_and_directions_towards_the_camera():
    both = Cameras.stack([Cameras.orbit(0.0, size=_SIZE), camera(0, 0)])
    far_below = torch.tensor([[0.4, 0.0, -0.5]])
    to_pinhole, to_parallel = both.towards(far_below[None])
    assert torch.allclose(to_parallel, torch.tensor([[0.0, 0.0, 1.0]]), atol=1e-6)
    assert to_pinhole[0, 0] < -0.1
    _, depth = both.project(far_below[None])
    beside = far_below + torch.tensor([[0.0, 0.1, 0.0]])
    rows = (both.project(far_below[None])[0] - both.project(beside[None])[0])[..., 1]
    assert torch.allclose(both.length(rows, depth), torch.tensor(0.1), atol=1e-6)


def test_the_same_pictures_in_a_world_of_another_scale():
    views = ViewSet(torch.zeros(1, 2, 3, 12, 16), torch.zeros(1, 2, 1, 12, 16), camera()[None].expand(2).reshape(1, 2))
    sphere = BoundingSphere(torch.tensor([0.3, -0.2, 5.0]), 7.0)
    moved = sphere.to_unit(views).cameras
    points = torch.rand(1, 1, 5, 3)
    scale = 0.5 / (7.0 * 1.03)
    found, depth = moved.project((points - sphere.center) * scale)
    expected, own_depth = views.cameras.project(points)
    assert torch.allclose(found, expected, atol=1e-3)
    assert torch.allclose(depth, own_depth * scale, atol=1e-5)


def test_view_files_keep_the_projection(tmp_path):
    cameras = Cameras.stack([Cameras.orbit(0.0, size=_SIZE), camera()]).reshape(1, 2)
    views = ViewSet(torch.zeros(1, 2, 3, 12, 16), torch.zeros(1, 2, 1, 12, 16), cameras)
    views.save(tmp_path)
    assert torch.equal(ViewSet.load(tmp_path).cameras.orthographic, torch.tensor([[False, True]]))
    pinholes = ViewSet(views.rgb, views.alpha, Cameras.orbit([0.0, 1.0], size=_SIZE).reshape(1, 2))
    pinholes.save(tmp_path)
    assert ViewSet.load(tmp_path).cameras.orthographic is None


@pytest.mark.parametrize("half_extent", [0.0, -1.0, float("nan"), float("inf")])
def test_a_half_extent_is_above_zero(half_extent):
    with pytest.raises(InputError, match="half extent above 0"):
        Cameras.orbit(0.0).as_orthographic(half_extent)


def test_what_takes_pinholes_only_says_so():
    from mvdiff.models.cameras import camera_tensors
    from recon.ops.panorama import to_views

    Cameras.orbit(0.0).require_pinholes("A test")
    with pytest.raises(InputError, match="The embedded model takes pinhole cameras only"):
        camera_tensors(camera())
    with pytest.raises(InputError, match="A panorama takes pinhole cameras only"):
        to_views(torch.zeros(3, 8, 16), camera()[None])
