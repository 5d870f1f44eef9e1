"""Corrections of what a scene's hypotheses say: margins of log-depth along rays, probabilities of free space by cell.

Fitted on scenes whose truth is known. Margins are split conformal (Angelopoulos et al. 2024), probabilities isotonic
(Zadrozny & Elkan 2002), both as for objects.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import torch
from jaxtyping import Bool, Float, Num, UInt8
from scipy.optimize import isotonic_regression
from torch import Tensor

from recon.core.errors import InputError
from recon.core.reading import read_json, reading
from recon.io.folders import write_json
from recon.posterior.calibration import Margin, ProbabilityMap, check_map, check_margin
from recon.posterior.conformal import fit_margin
from recon.scenes.field import SceneField
from recon.scenes.strata import HIDDEN, OUTSIDE, SEEN

#: Rays that the photo sees, and others.
PARTS = ("seen", "unseen")
#: Cells beyond two median depths of the photo, whatever the photo shows of them.
FAR = 3
STRATA = {SEEN: "seen", HIDDEN: "hidden", OUTSIDE: "outside", FAR: "far"}
_FORMAT = "mvdiff-scene-calibration/1"
_BINS, _MAX_LOGIT = 64, 4.0
_RAYS = 2000
_FOLDS = 5
_HELD_OUT = (0.5, 0.9)
Observation = dict[str, Any]


@dataclass(frozen=True)
class SceneCorrection:
    """All that was fitted for one number of hypotheses."""

    depth: Mapping[str, Margin]
    """Corrections of the median log-depth, by :data:`PARTS`."""
    free: Mapping[str, ProbabilityMap]
    """From the log odds of the votes for free space to its probability, by stratum."""


@dataclass(frozen=True)
class SceneCalibration:
    """Corrections by the number of hypotheses, and how they held on scenes that were not fitted."""

    corrections: Mapping[int, SceneCorrection]
    held_out: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """JSON values: weights, scenes, settings."""

    def at(self, count: int) -> SceneCorrection:
        """The correction for the largest fitted number that is not above ``count``; the least if all are above."""
        below = [known for known in self.corrections if known <= count]
        return self.corrections[max(below) if below else min(self.corrections)]

    @property
    def name(self) -> str:
        """Short hash of the content."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        corrections = {str(count): asdict(value) for count, value in sorted(self.corrections.items())}
        head = {"format": _FORMAT, "corrections": corrections}
        return head | {"held_out": dict(self.held_out), "provenance": dict(self.provenance)}

    def save(self, path: str | Path) -> Path:
        return write_json(path, self.to_dict())

    @staticmethod
    def load(path: str | Path) -> "SceneCalibration":
        """Raises :class:`InputError` for a file that holds none."""
        with reading(Path(path), "scene calibration", "calibrate again (tools/evaluate.py scene-calibrate)"):
            saved = read_json(Path(path), _Saved)
            for correction in saved.corrections.values():
                for margin in correction.depth.values():
                    check_margin(margin)
                for probability in correction.free.values():
                    check_map(probability)
            return SceneCalibration(saved.corrections, saved.held_out, saved.provenance)


class _Saved(msgspec.Struct, frozen=True):
    """The file's content."""

    format: Literal["mvdiff-scene-calibration/1"]
    corrections: Annotated[dict[Annotated[int, msgspec.Meta(ge=1)], SceneCorrection], msgspec.Meta(min_length=1)]
    held_out: dict[str, Any]
    provenance: dict[str, Any]


def vote_logits(field: SceneField) -> Float[Tensor, "x y z"]:
    """Log odds of free against occupied among the hypotheses that know a cell, half a vote added to either side.

    Eight of eight votes say more than one of one. Values are centers of the bins in which they are counted.
    """
    free, occupied = field.free.sum(0).float(), field.occupied.sum(0).float()
    return torch.from_numpy(_centers()).to(free)[_bins((free + 0.5).log() - (occupied + 0.5).log())]


def observe(
    log_depth: Float[Tensor, "n r"],
    true_log_depth: Float[Tensor, "r"],
    seen: Bool[Tensor, "r"],
    field: SceneField,
    truth: SceneField,
    strata: UInt8[Tensor, "x y z"],
) -> Observation:
    """Statements about rays and cells of a scene beside its truth; JSON-ready.

    Only cells that the true views know, and at least one hypothesis does, count.
    """
    generator = torch.Generator().manual_seed(0)
    center, spread = log_depth.median(0).values, _spread(log_depth)
    error = (true_log_depth - center).abs()
    found: Observation = {"mean": float(spread.mean()), "residual": 0.0}
    for part, mask in zip(PARTS, (seen, ~seen), strict=True):
        rays = mask.nonzero()[:, 0]
        rays = rays[torch.randperm(len(rays), generator=generator)[:_RAYS]]
        found[part] = {"error": _listed(error[rays]), "spread": _listed(spread[rays])}
    known = ~truth.unknown[0] & ~field.unknown.all(0)
    bins = _bins(vote_logits(field))
    found["free"] = {
        name: {
            "cells": _counted(bins[known & (strata == stratum)]),
            "inside": _counted(bins[known & (strata == stratum) & truth.free[0]]),
        }
        for stratum, name in STRATA.items()
    }
    return found


