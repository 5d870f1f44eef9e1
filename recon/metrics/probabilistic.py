"""Scores of N hypotheses as a distribution, and of stated uncertainties against what turned out to be true."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.metrics.distances import mean_pair


def best_of(errors: Float[Tensor, "n"], count: int) -> float:
    """Expected least error of ``count`` hypotheses drawn from the n without replacement.

    Exact over all subsets (the estimator of pass@k, Chen et al. 2021), so that N = 1, 2, 4, 8 share one sample.
    """
    total = len(errors)
    if not 1 <= count <= total:
        raise ValueError(f"Best of {count} needs between 1 and {total} hypotheses.")
    # The i-th smallest is the best of a subset whose other members are all among the larger ones.
    ways = [math.comb(total - 1 - rank, count - 1) / math.comb(total, count) for rank in range(total)]
    return float(errors.double().sort().values @ torch.tensor(ways, dtype=torch.float64, device=errors.device))


def energy_score(
    to_truth: Float[Tensor, "n"], pairwise: Float[Tensor, "n n"], weights: Float[Tensor, "n"] | None = None
) -> float:
    """E d(X, y) - E d(X, X') / 2 for the weighted sample: lower is better, and proper.

    Gneiting & Raftery 2007, eq. 22. The sample itself is scored, so X and X' may be the same draw and N equal copies
    score their distance.
    """
    weights = torch.full_like(to_truth, 1 / len(to_truth)) if weights is None else weights / weights.sum()
    return float(weights @ to_truth - 0.5 * weights @ pairwise @ weights)


def crps(samples: Float[Tensor, "n *s"], truth: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Continuous ranked probability score E|X - y| - E|X - X'| / 2, place by place (Gneiting & Raftery 2007, eq. 21).

    The samples themselves are scored, so N equal copies score their absolute error.
    """
    count = len(samples)
    rank = torch.arange(1, count + 1, device=samples.device, dtype=samples.dtype)
    weight = (2 * rank - count - 1) / count**2  # sums all |x_i - x_j| / 2 from the order statistics
    spread = torch.einsum("n,n...->...", weight, samples.sort(0).values)
    return (samples - truth).abs().mean(0) - spread


def diversity(pairwise: Float[Tensor, "n n"], weights: Float[Tensor, "n"] | None = None) -> float:
    """Mean distance of two different hypotheses; 0 for one."""
    count = len(pairwise)
    return mean_pair(pairwise, pairwise.new_full((count,), 1 / count) if weights is None else weights)


@dataclass(frozen=True)
class Coverage:
    share: float
    """Share of the truth that lies inside its stated interval."""
    width: float
    """Mean width of the intervals; at equal coverage, narrower is better."""


def interval_coverage(
    lower: Float[Tensor, "*shape"], upper: Float[Tensor, "*shape"], truth: Float[Tensor, "*shape"]
) -> Coverage:
    inside = (truth >= lower) & (truth <= upper)
    return Coverage(float(inside.float().mean()), float((upper - lower).mean()))


def band_coverage(outer: Float[Tensor, "p"], inner: Float[Tensor, "p"]) -> Coverage:
    """Share of true surface points between the sides of a band, from the sides' signed distances at the points.

    See :meth:`recon.posterior.Posterior.band_distances`; the width is the mean distance between the sides.
    """
    inside = (outer <= 0) & (inner >= 0)
    return Coverage(float(inside.float().mean()), float((inner - outer).mean()))


@dataclass(frozen=True)
class Reliability:
    """Predicted probabilities against frequencies, in bins of equal width; empty bins are NaN."""

    predicted: Float[Tensor, "bins"]
    observed: Float[Tensor, "bins"]
    count: Float[Tensor, "bins"]

    @property
    def error(self) -> float:
        """Expected calibration error: mean gap of the bins, weighted by their counts (Naeini et al. 2015)."""
        filled = self.count > 0
        if not bool(filled.any()):
            return 0.0
        gap = (self.predicted - self.observed).abs()[filled]
        return float((gap * self.count[filled]).sum() / self.count.sum())


def reliability(
    probability: Float[Tensor, "*shape"],
    truth: Bool[Tensor, "*shape"],
    bins: int = 20,
    open_range: tuple[float, float] | None = None,
) -> Reliability:
    """Reliability curve of a Bernoulli field; ``open_range`` (0.02, 0.98) keeps only the undecided cells (P2)."""
    p, y = _selected(probability, truth, open_range)
    index = (p * bins).long().clamp(0, bins - 1)
    count = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, torch.ones_like(p))
    predicted = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, p) / count
    observed = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, y) / count
    return Reliability(predicted, observed, count)


