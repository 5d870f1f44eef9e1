"""Convergence in the number of hypotheses: change of the posterior as further ones are drawn."""

import math
from dataclasses import asdict, dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from recon.metrics.distances import iou_matrix


@dataclass(frozen=True)
class Convergence:
    """After the first ``count`` hypotheses, equally weighted."""

    count: int
    occupancy_error: float
    """Standard error of the occupancy probability, root mean square over the volume that any hypothesis fills."""
    ambiguity: float
    """Mean 1 - IoU of two of them."""
    ambiguity_error: float
    """Its standard error (jackknife, Efron & Stein 1981)."""

    def to_dict(self) -> dict:
        return asdict(self)


def convergence(inside: Bool[Tensor, "n g g g"]) -> tuple[Convergence, ...]:
    """From two hypotheses on to all of them, in the order in which they were drawn."""
    inside = inside[:, inside.any(0)]  # elsewhere all agree
    difference = 1 - iou_matrix(inside)
    votes = inside[0].float()
    found = []
    for count in range(2, len(inside) + 1):
        votes = votes + inside[count - 1]
        p = votes[votes > 0] / count
        # The unbiased variance of a mean of yes and no, p (1 - p) / (n - 1).
        error = math.sqrt(float((p * (1 - p)).mean()) / (count - 1)) if len(p) else 0.0
        found.append(Convergence(count, error, *_ambiguity(difference[:count, :count])))
    return tuple(found)


def _ambiguity(difference: Float[Tensor, "n n"]) -> tuple[float, float]:
    count = len(difference)
    total = difference.sum()
    mean = float(total) / (count * (count - 1))
    if count < 3:
        return mean, mean
    without = (total - 2 * difference.sum(1)) / ((count - 1) * (count - 2))
    return mean, math.sqrt(float(((without - without.mean()) ** 2).sum()) * (count - 1) / count)
