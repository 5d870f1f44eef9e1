"""Chirality, up-axis and projection against hand-computed truths."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon import Cameras
from recon.core.conventions import camera_to_opencv, linear_to_srgb, srgb_to_linear, world_rotation


def test_azimuth_zero_sees_plus_x_on_the_right_and_plus_y_on_top():
    camera = Cameras.orbit(0.0, 0.0)
    assert torch.allclose(camera.position, torch.tensor([0.0, 0.0, 1.5]))
    uv, depth = camera.project(torch.tensor([[0.1, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1]]))
    assert uv[0, 0] > 64
    assert uv[0, 1] == pytest.approx(64)
    assert uv[1, 1] < 64
    assert depth[2] == pytest.approx(1.4)


def test_positive_azimuth_moves_towards_plus_x():
    assert Cameras.orbit(90.0, 0.0).position[0] == pytest.approx(1.5)


def test_default_lens_holds_the_bounding_sphere():
    camera = Cameras.orbit(0.0)
    tangent = 0.5 * math.cos(math.asin(0.5 / 1.5))  # where the tangent cone touches the sphere
    uv, _ = camera.project(torch.tensor([[0.0, tangent, 0.5 * 0.5 / 1.5]]))
    assert 0.0 <= uv[0, 1] < 4.0


@settings(max_examples=30, deadline=None)
@given(st.floats(-180, 180), st.floats(-89, 89), st.floats(10, 90), st.floats(-5, 5))
def test_rays_and_projection_are_inverse(azimuth, elevation, fov, skew):
    camera = Cameras.orbit(azimuth, elevation, fov=fov, size=(16, 12))
    camera.intrinsics[0, 1] = skew
    origins, directions = camera.rays()
    uv, depth = camera.project(origins + 1.3 * directions)
    expected = camera.project(camera.unproject(depth.reshape(12, 16)).reshape(-1, 3))[0]
    assert torch.allclose(uv, expected, atol=1e-3)
    assert torch.allclose(camera.w2c @ camera.c2w, torch.eye(4), atol=1e-5)
    assert torch.linalg.det(camera.c2w[:3, :3]) == pytest.approx(1.0, abs=1e-4)


def test_looking_straight_down_is_finite():
    assert torch.isfinite(Cameras.orbit(30.0, 90.0).c2w).all()


def test_resized_keeps_the_lens():
    small, large = Cameras.orbit(20.0, size=64), Cameras.orbit(20.0, size=64).resized(128, 128)
    point = torch.tensor([[0.1, 0.2, 0.3]])
    assert torch.allclose(small.project(point)[0] * 2, large.project(point)[0], atol=1e-4)


def test_conventions():
    c2w = Cameras.orbit(30.0, 20.0).c2w
    assert torch.allclose(camera_to_opencv(camera_to_opencv(c2w, "opengl"), "opengl"), c2w)
    up = world_rotation("z_up") @ torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert torch.allclose(up, torch.tensor([0.0, 1.0, 0.0, 1.0]))
    with pytest.raises(ValueError, match="known"):
        camera_to_opencv(c2w, "left-handed")


@given(st.floats(0, 1))
def test_srgb_round_trip(value):
    color = torch.tensor([value])
    assert torch.allclose(linear_to_srgb(srgb_to_linear(color)), color, atol=1e-5)
