"""Precision, recall and F-score of point clouds over a range of thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class PointScores:
    """Shares of points that lie within each threshold of the other cloud (Knapitsch et al. 2017)."""

    thresholds: tuple[float, ...]
    precision: tuple[float, ...]
    """Predicted points near a true one."""
    recall: tuple[float, ...]
    """True points near a predicted one."""

    @staticmethod
    def between(
        prediction: Float[Tensor, "p 3"],
        truth: Float[Tensor, "q 3"],
        thresholds: Sequence[float],
        all_predicted: Float[Tensor, "p2 3"] | None = None,
        all_true: Float[Tensor, "q2 3"] | None = None,
    ) -> "PointScores":
        """Compare two clouds, or parts of them.

        Args:
            prediction: Points whose precision counts; without any, precision and recall are 0.
            truth: Points whose recall counts, at least one.
            thresholds: Distances in world units, ascending.
            all_predicted: The whole cloud to which ``truth`` is compared; by default ``prediction``.
            all_true: The whole cloud to which ``prediction`` is compared; by default ``truth``.
        """
        if not len(truth):
            raise ValueError("Precision and recall need at least one true point.")
        whole, target = (
            prediction if all_predicted is None else all_predicted,
            truth if all_true is None else all_true,
        )
        to_truth = _distances(prediction, target, thresholds[-1])
        to_prediction = _distances(truth, whole, thresholds[-1])
        return PointScores(tuple(thresholds), _shares(to_truth, thresholds), _shares(to_prediction, thresholds))

    @property
    def f_scores(self) -> tuple[float, ...]:
        """Harmonic means of precision and recall, threshold by threshold."""
        pairs = zip(self.precision, self.recall, strict=True)
        return tuple(2 * p * r / (p + r) if p + r else 0.0 for p, r in pairs)

    @property
    def area(self) -> float:
        """Area under the F-score curve over the range of thresholds, divided by the range (trapezoids)."""
        if len(self.thresholds) == 1:
            return self.f_scores[0]
        at, values = (torch.tensor(x, dtype=torch.float64) for x in (self.thresholds, self.f_scores))
        return float(torch.trapezoid(values, at) / (at[-1] - at[0]))


def _distances(points: Float[Tensor, "p 3"], others: Float[Tensor, "q 3"], limit: float) -> Float[Tensor, "*p"]:
    """Distance to the nearest of ``others``, infinite beyond ``limit``, which spares the tree its long searches."""
    from scipy.spatial import cKDTree

    if not len(points) or not len(others):
        return points.new_full((max(len(points), 1),), torch.inf)  # nothing is near
    tree = cKDTree(others.double().cpu().numpy(), balanced_tree=False, compact_nodes=False)
    bound = limit * (1 + 1e-6)
    return torch.as_tensor(tree.query(points.double().cpu().numpy(), distance_upper_bound=bound)[0])


def _shares(distance: Float[Tensor, "p"], thresholds: Sequence[float]) -> tuple[float, ...]:
    return tuple(float((distance <= threshold).float().mean()) for threshold in thresholds)
