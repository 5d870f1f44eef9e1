"""Probabilistic scores on distributions whose scores are known."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.metrics.probabilistic import (
    ause,
    band_coverage,
    best_of,
    brier_score,
    diversity,
    energy_score,
    expected_calibration_error,
    interval_coverage,
    negative_log_likelihood,
    reliability,
    spearman,
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=7), st.data())
def test_best_of_is_the_mean_over_all_subsets(errors: list[float], data) -> None:
    count = data.draw(st.integers(1, len(errors)))
    subsets = list(itertools.combinations(errors, count))
    expected = sum(min(subset) for subset in subsets) / len(subsets)
    assert best_of(torch.tensor(errors), count) == pytest.approx(expected, abs=1e-5)


def test_best_of_refuses_more_than_there_are() -> None:
    with pytest.raises(ValueError, match="Best of 3"):
        best_of(torch.ones(2), 3)


def test_energy_score_of_two_modes() -> None:
    # Samples at -1 and 1, truth at 1: E d(X, y) = 1, E d(X, X') = 1.
    x = torch.tensor([[-1.0], [1.0]])
    assert energy_score(torch.tensor([2.0, 0.0]), torch.cdist(x, x)) == pytest.approx(0.5)
    weights = torch.tensor([1.0, 3.0])
    assert energy_score(torch.tensor([2.0, 0.0]), torch.cdist(x, x), weights) == pytest.approx(
        0.5 - 0.5 * 2 * 0.1875 * 2
    )


def test_equal_copies_score_their_distance() -> None:
    assert energy_score(torch.full((5,), 0.3), torch.zeros(5, 5)) == pytest.approx(0.3)


def test_energy_score_is_proper() -> None:
    """Averaged over truths from N(0, 1), honest samples beat too narrow, too wide and shifted ones."""
    truth, draws = torch.randn(400, 1), torch.randn(400, 1)

    def mean_score(samples: torch.Tensor) -> float:
        pairwise = torch.cdist(samples, samples)
        return sum(energy_score((samples - y).norm(dim=-1), pairwise) for y in truth) / len(truth)

    honest = mean_score(draws)
    # The normal's closed form (Gneiting & Raftery 2007, CRPS): E|X - Y| - E|X - X'| / 2 = 1 / sqrt(pi).
    assert honest == pytest.approx(1 / math.sqrt(math.pi), abs=0.03)
    for other in (draws * 0, draws * 0.3, draws * 3, draws + 1):
        assert mean_score(other) > honest + 0.01


def test_diversity_leaves_the_diagonal_out() -> None:
    assert diversity(torch.tensor([[0.0, 2.0], [2.0, 0.0]])) == 2
    assert diversity(torch.zeros(1, 1)) == 0


def test_coverage_counts_and_measures() -> None:
    truth = torch.arange(10.0)
    found = interval_coverage(torch.full((10,), 2.0), torch.full((10,), 5.0), truth)
    assert (found.share, found.width) == (pytest.approx(0.4), 3.0)
    band = band_coverage(outer=torch.tensor([-0.1, 0.1, -0.3]), inner=torch.tensor([0.1, 0.3, -0.1]))
    assert (band.share, band.width) == (pytest.approx(1 / 3), pytest.approx(0.2))


def test_a_calibrated_field_has_no_error_and_a_shifted_one_its_shift() -> None:
    p = torch.rand(200_000)
    y = torch.rand(200_000) < p
    assert expected_calibration_error(p, y) < 0.01
    # Squares of a uniform p: E p (1 - p) = 1/6.
    assert brier_score(p, y) == pytest.approx(1 / 6, abs=2e-3)
    assert negative_log_likelihood(p, y) == pytest.approx(0.5, abs=5e-3)
    shifted = (0.3 + 0.4 * p).clamp(0, 1)
    gap = float((shifted - p).abs().mean())
    assert expected_calibration_error(shifted, y) == pytest.approx(gap, abs=0.01)


def test_reliability_bins_hold_their_frequencies() -> None:
    p = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.9, 0.9])
    y = torch.tensor([True, False, False, False, True, True])
    curve = reliability(p, y, bins=2)
    assert curve.predicted.tolist() == pytest.approx([0.1, 0.9], abs=1e-6)
    assert curve.observed.tolist() == pytest.approx([0.25, 1.0])
    assert curve.error == pytest.approx((4 * 0.15 + 2 * 0.1) / 6, abs=1e-6)


def test_the_open_range_leaves_the_decided_out() -> None:
    p = torch.tensor([0.0, 1.0, 0.5])
    y = torch.tensor([True, False, True])
    assert brier_score(p, y, open_range=(0.02, 0.98)) == 0.25
    assert brier_score(p, y) == pytest.approx(2.25 / 3)


def test_certain_and_wrong_stays_finite() -> None:
    assert negative_log_likelihood(torch.tensor([0.0]), torch.tensor([True])) == pytest.approx(-math.log(1e-3))


def test_ause_of_perfect_random_and_reversed_orders() -> None:
    error = torch.rand(20_000)
    assert ause(error, error * 7) == pytest.approx(0, abs=1e-9)
    # Uniform errors: by error (1 - x) / 2, at random 1 / 2, the common maximum 1 / 2 -> area mean(x) = 1/2.
    assert ause(error, torch.rand(20_000)) == pytest.approx(0.5, abs=0.05)
    # Removing the smallest first: (1 + x) / 2 against (1 - x) / 2 over a maximum of 1.
    assert ause(error, -error) == pytest.approx(0.5, abs=0.02)
    assert ause(torch.zeros(10), torch.rand(10)) == 0


def test_spearman_sees_only_order() -> None:
    x = torch.rand(50)
    assert spearman(x, x**3) == pytest.approx(1)
    assert spearman(x, -x) == pytest.approx(-1)
    assert spearman(x, torch.ones(50)) == 0
