"""Rectified-flow transformer over a set of latent vectors; time is a token of its own."""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mvdiff.models.sinusoids import time_code
from mvdiff.models.triposg.block import Block, published_block_name


@dataclass(frozen=True)
class VectorFlowConfig:
    """Sizes; by default the published ones. The names are those of the published config.json."""

    num_attention_heads: int = 16
    width: int = 2048
    in_channels: int = 64
    num_layers: int = 21
    cross_attention_dim: int = 1024


class VectorFlow(nn.Module):
    """Velocity of latents at a time, given the tokens of a photo; first and last blocks are linked pairwise."""

    def __init__(self, config: VectorFlowConfig) -> None:
        super().__init__()
        self.config = c = config
        self.time = nn.Sequential(nn.Linear(c.width, 4 * c.width), nn.GELU(), nn.Linear(4 * c.width, c.width))
        self.enter, self.leave = nn.Linear(c.in_channels, c.width), nn.Linear(c.width, c.in_channels)
        self.blocks = nn.ModuleList(
            Block(
                c.width,
                c.num_attention_heads,
                context=c.cross_attention_dim,
                normalized=True,
                skips=layer > c.num_layers // 2,
            )
            for layer in range(c.num_layers)
        )
        self.norm = nn.LayerNorm(c.width)

    def forward(
        self, x: Float[Tensor, "b l c"], times: Float[Tensor, "b"], photo: Float[Tensor, "b m e"]
    ) -> Float[Tensor, "b l c"]:
        """Velocity towards the data; ``times`` from 1000 (noise) to 0."""
        time = self.time(time_code(times, self.config.width, cosines_first=False).to(x))
        h = torch.cat([time[:, None], self.enter(x)], 1)
        kept: list[Tensor] = []
        half = len(self.blocks) // 2
        for layer, module in enumerate(self.blocks):
            h = cast(Block, module)(h, photo, kept.pop() if layer > half else None)
            if layer < half:
                kept.append(h)
        return self.leave(self.norm(h)[:, 1:])


_NAMES = {
    "time.0.": "time_proj.linear_1.",
    "time.2.": "time_proj.linear_2.",
    "enter.": "proj_in.",
    "leave.": "proj_out.",
    "norm.": "norm_out.",
}


def published_name(name: str) -> str:
    """Name of a parameter of :class:`VectorFlow` in TripoSG's ``transformer`` folder."""
    for ours, theirs in _NAMES.items():
        if name.startswith(ours):
            return name.replace(ours, theirs, 1)
    return published_block_name(name)