def expected_calibration_error(
    probability: Float[Tensor, "*shape"],
    truth: Bool[Tensor, "*shape"],
    bins: int = 20,
    open_range: tuple[float, float] | None = None,
) -> float:
    return reliability(probability, truth, bins, open_range).error


def brier_score(
    probability: Float[Tensor, "*shape"], truth: Bool[Tensor, "*shape"], open_range: tuple[float, float] | None = None
) -> float:
    """Mean squared error of the probabilities (Brier 1950); NaN where nothing is selected."""
    p, y = _selected(probability, truth, open_range)
    return float(((p - y) ** 2).mean())


def negative_log_likelihood(
    probability: Float[Tensor, "*shape"],
    truth: Bool[Tensor, "*shape"],
    open_range: tuple[float, float] | None = None,
    floor: float = 1e-3,
) -> float:
    """Mean -log p(truth) in nats. N hypotheses cannot tell 0 from 1 / N, so ``floor`` keeps certainty finite."""
    p, y = _selected(probability, truth, open_range)
    p = p.clamp(floor, 1 - floor)
    return float(-(y * p.log() + (1 - y) * (1 - p).log()).mean())


def _selected(
    probability: Float[Tensor, "*shape"], truth: Bool[Tensor, "*shape"], open_range: tuple[float, float] | None
) -> tuple[Float[Tensor, "p"], Float[Tensor, "p"]]:
    p, y = probability.double().flatten().cpu(), truth.double().flatten().cpu()
    if open_range is None:
        return p, y
    kept = (p > open_range[0]) & (p < open_range[1])
    return p[kept], y[kept]


def ause(error: Float[Tensor, "k"], uncertainty: Float[Tensor, "k"], steps: int = 100) -> float:
    """Area between the sparsification curves by uncertainty and by true error (Ilg et al. 2018).

    The most uncertain 0 to 99 % are removed; both curves of remaining mean error are divided by their common maximum.
    0 for a perfect ordering.
    """
    by_uncertainty = _sparsified(error, uncertainty, steps)
    by_error = _sparsified(error, error, steps)
    scale = max(by_uncertainty.max(), by_error.max())
    return float((by_uncertainty - by_error).mean() / scale) if scale > 0 else 0.0


def _sparsified(error: Float[Tensor, "k"], key: Float[Tensor, "k"], steps: int) -> np.ndarray:
    """Mean error of what is left when the largest ``key`` are removed, at 0, 1, ... of ``steps`` parts."""
    ordered = error.double()[key.argsort(stable=True)].cpu().numpy()
    kept = np.maximum(np.ceil(len(ordered) * (1 - np.arange(steps) / steps)).astype(int), 1)
    return np.cumsum(ordered)[kept - 1] / kept


def spearman(error: Float[Tensor, "k"], uncertainty: Float[Tensor, "k"]) -> float:
    """Rank correlation; 0 where either is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(values.cpu().numpy()) for values in (error, uncertainty)]
    a, b = (r - r.mean() for r in ranks)
    scale = math.sqrt(float((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0


def auroc(positive: Float[Tensor, "p"], negative: Float[Tensor, "q"]) -> float:
    """Probability that a positive's score is above a negative's, ties counting half (area under the ROC curve)."""
    higher = (positive[:, None] > negative[None]).double() + 0.5 * (positive[:, None] == negative[None]).double()
    return float(higher.mean())


def total_variation(counts: Mapping[Any, int], expected: Mapping[Any, float]) -> float:
    """Half the summed difference of the outcomes' shares from their probabilities; 0 the same, 1 nothing in common."""
    total = sum(counts.values())
    outcomes = counts.keys() | expected.keys()
    return 0.5 * sum(abs(counts.get(o, 0) / total - expected.get(o, 0.0)) for o in outcomes)


def kuiper_test(uniforms: Sequence[float]) -> tuple[float, float]:
    """Statistic and p-value of "these lie evenly in [0, 1]", as sensitive at the ends as in the middle.

    Kuiper 1960, with the asymptotic p-value of Stephens 1970; fit for angles.
    """
    u = np.sort(np.asarray(uniforms, float))
    n = len(u)
    statistic = float((np.arange(1, n + 1) / n - u).max() + (u - np.arange(n) / n).max())
    scaled = statistic * (math.sqrt(n) + 0.155 + 0.24 / math.sqrt(n))
    if scaled < 0.4:  # the series does not converge, and the value is 1 to seven digits
        return statistic, 1.0
    square = (np.arange(1, 101) * scaled) ** 2
    return statistic, float(np.clip(2 * ((4 * square - 1) * np.exp(-2 * square)).sum(), 0, 1))
