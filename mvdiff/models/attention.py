"""Multi-head attention over tokens, as the published models share it."""

import torch
from jaxtyping import Float
from torch import Tensor


def split_heads(tokens: Float[Tensor, "b l d"], heads: int) -> Float[Tensor, "b h l c"]:
    """Channels of each head: the first d / heads channels are those of the first head."""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(
    query: Float[Tensor, "b h l c"], key: Float[Tensor, "b h m c"], value: Float[Tensor, "b h m c"]
) -> Float[Tensor, "b l d"]:
    """Scaled dot-product attention (Vaswani et al. 2017); the heads are joined again."""
    return torch.nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(-2)
