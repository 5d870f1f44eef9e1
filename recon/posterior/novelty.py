"""Novelty detection: conformal p-values of nearest-neighbor distances to the scores of a calibration set."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from recon.core.errors import InputError

#: Added to the diagonal of the correlations: a calibration set is small, and scores are correlated.
_SHRINKAGE = 0.1
_FEWEST = 5
#: Neighbors whose distances are averaged.
_NEIGHBORS = 3

#: Scores of which one side is harmless: values on that side of the calibration set's median count as the median.
Harmless = Mapping[str, Literal["low", "high"]]


def novelty_p_value(
    scores: Mapping[str, float], known: Mapping[str, Sequence[float]], harmless: Harmless | None = None
) -> float | None:
    """Share of the calibration set, this one included, that is at least as novel; small if nothing like it was known.

    The novelty of a member is its :func:`novelty_distance` from all others, so that another member of the same
    population has p <= a with probability a (conformal p-value, Vovk et al. 2005).

    Args:
        scores: of the one that is judged.
        known: of the calibration set, one list for each score.
        harmless: scores that are novel on one side only.

    Returns:
        The p-value; None if the calibration set is empty or too small.

    Raises:
        InputError: a score of the calibration set is missing.
    """
    names = sorted(known)
    if not names or min(len(known[name]) for name in names) < _FEWEST:
        return None
    rows, own = _rows(scores, known)
    everything = np.concatenate([rows, [own]])
    signs = _signs(names, harmless)
    # Each one against all others, the new one among them: they are exchangeable if it is one of them.
    distances = [_distance(row, np.delete(everything, k, 0), signs) for k, row in enumerate(everything)]
    return float(np.mean(np.asarray(distances) >= distances[-1] - 1e-12))


def novelty_distance(
    scores: Mapping[str, float], known: Mapping[str, Sequence[float]], harmless: Harmless | None = None
) -> float:
    """Mean distance to the nearest members of the calibration set (Ramaswamy et al. 2000) in whitened scores.

    It orders cases whose p-values tie.
    """
    rows, own = _rows(scores, known)
    return _distance(own, rows, _signs(sorted(known), harmless))


def _rows(
    scores: Mapping[str, float], known: Mapping[str, Sequence[float]]
) -> tuple[Float[np.ndarray, "m s"], Float[np.ndarray, "s"]]:
    names = sorted(known)
    missing = [name for name in names if name not in scores]
    if missing:
        raise InputError(f"The calibration has scores that were not computed ({', '.join(missing)}): calibrate again.")
    return np.stack([np.asarray(known[name], float) for name in names], 1), np.array(
        [float(scores[name]) for name in names]
    )


def _signs(names: Sequence[str], harmless: Harmless | None) -> Float[np.ndarray, "s"]:
    """1 if only larger values are novel, -1 if only smaller ones, 0 if both are."""
    return np.array([{None: 0.0, "low": 1.0, "high": -1.0}[(harmless or {}).get(name)] for name in names])


def _distance(row: Float[np.ndarray, "s"], others: Float[np.ndarray, "m s"], signs: Float[np.ndarray, "s"]) -> float:
    """``signs`` as :func:`_signs` gives them."""
    offsets = (np.concatenate([others, [row]]) - np.median(others, 0)) / (others.std(0) + 1e-6)
    offsets = np.where(signs * offsets < 0, 0.0, offsets)
    rest = offsets[:-1]
    covariance = np.atleast_2d(np.cov(rest.T)) + _SHRINKAGE * np.eye(len(row))
    whitened = (rest - offsets[-1]) @ np.linalg.cholesky(np.linalg.inv(covariance))
    return float(np.sort(np.linalg.norm(whitened, axis=1))[:_NEIGHBORS].mean())
