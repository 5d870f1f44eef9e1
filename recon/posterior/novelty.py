"""Whether scores are of the same kind as those of a calibration set."""

from collections.abc import Mapping, Sequence

import numpy as np

from recon.core.errors import InputError

#: Added to the correlations' diagonal: a calibration set is small, and scores go together.
_SHRINKAGE = 0.1
_FEWEST = 5


def novelty_p_value(scores: Mapping[str, float], known: Mapping[str, Sequence[float]]) -> float | None:
    """Share of the calibration set that is at least as unusual, this one counted in; small: nothing like it was known.

    Unusual is the Mahalanobis distance from the rest of the calibration set, each of whose members is judged without
    itself, so that a member of the same population has p <= a with probability a (conformal p-value, Vovk et al. 2005).
    None where the calibration set is empty or too small to say anything.
    """
    names = sorted(known)
    if not names or min(len(known[name]) for name in names) < _FEWEST:
        return None
    rows, own = _rows(scores, known)
    everything = np.concatenate([rows, [own]])
    # Each one against all others, the new one among them: they are exchangeable when it is one of them.
    distances = [_distance(row, np.delete(everything, k, 0)) for k, row in enumerate(everything)]
    return float(np.mean(np.asarray(distances) >= distances[-1] - 1e-12))


def novelty_distance(scores: Mapping[str, float], known: Mapping[str, Sequence[float]]) -> float:
    """Squared Mahalanobis distance from the calibration set; it orders what p-values tie."""
    rows, own = _rows(scores, known)
    return _distance(own, rows)


def _rows(scores: Mapping[str, float], known: Mapping[str, Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
    names = sorted(known)
    missing = [name for name in names if name not in scores]
    if missing:
        raise InputError(f"The calibration knows scores that were not made ({', '.join(missing)}): calibrate again.")
    return np.stack([np.asarray(known[name], float) for name in names], 1), np.array([scores[name] for name in names])


def _distance(row: np.ndarray, others: np.ndarray) -> float:
    centre, scale = np.median(others, 0), others.std(0) + 1e-6
    standard = (others - others.mean(0)) / scale
    covariance = standard.T @ standard / len(others) + _SHRINKAGE * np.eye(len(row))
    offset = (row - centre) / scale
    return float(offset @ np.linalg.solve(covariance, offset))