def _spread(log_depth: Float[Tensor, "n r"]) -> Float[Tensor, "r"]:
    return log_depth.std(0) if len(log_depth) > 1 else torch.zeros_like(log_depth[0])


def _bins(logits: Float[Tensor, "*s"]) -> Num[Tensor, "*s"]:
    return ((logits + _MAX_LOGIT) / (2 * _MAX_LOGIT) * _BINS).long().clamp(0, _BINS - 1)


def _counted(bins: Num[Tensor, "p"]) -> list[int]:
    return torch.bincount(bins, minlength=_BINS).tolist()


def _listed(values: Float[Tensor, "r"]) -> list[float]:
    return [round(value, 5) for value in values.tolist()]


def fit_correction(scenes: Sequence[list[Observation]]) -> SceneCorrection:
    """From the observations (groups of hypotheses) of each scene; at least ten scenes tell a coverage of 90 %."""
    depth = {}
    for part in PARTS:
        own = [[each for each in scene if each[part]["error"]] for scene in scenes]
        depth[part] = fit_margin([scene for scene in own if scene], part)
    return SceneCorrection(depth, {name: _fit_map(scenes, name) for name in STRATA.values()})


def _fit_map(scenes: Sequence[list[Observation]], stratum: str) -> ProbabilityMap:
    """A stratum with too few cells to tell takes the map of all cells."""
    cells, inside = _pooled(scenes, [stratum])
    if (cells > 0).sum() < 2:
        cells, inside = _pooled(scenes, list(STRATA.values()))
    filled = cells > 0
    p = isotonic_regression(inside[filled] / cells[filled], weights=cells[filled]).x.clip(0, 1)
    if len(p) < 2:
        raise InputError("The scenes' hypotheses vote alike everywhere, so there is nothing to calibrate: take others.")
    return ProbabilityMap(0.0, tuple(map(float, _centers()[filled])), tuple(map(float, p)))


def _pooled(
    scenes: Sequence[list[Observation]], strata: Sequence[str]
) -> tuple[Float[np.ndarray, "b"], Float[np.ndarray, "b"]]:
    rows = [each["free"][name] for scene in scenes for each in scene for name in strata]
    cells, inside = (np.asarray([row[key] for row in rows], np.float64).sum(0) for key in ("cells", "inside"))
    return np.asarray(cells), np.asarray(inside)


def _centers() -> Float[np.ndarray, "b"]:
    return (np.arange(_BINS) + 0.5) / _BINS * 2 * _MAX_LOGIT - _MAX_LOGIT


def fit_scenes(
    scenes: Sequence[Mapping[str, list[Observation]]], provenance: Mapping[str, Any] | None = None
) -> SceneCalibration:
    """From the observations of each scene, by the number of hypotheses (as text, as JSON has it)."""
    if len(scenes) < 2:
        raise InputError("A calibration needs several scenes: take more.")
    corrections, held_out = {}, {}
    for count in sorted({int(count) for scene in scenes for count in scene}):
        entries = [scene[str(count)] for scene in scenes if scene.get(str(count))]
        corrections[count] = fit_correction(entries)
        held_out[str(count)] = cross_fitted(entries)
    return SceneCalibration(corrections, held_out, provenance or {})


def cross_fitted(scenes: Sequence[list[Observation]], folds: int = _FOLDS) -> dict[str, Any]:
    """Coverage of each part's rays, and the share of cells called free at .95 that are, on scenes left out."""
    folds, found = min(folds, len(scenes)), {}
    rows: dict[str, list[float]] = {}
    called = right = 0.0
    for fold in range(folds):
        correction = fit_correction([scene for k, scene in enumerate(scenes) if k % folds != fold])
        for scene in (scene for k, scene in enumerate(scenes) if k % folds == fold):
            for part, level, share in _coverages(correction, scene):
                rows.setdefault(f"{part}_{level}", []).append(share)
            for name in STRATA.values():
                cells, inside = _pooled([scene], [name])
                sure = correction.free[name].of_logits(torch.from_numpy(_centers())).numpy() >= 0.95
                called, right = called + cells[sure].sum(), right + inside[sure].sum()
    found = {f"coverage_{name}": float(np.mean(values)) for name, values in rows.items()}
    return found | {"free_called": called, "free_right": right / called if called else None}


def _coverages(correction: SceneCorrection, scene: list[Observation]) -> list[tuple[str, float, float]]:
    found = []
    for part in PARTS:
        margin = correction.depth[part]
        for each in (each for each in scene if each[part]["error"]):
            scale = margin.scale(np.asarray(each[part]["spread"]), each["mean"], each["residual"])
            for level in (level for level in _HELD_OUT if level <= margin.levels[-1]):
                held = np.asarray(each[part]["error"]) <= margin.factor(level) * scale
                found.append((part, level, float(held.mean())))
    return found
