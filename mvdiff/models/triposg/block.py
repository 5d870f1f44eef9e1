"""Transformer block of both networks of TripoSG, pre-norm; each instance has the parts that it needs."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mvdiff.models.attention import attend, split_heads
from mvdiff.models.layers import RMSNorm

_EPS = 1e-5


class Attention(nn.Module):
    """Attention whose fused projection holds, head after head, a head's query, key and value (or key and value)."""

    def __init__(self, width: int, heads: int, context: int | None, normalized: bool, context_norm: bool) -> None:
        super().__init__()
        self.heads, self.crosses = heads, context is not None
        source = width if context is None else context
        self.query = nn.Linear(width, width, bias=False)
        self.key, self.value = nn.Linear(source, width, bias=False), nn.Linear(source, width, bias=False)
        self.out = nn.Linear(width, width)
        self.query_norm = RMSNorm(width // heads) if normalized else nn.Identity()
        self.key_norm = RMSNorm(width // heads) if normalized else nn.Identity()
        self.context_norm = nn.LayerNorm(source, eps=_EPS) if context_norm else nn.Identity()

    def forward(
        self, x: Float[Tensor, "b l d"], context: Float[Tensor, "b m e"] | None = None
    ) -> Float[Tensor, "b l d"]:
        if context is None:
            fused = torch.cat([self.query(x), self.key(x), self.value(x)], -1)
            q, k, v = split_heads(fused, self.heads).chunk(3, -1)
        else:
            source = self.context_norm(context)
            q = split_heads(self.query(x), self.heads)
            k, v = split_heads(torch.cat([self.key(source), self.value(source)], -1), self.heads).chunk(2, -1)
        return self.out(attend(self.query_norm(q), self.key_norm(k), v))


class Block(nn.Module):
    """Long skip connection, self-attention, cross-attention, MLP."""

    def __init__(
        self,
        width: int,
        heads: int,
        attends_itself: bool = True,
        context: int | None = None,
        normalized: bool = False,
        context_norm: bool = False,
        skips: bool = False,
    ) -> None:
        super().__init__()
        self.skip = nn.Linear(2 * width, width) if skips else None
        self.skip_norm = nn.LayerNorm(width, eps=_EPS) if skips else None
        self.norm_self = nn.LayerNorm(width, eps=_EPS) if attends_itself else None
        self.attention = Attention(width, heads, None, normalized, False) if attends_itself else None
        self.norm_cross = None if context is None else nn.LayerNorm(width, eps=_EPS)
        self.cross = None if context is None else Attention(width, heads, context, normalized, context_norm)
        self.norm_mlp = nn.LayerNorm(width, eps=_EPS)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(
        self,
        x: Float[Tensor, "b l d"],
        context: Float[Tensor, "b m e"] | None = None,
        earlier: Float[Tensor, "b l d"] | None = None,
    ) -> Float[Tensor, "b l d"]:
        """``earlier`` is the output of the block that this one's skip connection comes from."""
        if self.skip is not None and self.skip_norm is not None and earlier is not None:
            x = self.skip_norm(self.skip(torch.cat([earlier, x], -1)))
        if self.attention is not None and self.norm_self is not None:
            x = x + self.attention(self.norm_self(x))
        if self.cross is not None and self.norm_cross is not None:
            x = x + self.cross(self.norm_cross(x), context)
        return x + self.down(nn.functional.gelu(self.up(self.norm_mlp(x))))


#: Parts of a block's names, here and where the weights are published.
BLOCK_NAMES = {
    ".skip.": ".skip_linear.",
    ".norm_self.": ".norm1.",
    ".norm_cross.": ".norm2.",
    ".norm_mlp.": ".norm3.",
    ".attention.": ".attn1.",
    ".cross.": ".attn2.",
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".out.": ".to_out.0.",
    ".query_norm.": ".norm_q.",
    ".key_norm.": ".norm_k.",
    ".context_norm.": ".norm_cross.",
    ".up.": ".ff.net.0.proj.",
    ".down.": ".ff.net.2.",
}


def published_block_name(name: str) -> str:
    """Published name of a block's parameter; every part is replaced once, none twice."""
    parts = name.split(".")
    return ".".join(BLOCK_NAMES.get(f".{part}.", f".{part}.").strip(".") for part in parts)
