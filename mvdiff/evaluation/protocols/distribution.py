"""Protocol P2 (EVALUATION): the hypotheses of one object as a distribution."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.evaluation.protocols.shape import Subject
from recon.core.mesh import TexturedMesh
from recon.metrics.probabilistic import (
    ause,
    band_coverage,
    brier_score,
    diversity,
    energy_score,
    interval_coverage,
    negative_log_likelihood,
    reliability,
    spearman,
)
from recon.metrics.shape import SurfaceComparison, nearest
from recon.ops.voxelize import mesh_distance, winding_inside
from recon.posterior import Hypothesis, Posterior, VoxelGrid
from recon.posterior.modes import medoid

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
    in_photo = truth.mesh.transformed(torch.linalg.inv(truth.frame.from_photo))
    points = truth.surface.points / truth.frame.scale @ truth.frame.from_photo[:3, :3]
    return {
        "diversity": diversity(pairwise, weights),
        "energy_score": energy_score(to_truth, pairwise, weights),
        # N copies of one object: no spread, so the score is its distance.
        "energy_score_single": float(to_truth[posterior.best_guess]),
        "energy_score_medoid": float(to_truth[medoid(pairwise, weights)]),
        **_occupancy(hypotheses, posterior, in_photo),
        **_coverage(posterior, in_photo, points, truth.frame.scale),
        **_vertex_uncertainty(posterior, truth),
        **vertex_uncertainty_if_right(posterior),
    }


def _pairwise(predictions: Sequence[Subject]) -> Float[Tensor, "n n"]:
    count = len(predictions)
    matrix = torch.zeros(count, count)
    for i in range(count):
        for j in range(i):
            matrix[i, j] = SurfaceComparison.between(predictions[i].surface, predictions[j].surface).chamfer
    return matrix + matrix.T


def _occupancy(hypotheses: Sequence[Hypothesis], posterior: Posterior, truth: TexturedMesh) -> dict[str, Any]:
    """Scores of the stated probability, the raw votes and one guess, over the bounding cube in the photo's axes."""
    meshes = [h.mesh for h in hypotheses]
    grid = VoxelGrid.around([*meshes, truth], _GRID)
    votes = torch.stack([winding_inside(mesh, grid) for mesh in meshes])
    true_inside = winding_inside(truth, grid)
    voted = torch.einsum("n,nxyz->xyz", posterior.weights, votes.float()).clamp(0, 1)
    stated = voted
    if posterior.calibration is not None:
        points = grid.points()
        stated = posterior.probability_of(torch.cat([posterior.grid.sample(f[None], points) for f in posterior.fields]))
    return {
        "undecided": _field_scores(stated, true_inside, _UNDECIDED),
        "overall": _field_scores(stated, true_inside, None),
        "raw_undecided": _field_scores(voted, true_inside, _UNDECIDED),
        "raw_overall": _field_scores(voted, true_inside, None),
        "brier_single": float((votes[posterior.best_guess] != true_inside).float().mean()),
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


def _coverage(
    posterior: Posterior, truth: TexturedMesh, points: Float[Tensor, "p 3"], scale: float
) -> dict[str, float]:
    """Coverage and width of the 50 and 90 % bands at the true surface's ``points``, and of the per-vertex intervals.

    The true offset of each vertex of the representative is compared with its interval. Widths are in P1's unit, which
    is ``1 / scale`` of the world's.
    """
    mesh, own = posterior.representative, posterior.representative_index
    offset = -posterior.grid.sample(mesh_distance(truth, posterior.grid)[None], mesh.vertices)[0]
    found = {}
    for name, stated in (("", posterior), ("raw_", replace(posterior, calibration=None))):
        for percent in (50, 90):
            band = band_coverage(*stated.grid.sample(stated.band_distances(percent / 100), points))
            interval = replace(stated, coverage=percent / 100).with_spread(mesh, own).attributes["interval"]
            intervals = interval_coverage(interval[:, 0], interval[:, 1], offset)
            found |= {f"{name}coverage_{percent}": band.share, f"{name}width_{percent}": band.width * scale}
            found |= {f"{name}interval_coverage_{percent}": intervals.share}
            found |= {f"{name}interval_width_{percent}": intervals.width * scale}
    return found


def _vertex_uncertainty(posterior: Posterior, truth: Subject) -> dict[str, float]:
    """Does the representative mesh know where it is wrong?"""
    mesh = posterior.representative
    points = mesh.transformed(truth.frame.from_photo).transformed(truth.frame.scaling).vertices
    generator = torch.Generator().manual_seed(0)
    surface = truth.scaled.sample_surface(_SURFACE_SAMPLES, generator)
    error, uncertainty = nearest(points, surface)[0], mesh.attributes["uncertainty"]
    return {"ause": ause(error, uncertainty), "spearman": spearman(error, uncertainty)}


def vertex_uncertainty_if_right(posterior: Posterior) -> dict[str, float | None]:
    """The same were each hypothesis in turn the truth and the others its posterior.

    What a sampler reaches that is right, by one sample fewer: the error at a vertex is one draw, its expectation alone
    can be known.
    """
    scores = []
    for k in range(len(posterior)):
        others = [i for i in range(len(posterior)) if i != k]
        own = others[medoid(posterior.distances[others][:, others], posterior.weights[others])]
        vertices = posterior.grid.surface(posterior.fields[own]).vertices
        if len(others) < 2 or not len(vertices):
            continue
        error, *apart = posterior.grid.sample(posterior.fields[[k, *(i for i in others if i != own)]], vertices).abs()
        uncertainty = torch.stack(apart).square().mean(0).sqrt()
        scores.append((ause(error, uncertainty), spearman(error, uncertainty)))
    means = torch.tensor(scores).mean(0).tolist() if scores else (None, None)
    return dict(zip(("ause_if_right", "spearman_if_right"), means, strict=True))
