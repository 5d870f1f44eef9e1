"""Closed-form matting on pictures whose alpha is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.io.images.closed_form import closed_form_alpha, matting_laplacian


def disc(softness: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A shaded disc with a soft rim over gray: (rgb, alpha, sure inside, sure outside)."""
    y, x = np.mgrid[:48, :48] / 24 - 1
    alpha = np.clip((0.6 - np.hypot(x, y)) * softness + 0.5, 0, 1)
    color = np.stack([0.8 + 0.1 * x, 0.3 + 0.1 * y, 0.2 + 0 * x], -1)
    rgb = color * alpha[..., None] + (1 - alpha[..., None]) * 127 / 255
    return rgb, alpha, np.hypot(x, y) < 0.35, np.hypot(x, y) > 0.85


@pytest.mark.parametrize("softness", [4.0, 10.0, 30.0])
def test_a_soft_rim_is_found_again(softness: float) -> None:
    rgb, alpha, inside, outside = disc(softness)
    found = closed_form_alpha(rgb, inside, outside)
    assert np.abs(found - alpha).mean() < 0.01
    assert (found[inside] == 1).all()
    assert (found[outside] == 0).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_the_laplacian_is_symmetric_and_blind_to_constants(seed: int) -> None:
    rgb = np.random.default_rng(seed).random((8, 9, 3))
    laplacian = matting_laplacian(rgb, np.ones((8, 9), bool))
    assert abs(laplacian - laplacian.T).max() < 1e-9
    assert np.abs(laplacian @ np.ones(72)).max() < 1e-9
    assert np.linalg.eigvalsh(laplacian.toarray()).min() > -1e-9


def test_a_linear_function_of_the_colors_costs_nothing() -> None:
    """Levin et al. 2008: alpha that is linear in the colors of each window lies in the null space."""
    rgb = np.random.default_rng(0).random((8, 9, 3))
    laplacian = matting_laplacian(rgb, np.ones((8, 9), bool))
    alpha = (rgb @ np.array([0.2, -0.4, 0.7]) + 0.1).ravel()
    assert alpha @ laplacian @ alpha < 1e-4


def test_nothing_unknown_leaves_the_trimap() -> None:
    inside = np.zeros((4, 4), bool)
    inside[1:3, 1:3] = True
    assert np.array_equal(closed_form_alpha(np.zeros((4, 4, 3)), inside, ~inside), inside)


def test_without_known_pixels_alpha_is_even() -> None:
    nothing = np.zeros((6, 6), bool)
    found = closed_form_alpha(np.random.default_rng(0).random((6, 6, 3)), nothing, nothing)
    assert np.abs(found - 0.5).max() < 1e-3
