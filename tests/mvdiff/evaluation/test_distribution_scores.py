"""What uncertainty per vertex is worth where the hypotheses are right about each other."""

import torch

from mvdiff.evaluation.protocols.distribution import vertex_uncertainty_if_right
from recon.core.grid import VoxelGrid
from recon.posterior import Hypothesis, Posterior, PosteriorConfig


def posterior(fields: torch.Tensor, grid: VoxelGrid) -> Posterior:
    hypotheses = [Hypothesis(grid.surface(field), seed=k) for k, field in enumerate(fields)]
    return Posterior.from_hypotheses(hypotheses, PosteriorConfig(grid=32, samples=256))


def spheres(depth: torch.Tensor, roughness: float = 0.0) -> Posterior:
    """Unit-like balls whose back is pushed out by ``depth`` [n], with what roughness each has by itself."""
    grid = VoxelGrid(torch.zeros(3), 0.5, 32)
    x = grid.points()
    noise = torch.randn(len(depth), 1, 16, 16, 16, generator=torch.Generator().manual_seed(0)) * roughness
    rough = torch.nn.functional.interpolate(noise, size=32, mode="trilinear")[:, 0]
    return posterior(x.norm(dim=-1) - 0.3 - depth[:, None, None, None] * (-x[..., 2]).clamp_min(0) + rough, grid)


def test_what_differs_in_one_place_is_known_to_differ_there() -> None:
    found = vertex_uncertainty_if_right(spheres(torch.linspace(0, 0.4, 6)))
    assert found["ause_if_right"] < 0.1
    assert found["spearman_if_right"] > 0.8


def test_roughness_of_each_by_itself_cannot_be_known() -> None:
    found = vertex_uncertainty_if_right(spheres(torch.zeros(6), 0.02))
    assert found["ause_if_right"] > 0.25
    assert abs(found["spearman_if_right"]) < 0.3


def test_two_hypotheses_say_nothing() -> None:
    found = vertex_uncertainty_if_right(spheres(torch.tensor([0.0, 0.2])))
    assert found == {"ause_if_right": None, "spearman_if_right": None}
