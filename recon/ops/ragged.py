"""Lists of different lengths, one for each hypothesis, as one tensor."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def marked(mask: Bool[Tensor, "n m"]) -> tuple[Int[Tensor, "n c"], Bool[Tensor, "n c"]]:
    """Places of each row's marks in rising order, and which of them are real: shorter rows are filled up with zeros."""
    count = mask.sum(1)
    row, place = mask.nonzero(as_tuple=True)
    position = torch.arange(len(row), device=mask.device) - (count.cumsum(0) - count)[row]
    index = torch.zeros(len(mask), max(1, int(count.amax())), dtype=torch.long, device=mask.device)
    index[row, position] = place
    return index, torch.arange(index.shape[1], device=mask.device) < count[:, None]
