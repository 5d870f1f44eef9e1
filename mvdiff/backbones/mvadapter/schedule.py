"""Noise schedule of MV-Adapter (Huang et al. 2024): more noise at the same timestep, for views that share content."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

#: Factor by which the signal-to-noise ratio falls at the last timestep.
SHIFT = 8.0


def shifted(scheduler: Any, shift: float = SHIFT) -> Any:
    """A scheduler of the same class and settings whose signal-to-noise ratio falls by up to ``shift``.

    The factor grows from 1 at the first timestep to ``shift`` at the last, evenly in its logarithm.
    """
    return scheduler.from_config(scheduler.config, trained_betas=shifted_betas(scheduler.alphas_cumprod, shift).numpy())


def shifted_betas(kept: Float[Tensor, "t"], shift: float) -> Float[Tensor, "t"]:
    """Variances of the steps for the shares ``kept`` of the signal's variance."""
    along = torch.arange(len(kept)).float() / (len(kept) - 1)
    ratio = (kept**0.5 / (1.0 - kept) ** 0.5) ** 2
    ratio = torch.exp(torch.log(ratio) * (1 - along) + torch.log(ratio / shift) * along)
    kept = ((ratio / (1 + ratio)) ** 0.5) ** 2
    return 1 - kept / torch.cat([torch.ones(1), kept[:-1]])
