"""Ragged lists, one per hypothesis, as padded tensors."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def padded_nonzero(mask: Bool[Tensor, "n m"]) -> tuple[Int[Tensor, "n c"], Bool[Tensor, "n c"]]:
    """Padded indices of each row's true entries in rising order, and a mask of the real ones."""
    count = mask.sum(1)
    row, place = mask.nonzero(as_tuple=True)
    position = torch.arange(len(row), device=mask.device) - (count.cumsum(0) - count)[row]
    index = torch.zeros(len(mask), max(1, int(count.amax())), dtype=torch.long, device=mask.device)
    index[row, position] = place
    return index, torch.arange(index.shape[1], device=mask.device) < count[:, None]
