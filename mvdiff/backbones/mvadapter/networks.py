"""Networks of MV-Adapter and what conditions them: stock diffusers classes with decoupled attention."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.backbones.latent_networks import LatentNetworks
from mvdiff.backbones.mvadapter.attention import Bank


@dataclass(frozen=True)
class Prompt:
    """Text embeddings of SDXL."""

    tokens: Float[Tensor, "1 t e"]
    pooled: Float[Tensor, "1 p"]


@dataclass(frozen=True)
class Networks(LatentNetworks):
    """Weights of one MV-Adapter model, on one device."""

    unet: Any
    """``UNet2DConditionModel`` of SDXL with decoupled attention."""
    adapter: Any
    """``T2IAdapter`` that reads the cameras."""
    vae: Any
    """``AutoencoderKL``."""
    prompt: Prompt
    negative: Prompt
    scheduler: Any
    """Scheduler with shifted noise; copied for each call."""
    execution: torch.device | None = None

    def conditions(self, count: int, size: int, guided: bool) -> dict[str, Any]:
        """Text and size arguments of the UNet for ``count`` pictures; with guidance, the negative half comes first."""
        halves = (self.negative, self.prompt) if guided else (self.prompt,)
        tokens = torch.cat([half.tokens.expand(count, -1, -1) for half in halves])
        pooled = torch.cat([half.pooled.expand(count, -1) for half in halves])
        sizes = torch.tensor([[size, size, 0, 0, size, size]], dtype=self.dtype, device=self.device)
        added = {"text_embeds": pooled, "time_ids": sizes.expand(len(pooled), -1)}
        return {"encoder_hidden_states": tokens, "added_cond_kwargs": added}

    def posterior(self, pixels: Float[Tensor, "1 3 h w"]) -> tuple[Float[Tensor, "1 c y x"], Float[Tensor, "1 c y x"]]:
        """Mean and standard deviation of the VAE's latents, scaled as the UNet takes them."""
        with self.using(self.vae):
            found = self.vae.encode(pixels.to(self.device, self.vae.dtype)).latent_dist
        return found.mean.float() * self._scale, found.std.float() * self._scale

    @property
    def _scale(self) -> float:
        return self.vae.config.scaling_factor

    def bank(self, latents: Float[Tensor, "n c y x"], size: int) -> Bank:
        """Tokens of the reference in every self-attention layer, from one pass at timestep 0."""
        bank, timestep = Bank(), torch.zeros((), dtype=torch.long, device=self.device)
        conditions = self.conditions(len(latents), size, guided=False)
        self.unet(latents.to(self.dtype), timestep, cross_attention_kwargs={"bank": bank}, **conditions)
        return bank

    def camera_features(self, control: Float[Tensor, "v 6 h w"], copies: int) -> list[Float[Tensor, "b _ _ _"]]:
        """Feature maps of the cameras that the UNet's blocks add, for ``copies`` sets of v views."""
        with self.using(self.adapter):
            return [each.repeat(copies, 1, 1, 1) for each in self.adapter(control.to(self.device, self.dtype))]

    def decode(self, latents: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 h w"]:
        """Pictures in [0, 1], one at a time to bound memory."""
        scaled = (latents / self._scale).to(self.device, self.vae.dtype)
        with self.using(self.vae):
            pictures = [self.vae.decode(one[None], return_dict=False)[0].float() for one in scaled]
        return (torch.cat(pictures) / 2 + 0.5).clamp(0, 1)
