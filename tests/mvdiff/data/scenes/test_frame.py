"""The photo's world: where it is, how it turns, its unit."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mvdiff.data.scenes.cameras import Pose, cameras_of
from mvdiff.data.scenes.frame import PHOTO_DEPTH, photo_frame, photo_median, to_photo_frame

angles = st.floats(-180, 180)


@given(angles, st.floats(-80, 80), st.floats(-20, 20), st.tuples(*[st.floats(-9, 9)] * 3))
@settings(max_examples=30, deadline=None)
def test_the_photo_looks_along_minus_z_from_the_origin_and_keeps_pitch_and_roll(yaw, pitch, roll, position):
    cameras = cameras_of([Pose(position, yaw, pitch, roll, 60), Pose((0, 0, 0), 0, pitch, roll, 60)], 8)
    moved = photo_frame(cameras.c2w[:1]) @ cameras.c2w[:1]
    assert torch.allclose(moved[0, :3, 3], torch.zeros(3), atol=1e-5)
    assert torch.allclose(moved[0, :3, :3], cameras.c2w[1, :3, :3], atol=1e-5)
    up = photo_frame(cameras.c2w[:1])[0, :3, :3] @ torch.tensor([0.0, 1, 0])
    assert torch.allclose(up, torch.tensor([0.0, 1, 0]), atol=1e-6)


@pytest.mark.parametrize("pitch", [90.0, -90.0])
def test_a_camera_that_looks_straight_up_or_down_has_a_frame_too(pitch):
    straight = cameras_of([Pose((1, 2, 3), 40, pitch, 0, 60)], 8)
    level = cameras_of([Pose((1, 2, 3), 40, 0, 0, 60)], 8)
    assert torch.allclose(photo_frame(straight.c2w), photo_frame(level.c2w), atol=1e-4)


def test_the_median_counts_pixels_with_a_surface_alone():
    depth = torch.tensor([[[0.0, 0, 2], [4, 6, 0]], [[0.0, 0, 0], [0, 0, 0]]])
    assert photo_median(depth).tolist() == [4.0, 1.0]


def test_cameras_come_into_the_photos_unit():
    cameras = cameras_of([Pose((1, 1.5, 2), 90, 0, 0, 60), Pose((4, 1.5, 2), 90, 0, 0, 60)], 8)
    moved = to_photo_frame(cameras.c2w[None], cameras.c2w[:1], torch.tensor([3.0]))
    # Three meters ahead at a median depth of three meters: one photo depth along -Z.
    assert torch.allclose(moved[0, 1, :3, 3], torch.tensor([0, 0, -PHOTO_DEPTH]), atol=1e-5)
    assert torch.allclose(moved[0, :, :3, :3] @ moved[0, :, :3, :3].mT, torch.eye(3).expand(2, 3, 3), atol=1e-5)


def test_yaw_turns_from_minus_z_to_plus_x_and_pitch_up():
    east, up = cameras_of([Pose((0, 0, 0), 90, 0, 0, 90), Pose((0, 0, 0), 0, 30, 0, 90)], 10)[:, None].c2w[:, 0]
    assert torch.allclose(east[:3, 2], torch.tensor([1.0, 0, 0]), atol=1e-6)
    assert up[1, 2] == pytest.approx(math.sin(math.radians(30)))
    assert torch.linalg.det(east[:3, :3]) == pytest.approx(1)
