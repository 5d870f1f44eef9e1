"""Corrections of stated probabilities and coverages, fitted on objects whose shape is known."""

import hashlib
import itertools
import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.errors import InputError
from recon.core.reading import fit, read_json, reading
from recon.io.folders import write_json

Values = TypeVar("Values", Tensor, np.ndarray)

_FORMAT, _EARLIER = "mvdiff-calibration/2", "mvdiff-calibration/1"
#: Depth in world units (half the radius of the unit bounding sphere) from which a place that all hypotheses hold inside
#: is certain, as is one that lies as far outside all of them.
CERTAIN_DEPTH = 0.25


@dataclass(frozen=True)
class Margin:
    """Half width of an interval around the hypotheses' median that holds the truth as often as it says.

    It is ``factor(coverage)`` times a scale that the hypotheses give: their own spread at the place, plus a floor for
    what they do not know together, plus shares of their mean spread and of their residual.
    """

    floor: float
    """World units."""
    of_mean: float
    """Share of the object's mean spread."""
    of_residual: float
    """Share of the mean residual within the hypotheses."""
    levels: tuple[float, ...]
    """Coverages that were fitted, ascending."""
    factors: tuple[float, ...]

    def scale(self, spread: Values, mean: float | Values, residual: float | Values) -> Values:
        """In world units, place by place."""
        return spread + self.floor + self.of_mean * mean + self.of_residual * residual

    def factor(self, coverage: float) -> float:
        """Interpolated; 0 at coverage 0. Raises :class:`InputError` beyond what the calibration set can tell."""
        levels, factors = (0.0, *self.levels), (0.0, *self.factors)
        if not 0 <= coverage <= levels[-1] + 1e-9:
            raise InputError(
                f"This calibration holds up to a coverage of {levels[-1]:.0%}, not {coverage:.0%}: ask for less, or "
                f"calibrate on more objects."
            )
        place = min(max(bisect_left(levels, coverage), 1), len(levels) - 1)
        share = min((coverage - levels[place - 1]) / (levels[place] - levels[place - 1]), 1.0)
        return factors[place - 1] + share * (factors[place] - factors[place - 1])


