"""Fit a :class:`Calibration` on objects of known shape: conformal risk control, and isotonic occupancy."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import isotonic_regression
from torch import Tensor

from recon.core.errors import InputError
from recon.posterior.calibration import CERTAIN_DEPTH, Calibration, Correction, Margin, ProbabilityMap, vote_logits
from recon.posterior.posterior import Posterior

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
COUNTS = (1, 2, 4, 8, 16, 32)
#: Candidate softnesses of a vote in world units; the grid's cells are 0.014.
SOFTNESSES = (0.005, 0.01, 0.02, 0.04)
_FLOORS = (0.003, 0.01, 0.03, 0.1)
_OF_MEAN = (0.0, 0.5, 1.5)
_OF_RESIDUAL = (0.0, 1.0)
#: Bins of the softened votes on each side of one half.
_BINS = 64
_POINTS = 400
_GROUPS = 2
_FOLDS = 5
Observation = dict[str, Any]


# Observations of one object


def groups(count: int, total: int) -> list[range]:
    """Disjoint runs of ``count`` of ``total`` hypotheses: smaller posteriors from the same samples."""
    return [range(start, start + count) for start in range(0, total - count + 1, count)][:_GROUPS]


def observe(posterior: Posterior, truth: Float[Tensor, "g g g"], surface: Float[Tensor, "p 3"]) -> Observation:
    """Errors and votes of a posterior whose true object is known, JSON-ready.

    Args:
        truth: signed distance of the true object on the posterior's grid.
        surface: points of the true surface.
    """
    generator = torch.Generator().manual_seed(0)
    grid, mesh = posterior.grid, posterior.representative
    points = surface[_some(len(surface), generator)]
    vertices = _some(len(mesh.vertices), generator)
    offset = grid.sample(truth[None], mesh.vertices[vertices])[0]
    center, spread = posterior.offsets(mesh, posterior.fields[posterior.representative_index])
    location, band = posterior.local(points)
    return {
        "mean": posterior.typical.spread,
        "residual": posterior.typical.residual,
        "band": {"error": _listed(location.abs()), "spread": _listed(band)},
        "intervals": {"error": _listed((-offset - center[vertices]).abs()), "spread": _listed(spread[vertices])},
        "occupancy": _votes(posterior, truth < 0),
    }


def _some(count: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(count, generator=generator)[:_POINTS]


def _listed(values: Tensor) -> list[float]:
    return [round(v, 5) for v in values.tolist()]


def _votes(posterior: Posterior, inside: Bool[Tensor, "g g g"]) -> dict[str, Any]:
    """Histograms of the cells, and of those truly inside, over the softened votes of each softness."""

    def counted(index: Tensor, bins: int) -> dict[str, list[int]]:
        flat = index.flatten()
        return {
            "cells": torch.bincount(flat, minlength=bins).tolist(),
            "inside": torch.bincount(flat[inside.flatten()], minlength=bins).tolist(),
        }

    found: dict[str, Any] = {}
    for softness in SOFTNESSES:
        logits = vote_logits(posterior.fields, posterior.weights, softness)
        found[str(softness)] = counted(_bin_of(logits, softness), 2 * _BINS)
    share = (posterior.voted * len(posterior)).round().long()
    found["voted"] = counted(share, len(posterior) + 1)
    single = posterior.fields[posterior.best_guess] < 0
    found["single_wrong"] = int((single != inside).sum())
    return found


def _bin_of(logits: Float[Tensor, "*s"], softness: float) -> Int[Tensor, "*s"]:
    """Bins that are fine around even odds and reach to the certain depth: even in the root of the log odds."""
    share = logits * softness / CERTAIN_DEPTH
    return ((1 + share.sign() * share.abs().sqrt()) * _BINS).long().clamp(0, 2 * _BINS - 1)


def _centers(softness: float) -> Float[np.ndarray, "b"]:
    """Log odds at the middle of each bin."""
    root = (np.arange(2 * _BINS) + 0.5) / _BINS - 1
    return np.sign(root) * root**2 * CERTAIN_DEPTH / softness


# Fitting


@dataclass(frozen=True)
class _Errors:
    """Errors and scales of many places, each object counting the same."""

    error: np.ndarray
    spread: np.ndarray
    mean: np.ndarray
    residual: np.ndarray
    weight: np.ndarray
    objects: int

    @staticmethod
    def of(entries: Sequence[list[Observation]], kind: str) -> "_Errors":
        """``entries``: the observations (groups) of each object."""
        columns: list[list[np.ndarray]] = [[], [], [], [], []]
        for own in entries:
            for observation in own:
                error = np.asarray(observation[kind]["error"])
                weight = 1 / (len(error) * len(own) * len(entries))
                values = (error, np.asarray(observation[kind]["spread"]), observation["mean"], observation["residual"])
                for column, value in zip(columns, (*values, weight), strict=True):
                    column.append(np.broadcast_to(value, error.shape))
        errors, spreads, means, residuals, weights = map(np.concatenate, columns)
        return _Errors(errors, spreads, means, residuals, weights, len(entries))

    def scale(self, margin: Margin) -> np.ndarray:
        return margin.scale(self.spread, self.mean, self.residual)


def fit_margin(entries: Sequence[list[Observation]], kind: str, objective: float = 0.9) -> Margin:
    """The scale whose intervals are narrowest at ``objective``, with its factors at all levels that can be told.

    Conformal risk control (Angelopoulos et al. 2024): with n exchangeable objects, the expected share of a new object's
    places that are missed is at most 1 - level when their mean over the n is at most (n + 1) / n (1 - level) - 1 / n.
    """
    data = _Errors.of(entries, kind)
    n = data.objects
    needed = {level: 1 - ((n + 1) * (1 - level) - 1) / n for level in LEVELS}
    levels = tuple(level for level in LEVELS if needed[level] <= 1)
    if not levels:
        raise InputError(f"{n} objects are too few to calibrate with: use at least ten.")
    goal = max(level for level in levels if level <= objective)

    def fitted(floor: float, of_mean: float, of_residual: float) -> tuple[float, Margin]:
        margin = Margin(floor, of_mean, of_residual, levels, tuple(0.0 for _ in levels))
        scale = data.scale(margin)
        ratio = data.error / scale
        order = np.argsort(ratio, kind="stable")
        reached = np.cumsum(data.weight[order])
        places = [min(int(np.searchsorted(reached, needed[level] - 1e-9)), len(order) - 1) for level in levels]
        factors = tuple(float(f) for f in ratio[order][places])
        width = factors[levels.index(goal)] * float((scale * data.weight).sum())
        return width, Margin(floor, of_mean, of_residual, levels, factors)

    candidates = itertools.product(_FLOORS, _OF_MEAN, _OF_RESIDUAL)
    return min((fitted(*candidate) for candidate in candidates), key=lambda found: found[0])[1]


def fit_probability(entries: Sequence[list[Observation]]) -> ProbabilityMap:
    """The softness and the isotonic map (Zadrozny & Elkan 2002) with the least Brier score over all cells.

    The map is 0 and 1 at :data:`CERTAIN_DEPTH`, which lies beyond nearly all cells that there are.
    """

    def fitted(softness: float) -> tuple[float, ProbabilityMap]:
        cells, inside = _pooled(entries, str(softness))
        filled = cells > 0
        frequency = inside[filled] / cells[filled]
        p = isotonic_regression(frequency, weights=cells[filled]).x.clip(0, 1)
        if len(p) < 2:
            raise InputError("The objects of the calibration set are all empty or all full: use other meshes.")
        brier = float((cells[filled] * p**2 - 2 * inside[filled] * p + inside[filled]).sum())
        end = CERTAIN_DEPTH / softness
        knots = (-end, *map(float, _centers(softness)[filled]), end)
        return brier, ProbabilityMap(softness, knots, (0.0, *map(float, p), 1.0))

    return min((fitted(softness) for softness in SOFTNESSES), key=lambda found: found[0])[1]


def _pooled(entries: Sequence[list[Observation]], key: str) -> tuple[np.ndarray, np.ndarray]:
    votes = [observation["occupancy"][key] for own in entries for observation in own]
    cells, inside = (np.asarray([vote[name] for vote in votes], np.float64).sum(0) for name in ("cells", "inside"))
    return cells, inside


def fit_correction(entries: Sequence[list[Observation]]) -> Correction:
    return Correction(fit_margin(entries, "band"), fit_margin(entries, "intervals"), fit_probability(entries))


def fit(
    objects: Sequence[dict[str, list[Observation]]],
    provenance: dict[str, Any] | None = None,
    scores: dict[str, list[float]] | None = None,
) -> Calibration:
    """From the observations of each object, by the number of hypotheses (as text, as JSON has it)."""
    if len(objects) < 2:
        raise InputError("A calibration needs several objects: give more meshes.")
    corrections, held_out = {}, {}
    for count in sorted({int(count) for entry in objects for count in entry}):
        entries = [entry[str(count)] for entry in objects if entry.get(str(count))]
        corrections[count] = fit_correction(entries)
        held_out[str(count)] = cross_fitted(entries)
    return Calibration(corrections, provenance or {}, held_out, scores or {})


# Held-out performance


def cross_fitted(entries: Sequence[list[Observation]], folds: int = _FOLDS) -> dict[str, Any]:
    """Judge each object by the correction that was fitted on the other folds."""
    judged = [one for kept, left_out in _folds(entries, folds) for one in _judge(fit_correction(kept), left_out)]
    found: dict[str, Any] = {"objects": len(entries)}
    for kind in ("band", "intervals"):
        levels = sorted(set.intersection(*({*one[kind]} for one in judged)))
        found[kind] = [
            {
                "level": level,
                "coverage": float(np.mean([one[kind][level][0] for one in judged])),
                "coverage_std": float(np.std([one[kind][level][0] for one in judged])),
                "width": float(np.mean([one[kind][level][1] for one in judged])),
            }
            for level in levels
        ]
    cells, predicted, observed = (np.sum([one[key] for one in judged], axis=0) for key in ("cells", "p", "inside"))
    filled = cells > 0
    total = float(cells.sum())
    found["probability"] = {
        "ece": float(np.abs(predicted - observed)[filled].sum() / total),
        "brier": sum(one["brier"] for one in judged) / total,
        "brier_voted": sum(one["brier_voted"] for one in judged) / total,
        "brier_single": sum(one["single_wrong"] for one in judged) / total,
    }
    return found


def _folds(
    entries: Sequence[list[Observation]], folds: int
) -> Iterator[tuple[list[list[Observation]], list[list[Observation]]]]:
    folds = min(folds, len(entries))
    for fold in range(folds):
        yield (
            [e for k, e in enumerate(entries) if k % folds != fold],
            [e for k, e in enumerate(entries) if k % folds == fold],
        )


def _judge(correction: Correction, entries: Sequence[list[Observation]]) -> Iterator[dict[str, Any]]:
    p = correction.probability.of_logits(torch.tensor(_centers(correction.probability.softness))).numpy()
    for own in entries:
        found: dict[str, Any] = {}
        for kind, margin in (("band", correction.band), ("intervals", correction.intervals)):
            data = _Errors.of([own], kind)
            scale = data.scale(margin)
            found[kind] = {
                level: (
                    float(data.weight[data.error <= factor * scale].sum()),
                    2 * factor * float((data.weight * scale).sum()),
                )
                for level, factor in zip(margin.levels, margin.factors, strict=True)
            }
        cells, inside = _pooled([own], str(correction.probability.softness))
        bins = np.minimum((p * 20).astype(int), 19)
        found |= {"cells": np.bincount(bins, cells, 20), "p": np.bincount(bins, cells * p, 20)}
        found |= {"inside": np.bincount(bins, inside, 20)}
        voted, voted_inside = _pooled([own], "voted")
        share = np.arange(len(voted)) / (len(voted) - 1)
        found["brier"] = float((cells * p**2 - 2 * inside * p + inside).sum())
        found["brier_voted"] = float((voted * share**2 - 2 * voted_inside * share + voted_inside).sum())
        found["single_wrong"] = sum(observation["occupancy"]["single_wrong"] for observation in own)
        yield found
