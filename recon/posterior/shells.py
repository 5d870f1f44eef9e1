"""Surfaces that bound what a posterior states: shells of equal probability, bands and intervals of stated coverage.

A *shell* bounds the region where the probability of inside reaches a level. A *band* is the space between two surfaces
that is to hold a stated share of the true surface; an *interval* says the same along the normal of one vertex. A
probability is a share of places, a coverage a share of the surface: a calibration corrects each on its own.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.posterior.calibration import Correction
from recon.posterior.intervals import central_interval, outward_offsets, weighted_quantile
from recon.posterior.statistics import WeightedFields


@dataclass(frozen=True)
class Typical:
    """Object-wide scales that widen calibrated bands and intervals, in world units."""

    spread: float
    """Mean standard deviation of the hypotheses at the representative's vertices."""
    residual: float
    """Mean contradiction of the sampled views within the hypotheses; 0 if unknown."""


def shell_distance(shapes: WeightedFields, correction: Correction | None, level: float) -> Float[Tensor, "g g g"]:
    """Field that is at most 0 exactly where the probability of inside is at least ``level``.

    Without a correction it is the weighted ``level`` quantile of the signed distances. With one it is the difference of
    log odds in world units, which is a distance where all shapes agree.

    Raises:
        InputError: ``level`` is not in (0, 1].
    """
    if not 0 < level <= 1:
        raise InputError(f"The level of a shell lies in (0, 1], not {level}.")
    if correction is None:
        return weighted_quantile(shapes.fields, shapes.weights, level)
    return correction.probability.distance(shapes.fields, shapes.weights, level)


def band_distances(
    shapes: WeightedFields, correction: Correction | None, coverage: float, typical: Typical | None
) -> Float[Tensor, "2 g g g"]:
    """Signed distances of the outer and the inner side of the band that is to hold ``coverage`` of the true surface.

    Without a correction these are the shells of (1 - coverage) / 2 and (1 + coverage) / 2. With one they lie on both
    sides of the median, as far as the calibration's margin says; ``typical`` is needed for that.

    Raises:
        InputError: ``coverage`` is not in (0, 1), or more than the calibration can promise.
    """
    if not 0 < coverage < 1:
        raise InputError(f"The coverage of a band lies between 0 and 1, not {coverage}.")
    if correction is None:
        tail = (1 - coverage) / 2
        return torch.stack([weighted_quantile(shapes.fields, shapes.weights, level) for level in (tail, 1 - tail)])
    if typical is None:
        raise ValueError("A calibrated band needs the typical scales of the object.")
    margin = correction.band
    half = margin.factor(coverage) * margin.scale(shapes.spread, typical.spread, typical.residual)
    return torch.stack([shapes.location - half, shapes.location + half])


def vertex_intervals(
    shapes: WeightedFields,
    correction: Correction | None,
    mesh: TexturedMesh,
    own: Float[Tensor, "g g g"],
    coverage: float,
    typical: Typical | None,
) -> Float[Tensor, "k 2"]:
    """Intervals along the normals of ``mesh`` that hold the true surface at ``coverage`` of the vertices.

    ``own`` is the field whose zero level ``mesh`` is. World units, outwards positive.
    """
    if correction is None or len(mesh) == 0:
        return central_interval(outward_offsets(mesh, own, shapes.fields, shapes.grid), shapes.weights, coverage)
    center, spread = shapes.offsets(mesh, own)
    if typical is None:
        raise ValueError("Calibrated intervals need the typical scales of the object.")
    margin = correction.intervals
    half = margin.factor(coverage) * margin.scale(spread, typical.spread, typical.residual)
    return torch.stack([center - half, center + half], -1)