@dataclass(frozen=True)
class ProbabilityMap:
    """Calibrated occupancy: a monotone map of the log odds of softened votes (isotonic, Zadrozny & Elkan 2002).

    Where hypotheses disagree the log odds say by how much; where all agree they are the depth inside or outside in
    units of ``softness``. So the map separates the middle of a body from its skin, and reaches 0 and 1.
    """

    softness: float
    """Distance in world units over which the vote of one hypothesis goes from inside to outside."""
    logits: tuple[float, ...]
    """Knots: log odds of the softened vote, ascending."""
    probabilities: tuple[float, ...]
    """Values at the knots, never falling; the ends hold beyond them."""

    def __call__(self, fields: Float[Tensor, "n *s"], weights: Float[Tensor, "n"]) -> Float[Tensor, "*s"]:
        """Probability of inside at places whose signed distances are ``fields``, negative inside."""
        return self.of_logits(vote_logits(fields, weights, self.softness))

    def of_logits(self, logits: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        """Probability at softened votes of these log odds."""
        knots, values = (logits.new_tensor(v) for v in (self.logits, self.probabilities))
        right = torch.searchsorted(knots, logits.contiguous()).clamp(1, len(knots) - 1)
        left = right - 1
        share = ((logits - knots[left]) / (knots[right] - knots[left])).clamp(0, 1)
        return torch.lerp(values[left], values[right], share)

    def logit_of(self, level: float) -> float:
        """Least log odds whose probability is at least ``level``; infinite if none is."""
        place = bisect_left(self.probabilities, level)
        if place == len(self.logits):
            return math.inf
        if place == 0:
            return -math.inf
        (low, high), (left, right) = self.probabilities[place - 1 : place + 1], self.logits[place - 1 : place + 1]
        return left + (level - low) / (high - low) * (right - left)

    def distance(self, fields: Float[Tensor, "n *s"], weights: Float[Tensor, "n"], level: float) -> Float[Tensor, "*s"]:
        """Field in world units that is at most 0 exactly where the probability is at least ``level``."""
        least = self.logit_of(level)
        if math.isinf(least):
            return torch.full_like(fields[0], math.copysign(CERTAIN_DEPTH, least))
        return self.softness * (least - vote_logits(fields, weights, self.softness))


def vote_logits(fields: Float[Tensor, "n *s"], weights: Float[Tensor, "n"], softness: float) -> Float[Tensor, "*s"]:
    """Log odds of the weighted mean of the hypotheses' inside votes, each softened to a sigmoid of its distance.

    Args:
        fields: signed distances, negative inside, in world units.
        softness: the sigmoid's scale in world units.
    """
    inside = torch.full_like(fields[0], -torch.inf)
    outside = inside.clone()
    for one, weight in zip(fields, weights.tolist(), strict=True):  # one at a time: bounds the memory
        scaled = one.clamp(-CERTAIN_DEPTH, CERTAIN_DEPTH) / softness
        log = math.log(max(weight, 1e-30))
        inside = torch.logaddexp(inside, log + torch.nn.functional.logsigmoid(-scaled))
        outside = torch.logaddexp(outside, log + torch.nn.functional.logsigmoid(scaled))
    return inside - outside


@dataclass(frozen=True)
class Correction:
    """All that was fitted for one number of hypotheses."""

    band: Margin
    """Half width of the band around the median surface, fitted at points of the true surface."""
    intervals: Margin
    """Half width of the intervals at vertices of the representative mesh."""
    probability: ProbabilityMap


@dataclass(frozen=True)
class Calibration:
    """Corrections for several numbers of hypotheses, where they come from, and how they held on objects left out."""

    corrections: Mapping[int, Correction]
    """By the number of hypotheses."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """JSON values: weights, objects, settings."""
    held_out: Mapping[str, Any] = field(default_factory=dict)
    """Results of cross-fitting: coverage, width, calibration error."""
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Scores of the calibration set, with which a photo's own scores are compared."""

    def at(self, effective_size: float) -> tuple[int, Correction]:
        """The correction for the largest fitted number that is not above ``effective_size``: never too narrow."""
        below = [count for count in self.corrections if count <= effective_size + 1e-3]
        count = max(below) if below else min(self.corrections)
        return count, self.corrections[count]

    def statement(self, count: int, coverage: float) -> str:
        """One or two sentences for a reader who wants to know what a stated coverage is worth."""
        objects = self.provenance.get("objects", [])
        number = len(objects) if isinstance(objects, list) else objects
        found = {row["level"]: row for row in self.held_out.get(str(count), {}).get("band", [])}
        nearest = min(found, key=lambda level: abs(level - coverage), default=None)
        text = f"Calibrated ({self.name}) with {count} of each object's hypotheses on {number} known objects. "
        if nearest is not None:
            row = found[nearest]
            text += (
                f"Bands stated at {nearest:.0%} held {row['coverage']:.0%} of the surface of objects left out of the "
                f"fit, on average (standard deviation over objects {row['coverage_std']:.0%}). "
            )
        return text + "It holds for objects and pictures like those; a single object may be covered more or less."

    @property
    def name(self) -> str:
        """First twelve hexadecimal digits of the content's SHA-256."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "corrections": {str(count): asdict(value) for count, value in sorted(self.corrections.items())},
            "held_out": dict(self.held_out),
            "scores": {name: list(values) for name, values in self.scores.items()},
            "provenance": dict(self.provenance),
        }

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> "Calibration":
        """Raises ``ValueError`` for what is no calibration."""
        if value.get("format") not in (_FORMAT, _EARLIER):
            raise ValueError(f"format {value.get('format')!r}, this version reads {_FORMAT!r}")
        found = fit(_renamed(value), _Saved)
        for correction in found.corrections.values():
            _check(correction)
        held_out = {count: _renamed(entry) for count, entry in value["held_out"].items()}
        return Calibration(found.corrections, value["provenance"], held_out, found.scores)

    def save(self, path: str | Path) -> Path:
        return write_json(path, self.to_dict())

    @staticmethod
    def load(path: str | Path) -> "Calibration":
        with reading(Path(path), "calibration", "run `mvdiff calibrate` again"):
            return Calibration.from_dict(read_json(Path(path), dict[str, Any]))


def _renamed(value: Any) -> Any:
    """Format 1 called the band "shells"; its probabilities end where its deepest cells were pooled."""
    if not isinstance(value, dict):
        return value
    return {"band" if name == "shells" else name: _renamed(inner) for name, inner in value.items()}


class _HeldOut(msgspec.Struct, frozen=True):
    class Row(msgspec.Struct, frozen=True):
        level: float
        coverage: float
        coverage_std: float

    band: list[Row] = []


class _Provenance(msgspec.Struct, frozen=True):
    objects: list[Any] | int = []
    settings: dict[str, Any] = {}


class _Saved(msgspec.Struct, frozen=True):
    """A calibration's file; what is read of the parts that are otherwise free."""

    corrections: Annotated[dict[Annotated[int, msgspec.Meta(ge=1)], Correction], msgspec.Meta(min_length=1)]
    held_out: dict[str, _HeldOut]
    scores: dict[str, list[float]]
    provenance: _Provenance


def _check(correction: Correction) -> None:
    """Raise ``ValueError`` unless the numbers rise and belong together."""
    for margin in (correction.band, correction.intervals):
        check_margin(margin)
    check_map(correction.probability)
    if correction.probability.softness <= 0:
        raise ValueError("its votes are not softened")


def check_margin(margin: Margin) -> None:
    """Raise ``ValueError`` unless levels and factors rise and belong together."""
    levels, factors = margin.levels, margin.factors
    if not levels or len(levels) != len(factors) or levels[0] <= 0 or factors[0] < 0:
        raise ValueError("its levels do not fit its factors")
    _check_rising(levels, strictly=True)
    _check_rising(factors)


def check_map(probability: ProbabilityMap) -> None:
    """Raise ``ValueError`` unless votes and probabilities rise and belong together."""
    knots, values = probability.logits, probability.probabilities
    if len(knots) < 2 or len(knots) != len(values) or values[0] < 0 or values[-1] > 1:
        raise ValueError("its probabilities do not fit its votes")
    _check_rising(knots, strictly=True)
    _check_rising(values)


def _check_rising(values: Sequence[float], strictly: bool = False) -> None:
    if any(b < a or (strictly and b == a) for a, b in itertools.pairwise(values)):
        raise ValueError("its numbers do not rise")
