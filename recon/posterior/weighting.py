"""Importance weights of hypotheses by how well each shows what the photo shows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.posterior.conditioning import Evidence, NoiseModel, bayes_update, condition
from recon.posterior.hypothesis import Hypothesis


@dataclass(frozen=True)
class PhotoWeights:
    weights: Float[Tensor, "n"]
    """Sum to one."""
    temperature: float
    """Divisor of the log-likelihood of silhouette and color."""
    effective_size: float
    """Kish's number of hypotheses that still count."""

    def of(self, hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
        return [replace(h, weight=float(w)) for h, w in zip(hypotheses, self.weights, strict=True)]


def weigh_by_photo(
    hypotheses: Sequence[Hypothesis],
    rgba: Float[Tensor, "4 h w"],
    cameras: Cameras,
    noise: NoiseModel | None = None,
    least_share: float = 0.5,
) -> PhotoWeights:
    """The likelihood of the photo under each hypothesis from its own camera [n], tempered.

    The samples are already given the photo, so the likelihood may only correct the sampler, not count the photo twice:
    it is flattened until at least ``least_share`` of the hypotheses count. Hypotheses without faces get the least.
    """
    prior = torch.tensor([h.weight for h in hypotheses], dtype=torch.float64)
    prior = (prior / prior.sum()).float()
    one = torch.ones(1)
    log = torch.cat(
        [
            condition([h.mesh], one, Evidence(rgba, cameras[k : k + 1], framed=True), noise).log_likelihood
            for k, h in enumerate(hypotheses)
        ]
    )
    goal = least_share * float(1 / (prior**2).sum())
    low, high = 1.0, 1.0

    def size(temperature: float) -> float:
        return float(1 / (bayes_update(prior, log / temperature) ** 2).sum())

    while size(high) < goal and high < 1e9:
        low, high = high, 2 * high
    for _ in range(40 if high > 1 else 0):
        middle = (low + high) / 2
        low, high = (low, middle) if size(middle) >= goal else (middle, high)
    weights = bayes_update(prior, log / high)
    return PhotoWeights(weights, high, float(1 / (weights**2).sum()))
