"""Decoder of a set of latent vectors to a field: self-attention among them, then every point asks all of them."""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mvdiff.models.triposg.block import Block, published_block_name


@dataclass(frozen=True)
class VectorDecoderConfig:
    """Sizes; by default the published ones. The names are those of the published config.json."""

    latent_channels: int = 64
    num_attention_heads: int = 8
    width_decoder: int = 1024
    num_layers_decoder: int = 16
    embed_frequency: int = 8


class VectorDecoder(nn.Module):
    """Field of an object, exact: no point skips any of the vectors."""

    def __init__(self, config: VectorDecoderConfig) -> None:
        super().__init__()
        self.config = c = config
        width, heads = c.width_decoder, c.num_attention_heads
        self.enter = nn.Linear(c.latent_channels, width)
        self.points = nn.Linear(3 * (2 * c.embed_frequency + 1), width)
        own = [Block(width, heads) for _ in range(c.num_layers_decoder)]
        self.blocks = nn.ModuleList([*own, Block(width, heads, False, context=width, context_norm=True)])
        self.norm, self.leave = nn.LayerNorm(width), nn.Linear(width, 1)

    def encode(self, latents: Float[Tensor, "b l c"]) -> Float[Tensor, "b l d"]:
        """Tokens of an object, which :meth:`ask` reads as often as it is called."""
        h = self.enter(latents)
        for block in list(self.blocks)[:-1]:
            h = cast(Block, block)(h)
        return h

    def ask(self, tokens: Float[Tensor, "b l d"], points: Float[Tensor, "b p 3"]) -> Float[Tensor, "b p"]:
        """Logits at points of the cube [-1, 1]^3, negative inside."""
        code = self.points(frequency_code(points, self.config.embed_frequency))
        return self.leave(self.norm(cast(Block, self.blocks[-1])(code, tokens)))[..., 0]


def frequency_code(points: Float[Tensor, "b p 3"], count: int) -> Float[Tensor, "b p c"]:
    """The points, then sines and cosines at the angular frequencies 1, 2, 4, … (Mildenhall et al. 2020, without pi)."""
    powers = 2.0 ** torch.arange(count, dtype=points.dtype, device=points.device)
    angles = (points[..., None] * powers).flatten(-2)
    return torch.cat([points, angles.sin(), angles.cos()], -1)


_NAMES = {
    "enter.": "post_quant.",
    "points.": "decoder.proj_query.",
    "norm.": "decoder.norm_out.",
    "leave.": "decoder.proj_out.",
}
#: Published tensors of the encoder, which sampling does not need.
IGNORED = ("encoder.", "quant.")


def published_name(name: str) -> str:
    """Name of a parameter of :class:`VectorDecoder` in TripoSG's ``vae`` folder."""
    for ours, theirs in _NAMES.items():
        if name.startswith(ours):
            return name.replace(ours, theirs, 1)
    return f"decoder.{published_block_name(name)}"
