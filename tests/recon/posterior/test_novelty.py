"""p-values of scores: even among their own kind, small for what is of another."""

import numpy as np
import pytest
import torch

from recon.core.errors import InputError
from recon.metrics.probabilistic import auroc
from recon.posterior.novelty import novelty_distance, novelty_p_value

NAMES = ("colour", "outline", "camera")


def known(count: int, seed: int = 0) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 3)) @ np.array([[1.0, 0.8, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 2.0]])
    return {name: rows[:, k].tolist() for k, name in enumerate(NAMES)}


def test_p_values_of_the_same_kind_are_even() -> None:
    fresh, reference = known(60, seed=1), known(39)
    p = np.array([novelty_p_value({n: fresh[n][k] for n in NAMES}, reference) for k in range(60)])
    assert p.mean() == pytest.approx(0.5, abs=0.12)
    assert (p <= 0.1).mean() <= 0.2
    assert p.min() >= 1 / 40 - 1e-9


def test_what_is_unusual_in_any_direction_is_found() -> None:
    reference = known(39)
    for strange in ({"colour": 8, "outline": 0, "camera": 0}, {"colour": 2.5, "outline": -2.5, "camera": 0}):
        assert novelty_p_value(strange, reference) == pytest.approx(1 / 40)
    assert novelty_p_value({"colour": 0, "outline": 0, "camera": 0}, reference) > 0.8


def test_a_harmless_side_is_not_novel_and_the_other_still_is() -> None:
    reference = known(39)
    for sign, side in ((1, "high"), (-1, "low")):
        far = {"colour": 0.0, "outline": 0.0, "camera": 8.0 * sign}
        assert novelty_p_value(far, reference) == pytest.approx(1 / 40)
        assert novelty_p_value(far, reference, {"camera": side}) > 0.5
        other = {"colour": 0.0, "outline": 0.0, "camera": -8.0 * sign}
        assert novelty_p_value(other, reference, {"camera": side}) == pytest.approx(1 / 40)
        assert novelty_distance(other, reference, {"camera": side}) > novelty_distance(far, reference, {"camera": side})


def test_p_values_stay_even_with_harmless_sides() -> None:
    fresh, reference = known(60, seed=3), known(39, seed=4)
    p = np.array([novelty_p_value({n: fresh[n][k] for n in NAMES}, reference, {"camera": "low"}) for k in range(60)])
    assert p.mean() == pytest.approx(0.5, abs=0.12)


def test_too_little_known_says_nothing() -> None:
    assert novelty_p_value({"colour": 1.0}, {}) is None
    assert novelty_p_value({"colour": 1.0}, {"colour": [1.0, 2.0]}) is None
    with pytest.raises(InputError, match="outline"):
        novelty_p_value({"colour": 1.0}, {"colour": [1.0] * 9, "outline": [1.0] * 9})


def test_auroc_counts_pairs() -> None:
    assert auroc(torch.tensor([3.0, 2.0]), torch.tensor([1.0, 0.0])) == 1
    assert auroc(torch.tensor([1.0]), torch.tensor([1.0, 0.0, 2.0, 1.0])) == pytest.approx(0.5)
