"""Undistorted pictures against pictures that are known in every direction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.core.errors import InputError
from recon.io.views.lens import Lens, undistorted

W, H, F = 96, 72, 80.0
small = st.floats(-0.08, 0.08)


def _color(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What is seen in the direction (x, y, 1): a smooth pattern."""
    return np.stack([127 + 100 * np.sin(5 * x), 127 + 100 * np.cos(4 * y), 127 + 100 * np.sin(3 * (x + y))], -1)


def _seen(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.concatenate([_color(x, y), np.full((*x.shape, 1), 255.0)], -1).round().astype(np.uint8)


def _grid(width: int, height: int, lens: Lens) -> tuple[np.ndarray, np.ndarray]:
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return (u - lens.center[0]) / lens.focal[0], (v - lens.center[1]) / lens.focal[1]


def _brown(lens: Lens) -> np.ndarray:
    """The distorted picture, by fixed-point inversion of Brown's model."""
    k1, k2, p1, p2, k3 = (*lens.distortion, 0, 0, 0, 0, 0)[:5]
    a, b = _grid(W, H, lens)
    x, y = a.copy(), b.copy()
    for _ in range(60):
        r = x * x + y * y
        radial = 1 + r * (k1 + r * (k2 + r * k3))
        x, y = (
            (a - 2 * p1 * x * y - p2 * (r + 2 * x * x)) / radial,
            (b - p1 * (r + 2 * y * y) - 2 * p2 * x * y) / radial,
        )
    return _seen(x, y)


def _check(picture: np.ndarray, pinhole: Lens, most: float = 6.0) -> None:
    assert picture.shape[:2] == (pinhole.height, pinhole.width)
    assert pinhole.is_pinhole
    inside = picture[..., 3] == 255
    assert inside.mean() > 0.5
    error = np.abs(picture[..., :3] - _color(*_grid(picture.shape[1], picture.shape[0], pinhole)))[inside]
    assert np.quantile(error, 0.999) < most


@settings(max_examples=25, deadline=None)
@given(k1=small, k2=small, p1=st.floats(-0.01, 0.01), p2=st.floats(-0.01, 0.01), k3=small)
def test_brown_distortion_is_removed(k1, k2, p1, p2, k3):
    lens = Lens(W, H, (F, F * 1.03), (W / 2 + 3, H / 2 - 2), (k1, k2, p1, p2, k3))
    _check(*undistorted(_brown(lens), lens))


@settings(max_examples=25, deadline=None)
@given(k=st.tuples(small, small, small, small), focal=st.floats(45, 90))
def test_fisheyes_are_flattened(k, focal):
    lens = Lens(W, H, (focal, focal), (W / 2, H / 2), k, fisheye=True)
    a, b = _grid(W, H, lens)
    bent, angle = np.hypot(a, b), np.hypot(a, b)
    for _ in range(80):
        t = angle * angle
        angle = angle - 0.5 * (angle * (1 + t * (k[0] + t * (k[1] + t * (k[2] + t * k[3])))) - bent)
    stretch = np.tan(np.clip(angle, 0, 1.5)) / np.maximum(bent, 1e-9)
    picture, pinhole = undistorted(_seen(a * stretch, b * stretch), lens)
    middle = np.abs(np.stack(_grid(picture.shape[1], picture.shape[0], pinhole))).max(0) < 0.6
    middle &= picture[..., 3] == 255
    assert middle.sum() > 1000
    error = np.abs(picture[..., :3] - _color(*_grid(picture.shape[1], picture.shape[0], pinhole)))[middle]
    assert np.quantile(error, 0.99) < 8


def test_a_pinhole_is_left_alone():
    lens = Lens(W, H, (F, F), (W / 2, H / 2), (0.0, 0.0, 0.0, 0.0))
    picture = _brown(lens)
    same, other = undistorted(picture, lens)
    assert same is picture
    assert other is lens


def test_all_of_a_barrel_is_kept():
    """The corners of the source come back within the pinhole's frame, opaque up to their very edge."""
    lens = Lens(W, H, (F, F), (W / 2, H / 2), (-0.2,))
    picture, pinhole = undistorted(_brown(lens), lens)
    assert pinhole.width > W
    assert pinhole.focal == lens.focal
    assert (picture[..., 3] > 0).any(0).mean() > 0.98
    assert (picture[..., 3] > 0).any(1).mean() > 0.98


@pytest.mark.parametrize("wrong", [{"focal": (0.0, 1.0)}, {"width": 0}, {"distortion": (float("nan"),)}])
def test_no_lens(wrong):
    with pytest.raises(InputError):
        Lens(**({"width": W, "height": H, "focal": (F, F), "center": (1.0, 1.0)} | wrong))
