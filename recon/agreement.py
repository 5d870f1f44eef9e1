"""How far the views of one object agree with each other, and which of them the others contradict.

Sampled views are never quite of one object. Before anything is built, every view's surface points are carried into
all others: a point that another view sees through, or sees beside its silhouette, is a contradiction between the two.
A view
that most others contradict more than is usual among them is wrong as a whole.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.parallel import in_threads
from recon.readings import VoteMaps, showing
from recon.views import ViewSet

#: Contradictions beyond this are of one kind, in world units.
_CAP = 0.1
#: What rounding to pixels makes of true views: no view is blamed for less.
_ROUNDING = 0.002


@dataclass(frozen=True)
class Agreement:
    """Of the views of one hypothesis."""

    trust: Float[Tensor, "v"]
    """In [0, 1]: how much each view should count."""
    errors: Float[Tensor, "v"]
    """How far each view and another one usually see past each other's surfaces, in world units."""

    @property
    def contradiction(self) -> float:
        """That of the middle view: under 0.001 for true views."""
        return float(self.errors.median())

    @property
    def consistency(self) -> float:
        """In [0, 1]: 1 for views of one object, 1/2 where they contradict each other by 0.002."""
        return 1 / (1 + (self.contradiction / _ROUNDING) ** 2)

    @staticmethod
    def of(maps: VoteMaps, points_of_view: int = 2048) -> "Agreement":
        """Views without depth have no surface points, and are trusted."""
        v = len(maps.cameras)
        if maps.surface is None or v < 3:
            return Agreement(maps.pictures.new_ones(v), maps.pictures.new_zeros(v))
        shown = [_some((solid > 0.5).flatten().nonzero()[:, 0], points_of_view) for solid in maps.pictures[:, 1]]
        points = torch.cat([surface.reshape(-1, 3)[own] for surface, own in zip(maps.surface, shown, strict=True)])
        seen = maps.read(points)
        past = (torch.where(seen.covered, seen.ahead, seen.outside) * seen.visible).clamp(0, _CAP)
        # A view that shows nothing has no points to be seen past.
        pairs = torch.stack([own.sum(1) / max(own.shape[1], 1) for own in past.split(list(map(len, shown)), 1)])
        error = _usual((pairs + pairs.T) / 2)
        middle = float(error.median())
        trust = 1 / (1 + (error / (1.5 * max(middle, _ROUNDING))) ** 4)
        return Agreement(trust, error)


def contradictions(views: ViewSet) -> Float[Tensor, "n"]:
    """How far the views of each hypothesis of ``views`` [n v] contradict each other: their mean error, in world units.

    Of sampled views the mean tells more about the shape's error than the middle one. A view that shows nothing
    contradicts the others as much as a view can.
    """
    return torch.tensor(in_threads(lambda k: _contradiction(views[k]), range(len(views))))


def _contradiction(views: ViewSet) -> float:
    if not bool(showing(views).all()):
        return _CAP
    return float(Agreement.of(VoteMaps.of(views)).errors.mean())


def _some(index: Int[Tensor, "p"], count: int) -> Int[Tensor, "q"]:
    """At most ``count`` of ``index``, evenly spread."""
    return index if len(index) <= count else index[torch.linspace(0, len(index) - 1, count, device=index.device).long()]


def _usual(pairs: Float[Tensor, "v v"]) -> Float[Tensor, "v"]:
    """A view's median error with another one, so that one wrong partner is no fault of its own."""
    off: Bool[Tensor, "v v"] = ~torch.eye(len(pairs), dtype=torch.bool, device=pairs.device)
    return pairs[off].reshape(len(pairs), -1).median(1).values
