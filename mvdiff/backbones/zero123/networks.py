"""Networks of Zero123++ and what conditions them: stock diffusers and transformers classes."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.backbones.latent_networks import LatentNetworks

#: Mean and scale of the sheet's latents, and scale of the sheet's colors, that the UNet was trained with.
_LATENT_SHIFT, _LATENT_SCALE, _COLOR_SCALE = 0.22, 0.75, 0.5 / 0.8


@dataclass(frozen=True)
class Networks(LatentNetworks):
    """Weights of one Zero123++ model, on one device."""

    unet: Any
    """``UNet2DConditionModel`` with reference attention."""
    vae: Any
    """``AutoencoderKL``."""
    vision: Any
    """``CLIPVisionModelWithProjection``."""
    control: Any | None
    """``ControlNetModel`` that turns a sheet of colors into one of normals."""
    prompt: Float[Tensor, "1 t e"]
    """Text embedding of the empty prompt."""
    ramp: Float[Tensor, "t"]
    """Share of the picture's embedding that each token of the prompt receives."""
    scheduler: Any
    """``EulerAncestralDiscreteScheduler``; copied for each call."""
    vision_processor: Any
    vae_processor: Any
    execution: torch.device | None = None

    def embedding(self, picture: Any) -> Float[Tensor, "1 t e"]:
        """Prompt embedding of an RGB picture: that of no words plus the ramped CLIP embedding of the picture."""
        pixels = self.vision_processor(images=picture, return_tensors="pt").pixel_values
        with self.using(self.vision):
            embeds = self.vision(pixels.to(self.device, self.dtype)).image_embeds
        return self.prompt + embeds[:, None] * self.ramp[:, None]

    def posterior(self, pixels: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b c y x"], Float[Tensor, "b c y x"]]:
        """Mean and standard deviation of the VAE's latents, not scaled."""
        with self.using(self.vae):
            found = self.vae.encode(pixels.to(self.device, self.dtype)).latent_dist
        return found.mean.float(), found.std.float()

    def reference_pixels(self, picture: Any) -> Float[Tensor, "1 3 h w"]:
        """An RGB picture as the VAE takes the reference."""
        return self.vae_processor(images=picture, return_tensors="pt").pixel_values

    def decode(self, latents: Float[Tensor, "n c y x"]) -> Float[Tensor, "n 3 h w"]:
        """Pictures in [0, 1] of sheet latents, one at a time to bound memory."""
        scaled = unscale_latents(latents) / self.vae.config.scaling_factor
        with self.using(self.vae):
            pictures = [self.vae.decode(one[None].to(self.dtype), return_dict=False)[0].float() for one in scaled]
        return (unscale_colors(torch.cat(pictures)) / 2 + 0.5).clamp(0, 1)


def unscale_latents(latents: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Latents of the VAE, up to its scaling factor, from those of the UNet."""
    return latents / _LATENT_SCALE + _LATENT_SHIFT


def unscale_colors(pictures: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Colors in [-1, 1] from those that the VAE decodes."""
    return pictures / _COLOR_SCALE
