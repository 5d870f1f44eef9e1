"""Protocol P2 (EVALUATION): the hypotheses of one object as a distribution."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.evaluation.shape_scores import Frame, Subject
from recon.metrics.probabilistic import (
    ause,
    brier_score,
    diversity,
    energy_score,
    negative_log_likelihood,
    reliability,
    shell_coverage,
    spearman,
)
from recon.metrics.shape import SurfaceComparison, nearest
from recon.posterior import Hypothesis, Posterior, VoxelGrid
from recon.posterior.modes import medoid
from recon.posterior.voxelize import winding_inside

_GRID = 128
_UNDECIDED = (0.02, 0.98)
_BINS = 20
_SURFACE_SAMPLES = 100_000


def distribution_scores(
    hypotheses: Sequence[Hypothesis],
    posterior: Posterior,
    predictions: Sequence[Subject],
    truth: Subject,
    distances: Sequence[float],
) -> dict[str, Any]:
    """``posterior`` is that of ``hypotheses`` (photo's frame); ``predictions`` are the same objects in the true axes,
    ``distances`` their Chamfer distances to the truth."""
    to_truth, pairwise = torch.tensor(distances), _pairwise(predictions)
    weights = posterior.weights
    best_guess = _best_guess(hypotheses)
    return {
        "diversity": diversity(pairwise, weights),
        "energy_score": energy_score(to_truth, pairwise, weights),
        # N copies of one object: no spread, so the score is its distance.
        "energy_score_single": float(to_truth[best_guess]),
        "energy_score_medoid": float(to_truth[medoid(pairwise, weights)]),
        **_occupancy(predictions, weights, truth),
        **_shells(posterior, truth),
        **_vertex_uncertainty(posterior, truth),
    }


def _pairwise(predictions: Sequence[Subject]) -> Float[Tensor, "n n"]:
    count = len(predictions)
    matrix = torch.zeros(count, count)
    for i in range(count):
        for j in range(i):
            matrix[i, j] = SurfaceComparison.between(predictions[i].surface, predictions[j].surface).chamfer
    return matrix + matrix.T


def _best_guess(hypotheses: Sequence[Hypothesis]) -> int:
    """What one would take without knowing the truth: the heaviest, of these the one whose views agree best."""
    return min(range(len(hypotheses)), key=lambda k: (-hypotheses[k].weight, hypotheses[k].residual or 0.0))


def _occupancy(predictions: Sequence[Subject], weights: Float[Tensor, "n"], truth: Subject) -> dict[str, Any]:
    grid = VoxelGrid.around([p.scaled for p in predictions] + [truth.scaled], _GRID)
    inside = torch.stack([winding_inside(p.scaled, grid) for p in predictions])
    probability = torch.einsum("n,nxyz->xyz", weights, inside.float()).clamp(0, 1)
    true_inside = winding_inside(truth.scaled, grid)
    return {
        "undecided": _field_scores(probability, true_inside, _UNDECIDED),
        "overall": _field_scores(probability, true_inside, None),
    }


def _field_scores(
    probability: Float[Tensor, "g g g"], truth: Bool[Tensor, "g g g"], open_range: tuple[float, float] | None
) -> dict[str, Any]:
    """Scores with the counts that it takes to pool them over objects."""
    curve = reliability(probability, truth, bins=_BINS, open_range=open_range)
    voxels = int(curve.count.sum())
    return {
        "voxels": voxels,
        "count": curve.count.tolist(),
        "predicted_sum": (curve.predicted.nan_to_num() * curve.count).tolist(),
        "observed_sum": (curve.observed.nan_to_num() * curve.count).tolist(),
        "brier": brier_score(probability, truth, open_range) if voxels else None,
        "nll": negative_log_likelihood(probability, truth, open_range) if voxels else None,
    }


def _shells(posterior: Posterior, truth: Subject) -> dict[str, float]:
    """Coverage of the true surface by the central 50 and 90 % shells; widths in P1's unit."""
    points = _to_photo(truth.surface.points, truth.frame)
    found = {}
    for percent in (50, 90):
        tail = (1 - percent / 100) / 2
        outer, inner = (posterior.quantile(level) for level in (tail, 1 - tail))
        at_truth = [posterior.grid.sample(field[None], points)[0] for field in (outer, inner)]
        coverage = shell_coverage(*at_truth)
        found[f"coverage_{percent}"] = coverage.share
        found[f"width_{percent}"] = coverage.width * truth.frame.scale
    return found


def _vertex_uncertainty(posterior: Posterior, truth: Subject) -> dict[str, float]:
    """Does the representative mesh know where it is wrong?"""
    mesh = posterior.representative
    points = mesh.transformed(truth.frame.from_photo).transformed(truth.frame.scaling).vertices
    generator = torch.Generator().manual_seed(0)
    surface = truth.scaled.sample_surface(_SURFACE_SAMPLES, generator)
    error, uncertainty = nearest(points, surface)[0], mesh.attributes["uncertainty"]
    return {"ause": ause(error, uncertainty), "spearman": spearman(error, uncertainty)}


def _to_photo(points: Float[Tensor, "p 3"], frame: Frame) -> Float[Tensor, "p 3"]:
    """From P1's frame to the photo's, in which the posterior lives."""
    return points / frame.scale @ frame.from_photo[:3, :3]
