"""Cross-view consistency: agreement of the views of one object, and detection of contradicted views.

Sampled views are never quite of one object. Before anything is built, every view's surface points are carried into
all others: a point that another view sees through, or sees beside its silhouette, is a contradiction between the two.
A view that most others contradict more than is usual among them is wrong as a whole.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.core.views import ViewSet
from recon.fusion.observations import ObservationMaps, showing
from recon.ops.parallel import in_threads

#: Cross-view errors are clamped to this distance (world units).
_CAP = 0.1
#: Error of true views due to rounding to pixels; smaller errors do not lower a view's trust.
_ROUNDING = 0.002
#: Surface points of each view that are looked up in the others.
_POINTS = 2048


@dataclass(frozen=True)
class ViewConsistency:
    """Consistency of the views of one hypothesis."""

    trust: Float[Tensor, "v"]
    """Trust in each view, in [0, 1]."""
    errors: Float[Tensor, "v"]
    """Typical distance by which each pair of views misses each other's surfaces, in world units."""

    @property
    def contradiction(self) -> float:
        """Error of the median view; below 0.001 for true views."""
        return float(self.errors.median())

    @cached_property
    def consistency(self) -> float:
        """In [0, 1]: 1 for views of one object, 1/2 where they contradict each other by 0.002."""
        return 1 / (1 + (self.contradiction / _ROUNDING) ** 2)

    @staticmethod
    def of(maps: ObservationMaps, points_of_view: int = _POINTS) -> "ViewConsistency":
        """Views without depth have no surface points, and are trusted."""
        v = len(maps.cameras)
        if maps.surface is None or v < 3:
            return ViewConsistency(maps.pictures.new_ones(v), maps.pictures.new_zeros(v))
        error = _usual(_disagreement(maps, 1, points_of_view))[0]
        middle = float(error.median())
        trust = 1 / (1 + (error / (1.5 * max(middle, _ROUNDING))) ** 4)
        return ViewConsistency(trust, error)


def contradictions(views: ViewSet) -> Float[Tensor, "n"]:
    """Mean cross-view error of each hypothesis of ``views`` [n v], in world units.

    For sampled views the mean predicts the shape's error better than the median. A view that shows nothing gets the
    largest error.
    """
    # A GPU takes all of them at once, a processor one in each thread.
    parts = [views] if views.device.type == "cuda" else [views[k] for k in range(len(views))]
    return torch.cat(in_threads(_contradictions, parts)).cpu()


def _contradictions(views: ViewSet) -> Float[Tensor, "n"]:
    v = views.num_views
    shown = showing(views).all(1)
    error = torch.where(shown, 0.0, _CAP)
    if views.depth is None or v < 3 or not bool(shown.any()):
        return error
    whole = views[shown.nonzero()[:, 0].tolist()]
    error[shown] = _usual(_disagreement(ObservationMaps.of(whole.as_one()), len(whole), _POINTS)).mean(1)
    return error


def _disagreement(maps: ObservationMaps, n: int, points_of_view: int) -> Float[Tensor, "n v v"]:
    """Pairwise cross-view errors from the concatenated ``maps`` of ``n`` hypotheses."""
    index, real = _some(maps.pictures[:, 1].flatten(1) > 0.5, points_of_view)
    points = maps.surface.flatten(1, 2).gather(1, index[..., None].expand(-1, -1, 3))
    v, q = len(points) // n, points.shape[1]
    points = points.reshape(n, 1, v * q, 3).expand(-1, v, -1, -1)  # each view reads those of its hypothesis
    seen = maps.read(points.flatten(0, 1))
    past = (torch.where(seen.covered, seen.ahead, seen.outside) * seen.visible).clamp(0, _CAP)
    real = real.reshape(n, 1, v, q)
    # A view that shows nothing has no points to be seen past.
    pairs = (past.reshape(n, v, v, q) * real).sum(-1) / real.sum(-1).clamp_min(1)
    return (pairs + pairs.mT) / 2


def _some(chosen: Bool[Tensor, "b p"], count: int) -> tuple[Int[Tensor, "b q"], Bool[Tensor, "b q"]]:
    """Indices of ``count`` evenly spread entries of ``chosen``, and a mask of the real ones if there are fewer."""
    count = min(count, chosen.shape[1])
    so_far = chosen.cumsum(1)
    total = so_far[:, -1:]
    slot = torch.arange(count, device=chosen.device).expand(len(chosen), -1)
    rank = torch.where(total > count, slot * (total - 1) // max(count - 1, 1), slot)
    return torch.searchsorted(so_far, rank + 1).clamp_max(chosen.shape[1] - 1), slot < total


def _usual(pairs: Float[Tensor, "n v v"]) -> Float[Tensor, "n v"]:
    """Median error of each view over its partners, so that one wrong partner does not count against it."""
    n, v, _ = pairs.shape
    off: Bool[Tensor, "v v"] = ~torch.eye(v, dtype=torch.bool, device=pairs.device)
    return pairs[:, off].reshape(n, v, v - 1).median(-1).values
