"""Protocol S1, the hypotheses as a distribution: proper scores and coverage of log-depth along rays."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.evaluation.protocols.scene_case import LEAST_PIXELS, SceneCase, log_depth
from recon.core.views import ViewSet
from recon.metrics.probabilistic import crps, diversity, energy_score, interval_coverage
from recon.posterior.modes import medoid

_PARTS = ("seen", "unseen")
_LEVELS = (50, 90)


def distribution_scores(case: SceneCase, sampled: ViewSet) -> dict[str, Any]:
    """Energy score, CRPS and raw quantile coverage of log-depth, over rays that the photo sees and does not see.

    Distances between hypotheses are root mean squares over a part's rays, so that the energy score is proper.
    Beside the sample stand one guess (its expectation over hypotheses), the medoid and the mean.
    """
    log, truth = log_depth(sampled, case.unit), log_depth(case.truth, case.unit)[0]
    found: dict[str, Any] = {}
    for part in _PARTS:
        mask = case.seen if part == "seen" else case.hidden_from_photo
        if int(mask.sum()) < LEAST_PIXELS:
            continue
        scores = ray_scores(log[:, mask], truth[mask])
        found |= {f"{name}_{part}": value for name, value in scores.items()}
    return found


def ray_scores(samples: Float[Tensor, "n r"], truth: Float[Tensor, "r"]) -> dict[str, float]:
    """Scores of ``samples`` of log-depth along r rays as one joint distribution, and ray by ray."""
    uniform = torch.full((len(samples),), 1 / len(samples))
    to_truth, pairwise = _rms(samples - truth), torch.stack([_rms(samples - one) for one in samples])
    chosen = medoid(pairwise, uniform)
    scores = {
        "energy": energy_score(to_truth, pairwise),
        "energy_one": float(to_truth.mean()),
        "energy_medoid": float(to_truth[chosen]),
        "energy_mean": float(_rms(samples.mean(0) - truth)),
        "crps": float(crps(samples, truth).mean()),
        "crps_one": float((samples - truth).abs().mean()),
        "crps_medoid": float((samples[chosen] - truth).abs().mean()),
        "crps_mean": float((samples.mean(0) - truth).abs().mean()),
        "log_depth_diversity": diversity(pairwise),
    }
    for level in _LEVELS:
        tail = (1 - level / 100) / 2
        low, high = torch.quantile(samples, torch.tensor([tail, 1 - tail]), dim=0)
        coverage = interval_coverage(low, high, truth)
        scores |= {f"raw_coverage_{level}": coverage.share, f"raw_width_{level}": coverage.width}
    return scores


def _rms(difference: Float[Tensor, "*n r"]) -> Float[Tensor, "*n"]:
    return difference.square().mean(-1).sqrt()
