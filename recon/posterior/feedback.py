"""A user's judgment of hypotheses as evidence about all of them."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.errors import InputError
from recon.metrics.distances import mean_pair

#: Of a hypothesis that is as good as rejected: small, but a posterior's weights are positive.
LEAST = 1e-6
#: Hypotheses nearer than this, in world units, are told apart by nobody.
LEAST_BANDWIDTH = 0.003


def check_choice(keep: Sequence[int], reject: Sequence[int], count: int) -> None:
    """Raise :class:`InputError` for indices that name no hypothesis or contradict each other."""
    if not keep and not reject:
        raise InputError("Name hypotheses to keep or to reject.")
    wrong = sorted({k for k in (*keep, *reject) if not 0 <= k < count})
    if wrong:
        raise InputError(f"There is no hypothesis {wrong[0]}: this run has 0 to {count - 1}.")
    both = sorted(set(keep) & set(reject))
    if both:
        raise InputError(f"Hypothesis {both[0]} is both kept and rejected: choose one.")
    if len(set(reject)) == count:
        raise InputError("All hypotheses are rejected: sample others with another --seed instead.")


def kernel(distance: Float[Tensor, "*shape"], bandwidth: float) -> Float[Tensor, "*shape"]:
    """Weight with which a judgment of one hypothesis carries over to another at this mean surface distance: 1 at 0."""
    return torch.exp(-0.5 * (distance / bandwidth) ** 2)


def bandwidth_of(distances: Float[Tensor, "n n"], weights: Float[Tensor, "n"]) -> float:
    """Half the mean distance of two different hypotheses."""
    return max(0.5 * mean_pair(distances, weights), LEAST_BANDWIDTH)


def apply_judgement(
    weights: Float[Tensor, "n"],
    to_kept: Float[Tensor, "n k"],
    to_rejected: Float[Tensor, "n r"],
    bandwidth: float,
) -> Float[Tensor, "n"]:
    """Weights times the likelihood of the judgment: near what was kept, far from what was rejected; sum to one."""
    likelihood = torch.ones_like(weights)
    if to_kept.shape[1]:
        likelihood = kernel(to_kept.amin(1), bandwidth)
    likelihood = likelihood * (1 - kernel(to_rejected, bandwidth)).prod(1)
    new = (weights * likelihood).clamp_min(LEAST * float(weights.max()))
    return new / new.sum()


def feedback_weights(
    distances: Float[Tensor, "n n"], weights: Float[Tensor, "n"], keep: Sequence[int] = (), reject: Sequence[int] = ()
) -> Float[Tensor, "n"]:
    """Weights of the judged hypotheses themselves and of those like them."""
    check_choice(keep, reject, len(weights))
    return apply_judgement(
        weights, distances[:, list(keep)], distances[:, list(reject)], bandwidth_of(distances, weights)
    )


def systematic(weights: Float[Tensor, "n"], count: int) -> list[int]:
    """``count`` indices in proportion to ``weights``, without chance (Kitagawa 1996)."""
    edges = weights.double().cumsum(0) / weights.double().sum()
    places = (torch.arange(count, dtype=torch.float64) + 0.5) / max(count, 1)
    return torch.searchsorted(edges, places).clamp_max(len(weights) - 1).tolist()
