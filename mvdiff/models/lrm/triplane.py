"""Triplane transformer: learned tokens of three planes, which look at the tokens of all views."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mvdiff.models.attention import attend, split_heads


class PlaneBlock(nn.Module):
    """Cross-attention to the views, self-attention among the planes, MLP; each pre-norm with a residual."""

    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_cross, self.norm_self, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.cross_query = nn.Linear(width, width, bias=False)
        self.cross_key = nn.Linear(context, width, bias=False)
        self.cross_value = nn.Linear(context, width, bias=False)
        self.cross_out = nn.Linear(width, width, bias=False)
        self.self_qkv, self.self_out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "b l d"], views: Float[Tensor, "b m e"]) -> Float[Tensor, "b l d"]:
        pieces = self.cross_query(self.norm_cross(x)), self.cross_key(views), self.cross_value(views)
        q, k, v = (split_heads(piece, self.heads) for piece in pieces)
        x = x + self.cross_out(attend(q, k, v))
        q, k, v = (split_heads(piece, self.heads) for piece in self.self_qkv(self.norm_self(x)).chunk(3, -1))
        x = x + self.self_out(attend(q, k, v))
        return x + self.down(nn.functional.gelu(self.up(self.norm_mlp(x))))


class TriplaneTransformer(nn.Module):
    """Three planes of features from the tokens of all views of an object."""

    def __init__(self, width: int, depth: int, heads: int, context: int, side: int, channels: int) -> None:
        super().__init__()
        self.side = side
        self.tokens = nn.Parameter(torch.zeros(1, 3 * side**2, width))
        self.blocks = nn.ModuleList(PlaneBlock(width, heads, context) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.upsample = nn.ConvTranspose2d(width, channels, 2, 2)

    def forward(self, views: Float[Tensor, "b m e"]) -> Float[Tensor, "b 3 c h w"]:
        x = self.tokens.expand(len(views), -1, -1)
        for block in self.blocks:
            x = cast(PlaneBlock, block)(x, views)
        planes = self.norm(x).unflatten(1, (3, self.side, self.side)).permute(0, 1, 4, 2, 3)
        return self.upsample(planes.flatten(0, 1)).unflatten(0, (-1, 3))
