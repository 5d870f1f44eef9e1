"""Judgements of hypotheses as weights."""

import pytest
import torch

from recon.core.errors import InputError
from recon.posterior.feedback import LEAST, apply_judgement, feedback_weights, systematic

#: Two groups: 0 and 1 are alike, 2 and 3 are alike.
NEAR, FAR = 0.01, 0.2
DISTANCES = torch.tensor([[0, NEAR, FAR, FAR], [NEAR, 0, FAR, FAR], [FAR, FAR, 0, NEAR], [FAR, FAR, NEAR, 0.0]])
EVEN = torch.full((4,), 0.25)


def test_what_is_like_a_kept_one_gains() -> None:
    weights = feedback_weights(DISTANCES, EVEN, keep=[0])
    assert weights[:2].sum() > 0.85
    assert weights[0] >= weights[1] > 0.3
    assert float(weights.sum()) == pytest.approx(1, abs=1e-6)


def test_what_is_like_a_rejected_one_loses() -> None:
    weights = feedback_weights(DISTANCES, EVEN, reject=[2])
    assert weights[2] <= 2 * LEAST
    assert weights[3] < 0.05
    assert torch.allclose(weights[:2], torch.tensor([0.5, 0.5]), atol=0.03)


def test_both_together_and_the_prior_count() -> None:
    prior = torch.tensor([0.1, 0.3, 0.3, 0.3])
    weights = feedback_weights(DISTANCES, prior, keep=[0], reject=[2])
    assert weights[1] > weights[0] > weights[3] > 0
    assert (weights > 0).all()


def test_no_judgement_changes_nothing() -> None:
    prior = torch.tensor([0.1, 0.2, 0.3, 0.4])
    assert torch.allclose(apply_judgement(prior, torch.zeros(4, 0), torch.zeros(4, 0), 0.1), prior)


@pytest.mark.parametrize(
    ("keep", "reject", "message"),
    [([4], [], "no hypothesis 4"), ([], [-1], "no hypothesis -1"), ([1], [1], "both"), ([], [0, 1, 2, 3], "All")],
)
def test_contradictions_are_refused(keep, reject, message) -> None:
    with pytest.raises(InputError, match=message):
        feedback_weights(DISTANCES, EVEN, keep, reject)
    with pytest.raises(InputError, match="Name"):
        feedback_weights(DISTANCES, EVEN)


def test_systematic_draws_follow_the_weights() -> None:
    assert systematic(torch.tensor([0.5, 0.0, 0.5]), 4) == [0, 0, 2, 2]
    assert systematic(torch.tensor([0.0, 1.0]), 3) == [1, 1, 1]
    assert systematic(torch.tensor([1.0]), 0) == []
