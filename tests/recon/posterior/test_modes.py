"""Modes of hypotheses that fall into groups, of clouds that do not, and how sure either is."""

import numpy as np
import pytest
import torch
from posterior_shapes import SMALL, ball, box

from recon.core.grid import VoxelGrid
from recon.metrics.distances import local_difference_matrix
from recon.posterior import Hypothesis, Posterior, PosteriorConfig, find_modes
from recon.posterior.modes import Grouping, adjusted_rand, judge_modes, silhouette

GRID = VoxelGrid(torch.zeros(3), 0.55, 48)


def block(center: tuple[float, ...], half: tuple[float, ...]) -> torch.Tensor:
    """Signed distance of an axis-aligned box."""
    q = (GRID.points() - torch.tensor(center)).abs() - torch.tensor(half)
    return q.clamp_min(0).norm(dim=-1) + q.amax(-1).clamp_max(0)


def chair(legs: list[tuple[float, float]], seed: int) -> torch.Tensor:
    """Seat, back and legs at places (x, z), each chair of slightly different sizes."""
    jitter = torch.randn(4, generator=torch.Generator().manual_seed(seed)) * 0.006
    a, b, c, d = jitter.tolist()
    parts = [block((0, a, 0), (0.25 + b, 0.03, 0.25 + b)), block((0, 0.22, -0.23 + c), (0.25, 0.22, 0.03))]
    parts += [block((x + d, -0.22, z + d), (0.035, 0.22, 0.035)) for x, z in legs]
    return torch.stack(parts).amin(0)


FOUR = [(-0.2, -0.2), (-0.2, 0.2), (0.2, -0.2), (0.2, 0.2)]
PEDESTAL = [(0.0, 0.0)]


def modes_of(fields: list[torch.Tensor]) -> tuple[list[tuple[int, ...]], Grouping]:
    distances = local_difference_matrix(torch.stack(fields), GRID)
    modes = find_modes(distances, torch.full((len(fields),), 1 / len(fields)))
    return [mode.members for mode in modes], judge_modes(distances, modes)


def test_one_chair_of_eight_is_another_chair() -> None:
    members, grouping = modes_of([chair(PEDESTAL if k == 5 else FOUR, k) for k in range(8)])
    assert members == [(0, 1, 2, 3, 4, 6, 7), (5,)]
    assert grouping.strength in ("strong", "reasonable")
    assert grouping.stability > 0.8


def test_two_kinds_of_chairs_are_two_modes() -> None:
    members, grouping = modes_of([chair(FOUR if k % 2 else PEDESTAL, k) for k in range(8)])
    assert members == [(0, 2, 4, 6), (1, 3, 5, 7)]
    assert grouping.silhouette > 0.7
    assert grouping.strength == "strong"
    assert grouping.stability == 1


def test_chairs_of_one_kind_are_one_mode() -> None:
    members, grouping = modes_of([chair(FOUR, k) for k in range(8)])
    assert members == [tuple(range(8))]
    assert grouping.strength in ("none", "weak")


@pytest.mark.parametrize(("count", "directions"), [(8, 8), (8, 20), (16, 5), (32, 5)])
def test_clouds_are_mostly_one_mode_and_never_called_strong(count: int, directions: int) -> None:
    found = []
    for seed in range(20):
        points = torch.randn(count, directions, generator=torch.Generator().manual_seed(seed))
        distances = torch.cdist(points, points) * 0.05
        modes = find_modes(distances, torch.full((count,), 1 / count))
        grouping = judge_modes(distances, modes)
        assert grouping.strength in ("none", "weak", "reasonable")
        found.append(len(modes))
    assert np.mean(np.array(found) == 1) >= 0.8


def test_the_summary_says_how_sure_the_grouping_is() -> None:
    hypotheses = [ball(0.2 + 0.004 * k) for k in range(3)]
    hypotheses += [Hypothesis(box((0.5, 0.5, 0.1 + 0.004 * k))) for k in range(3)]
    posterior = Posterior.from_hypotheses(hypotheses, SMALL)
    record = posterior.summary()["grouping"]
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert len(posterior.modes) == 2
    assert record["silhouette"] == pytest.approx(silhouette(posterior.local_differences.numpy(), labels), abs=1e-5)
    assert record["stability"] == 1
    assert record["strength"] == "strong"
    assert "Rousseeuw" in record["meaning"]
    assert "Hubert" in record["meaning"]


def test_few_hypotheses_have_no_grouping_to_judge() -> None:
    few = Posterior.from_hypotheses([ball(0.2), ball(0.3)], PosteriorConfig(grid=16, samples=64))
    assert few.grouping == Grouping(None, None)
    assert few.summary()["grouping"]["strength"] == "none"


def test_a_cut_through_a_continuum_is_unstable_where_a_gap_is_not() -> None:
    """Points evenly along a line are cut somewhere, and elsewhere without one of them: silhouettes do not tell that."""
    places = torch.tensor([[0.0], [0.01], [0.02], [0.5], [0.51], [0.52]])
    apart = torch.cdist(places, places)
    stable = judge_modes(apart, find_modes(apart, torch.full((6,), 1 / 6)))
    line = torch.arange(7.0)[:, None] * 0.05
    along = torch.cdist(line, line)
    unstable = judge_modes(along, find_modes(along, torch.full((7,), 1 / 7)))
    assert stable.stability == 1
    assert stable.strength == "strong"
    assert unstable.stability < 0.8


def test_adjusted_rand_is_that_of_hubert_and_arabie() -> None:
    """The worked example of scikit-learn's user guide, and its limits."""
    assert adjusted_rand(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(0.2424, abs=1e-4)
    assert adjusted_rand(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])) == 1
    assert adjusted_rand(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 0])) == 1
    assert adjusted_rand(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])) == pytest.approx(-0.5)
