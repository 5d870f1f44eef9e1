"""Flow transformer over a dense cube of latents: adaLN by time, self-attention, cross-attention to the photo."""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mvdiff.models.attention import attend, split_heads
from mvdiff.models.sinusoids import grid_code, time_code

_EPS = 1e-6
_TIME_WIDTH = 256


@dataclass(frozen=True)
class FlowConfig:
    """Sizes; by default those of TRELLIS-image-large."""

    resolution: int = 16
    """Latents along each side of the cube; one token each."""
    in_channels: int = 8
    model_channels: int = 1024
    cond_channels: int = 1024
    num_blocks: int = 24
    num_heads: int = 16
    mlp_ratio: float = 4.0


class HeadNorm(nn.Module):
    """RMS normalization of each head's queries or keys, with a scale for each channel (Henry et al. 2020)."""

    def __init__(self, heads: int, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(heads, channels))

    def forward(self, x: Float[Tensor, "b h l c"]) -> Float[Tensor, "b h l c"]:
        return nn.functional.normalize(x.float(), dim=-1).to(x) * self.gamma[:, None] * x.shape[-1] ** 0.5


class FlowBlock(nn.Module):
    """Only self-attention has normalized queries and keys, and only it and the MLP are modulated by time."""

    def __init__(self, c: FlowConfig) -> None:
        super().__init__()
        width, hidden = c.model_channels, int(c.model_channels * c.mlp_ratio)
        self.heads = c.num_heads
        self.modulation = nn.Linear(width, 6 * width)
        self.norm_self = nn.LayerNorm(width, eps=_EPS, elementwise_affine=False)
        self.norm_cross = nn.LayerNorm(width, eps=_EPS)
        self.norm_mlp = nn.LayerNorm(width, eps=_EPS, elementwise_affine=False)
        self.self_qkv, self.self_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.self_q_norm = HeadNorm(c.num_heads, width // c.num_heads)
        self.self_k_norm = HeadNorm(c.num_heads, width // c.num_heads)
        self.cross_q, self.cross_kv = nn.Linear(width, width), nn.Linear(c.cond_channels, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(
        self, x: Float[Tensor, "b l d"], time: Float[Tensor, "b d"], photo: Float[Tensor, "b m e"]
    ) -> Float[Tensor, "b l d"]:
        codes = self.modulation(nn.functional.silu(time))[:, None].chunk(6, -1)
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = codes
        qkv = self.self_qkv(self.norm_self(x) * (1 + scale) + shift).chunk(3, -1)
        q, k, v = (split_heads(part, self.heads) for part in qkv)
        x = x + gate * self.self_out(attend(self.self_q_norm(q), self.self_k_norm(k), v))
        parts = self.cross_q(self.norm_cross(x)), *self.cross_kv(photo).chunk(2, -1)
        q, k, v = (split_heads(part, self.heads) for part in parts)
        x = x + self.cross_out(attend(q, k, v))
        h = self.norm_mlp(x) * (1 + scale_mlp) + shift_mlp
        return x + gate_mlp * self.down(nn.functional.gelu(self.up(h), approximate="tanh"))


class LatentFlow(nn.Module):
    """Velocity of latents at a time, given the tokens of a photo."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        width = config.model_channels
        self.time = nn.Sequential(nn.Linear(_TIME_WIDTH, width), nn.SiLU(), nn.Linear(width, width))
        self.enter, self.leave = nn.Linear(config.in_channels, width), nn.Linear(width, config.in_channels)
        self.blocks = nn.ModuleList(FlowBlock(config) for _ in range(config.num_blocks))

    def forward(
        self, x: Float[Tensor, "b c s s s"], times: Float[Tensor, "b"], photo: Float[Tensor, "b m e"]
    ) -> Float[Tensor, "b c s s s"]:
        """``times`` from 1000 (noise) to 0."""
        side, width = self.config.resolution, self.config.model_channels
        h = self.enter(x.flatten(2).transpose(1, 2)) + grid_code(side, width, x.device).to(x)
        time = self.time(time_code(times, _TIME_WIDTH, cosines_first=True).to(x))
        for block in self.blocks:
            h = cast(FlowBlock, block)(h, time, photo)
        h = self.leave(nn.functional.layer_norm(h, (width,)))
        return h.transpose(1, 2).reshape(x.shape)


_NAMES = {
    "time.": "t_embedder.mlp.",
    "enter.": "input_layer.",
    "leave.": "out_layer.",
    ".modulation.": ".adaLN_modulation.1.",
    ".norm_cross.": ".norm2.",
    ".self_qkv.": ".self_attn.to_qkv.",
    ".self_out.": ".self_attn.to_out.",
    ".self_q_norm.": ".self_attn.q_rms_norm.",
    ".self_k_norm.": ".self_attn.k_rms_norm.",
    ".cross_q.": ".cross_attn.to_q.",
    ".cross_kv.": ".cross_attn.to_kv.",
    ".cross_out.": ".cross_attn.to_out.",
    ".up.": ".mlp.mlp.0.",
    ".down.": ".mlp.mlp.2.",
}
#: Published tensors that are computed here: the code of positions.
IGNORED = ("pos_emb",)


def published_name(name: str) -> str:
    """Name of a parameter of :class:`LatentFlow` in TRELLIS' files."""
    for ours, theirs in _NAMES.items():
        if (ours in name) if ours.startswith(".") else name.startswith(ours):
            return name.replace(ours, theirs, 1)
    return name
