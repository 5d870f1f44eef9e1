"""Reference attention (Shi et al. 2023): self-attention that also looks at the tokens of a reference picture."""

from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor

#: Tokens of the reference picture by the name of the layer.
Bank = dict[str, Tensor]


class ReferenceAttention:
    """Attention processor of one layer of a diffusers UNet.

    ``cross_attention_kwargs={"bank": bank, "reading": False}`` stores the input tokens of each self-attention in
    ``bank``; ``"reading": True`` appends the stored tokens to keys and values. Cross-attention is left as it is.
    """

    def __init__(self, name: str) -> None:
        self.name, self.stock = name, AttnProcessor2_0()

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        bank: Bank | None = None,
        reading: bool = False,
    ) -> Tensor:
        if encoder_hidden_states is None and bank is not None:
            if reading:
                encoder_hidden_states = torch.cat([hidden_states, bank.pop(self.name)], 1)
            else:
                bank[self.name] = hidden_states
        return self.stock(attn, hidden_states, encoder_hidden_states, attention_mask, temb)


def install_reference_attention(unet: Any) -> None:
    """Replace the attention processors of a ``UNet2DConditionModel``; without a bank it computes what it did before."""
    unet.set_attn_processor({name: ReferenceAttention(name) for name in unet.attn_processors})
