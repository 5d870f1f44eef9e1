"""Decoupled attention (Huang et al. 2024): branches across views and to a reference beside stock self-attention."""

import math
from typing import Any

from diffusers.models.attention_processor import AttnProcessor2_0
from jaxtyping import Float
from torch import Tensor, nn

#: Tokens of the reference picture by the name of the layer.
Bank = dict[str, Tensor]


class DecoupledAttention(nn.Module):
    """Attention processor of one self-attention layer of a diffusers UNet.

    Its batch is (n v): v views of each of n objects, all of them square. ``cross_attention_kwargs={"bank": bank}``
    stores the layer's input tokens in ``bank`` and computes what the stock layer does; with ``"num_views": v`` the
    views of an object also attend to each other, row by row, and to the stored tokens of their object.
    """

    def __init__(self, name: str, width: int, inner: int) -> None:
        super().__init__()
        self.name, self.stock = name, AttnProcessor2_0()
        for suffix in ("mv", "ref"):
            for projection in "qkv":
                self.add_module(f"to_{projection}_{suffix}", nn.Linear(width, inner, bias=False))
            self.add_module(f"to_out_{suffix}", nn.ModuleList([nn.Linear(inner, width)]))

    def __call__(  # diffusers reads the names of its arguments
        self,
        attn: Any,
        hidden_states: Float[Tensor, "b t c"],
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        bank: Bank | None = None,
        num_views: int | None = None,
    ) -> Float[Tensor, "b t c"]:
        plain = self.stock(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        if bank is None:
            return plain
        if num_views is None:
            bank[self.name] = hidden_states
            return plain
        of_views = self._across_views(hidden_states, attn.heads, num_views)
        return plain + of_views + self._to_reference(hidden_states, bank[self.name], attn.heads)

    def _across_views(self, tokens: Float[Tensor, "b t c"], heads: int, views: int) -> Float[Tensor, "b t c"]:
        """Attention among the tokens of one row of all views of an object."""
        side = math.isqrt(tokens.shape[1])
        split = (len(tokens) // views, views, side, side, heads, -1)
        # [n v y x heads c] -> [n y heads (v x) c]
        order = (0, 2, 4, 1, 3, 5)
        query, key, value = (
            self._projected(name, "mv", tokens).reshape(split).permute(order).flatten(3, 4) for name in "qkv"
        )
        mixed = nn.functional.scaled_dot_product_attention(query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1))
        mixed = mixed.reshape(split[0], side, heads, views, side, -1).permute(0, 3, 1, 4, 2, 5)
        return self._out("mv", mixed.reshape(*tokens.shape[:2], -1))

    def _to_reference(
        self, tokens: Float[Tensor, "b t c"], reference: Float[Tensor, "n r c"], heads: int
    ) -> Float[Tensor, "b t c"]:
        """Attention of all views of an object to the tokens of its reference."""
        n = len(reference)
        query = self._projected("q", "ref", tokens).reshape(n, -1, heads, tokens.shape[-1] // heads)
        key, value = (self._projected(name, "ref", reference).unflatten(-1, (heads, -1)) for name in "kv")
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        return self._out("ref", mixed.transpose(1, 2).reshape(*tokens.shape[:2], -1))

    def _projected(self, name: str, suffix: str, tokens: Float[Tensor, "b t c"]) -> Float[Tensor, "b t d"]:
        return self.get_submodule(f"to_{name}_{suffix}")(tokens)

    def _out(self, suffix: str, tokens: Float[Tensor, "b t d"]) -> Float[Tensor, "b t c"]:
        return self.get_submodule(f"to_out_{suffix}.0")(tokens)


class CrossAttention:
    """Stock cross-attention that takes the arguments of :class:`DecoupledAttention`, too."""

    def __init__(self) -> None:
        self.stock = AttnProcessor2_0()

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        bank: Bank | None = None,
        num_views: int | None = None,
    ) -> Tensor:
        return self.stock(attn, hidden_states, encoder_hidden_states, attention_mask, temb)


def install_decoupled_attention(unet: Any) -> None:
    """Replace the attention processors of a ``UNet2DConditionModel``; without a bank it computes what it did before."""
    unet.set_attn_processor({name: _processor(unet, name) for name in unet.attn_processors})


def _processor(unet: Any, name: str) -> Any:
    layer = unet.get_submodule(name.removesuffix(".processor"))
    if layer.is_cross_attention:
        return CrossAttention()
    made = DecoupledAttention(name, layer.to_q.in_features, layer.to_q.out_features)
    return made.to(layer.to_q.weight)
