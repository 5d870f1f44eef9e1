"""Networks of a latent diffusion model: stock diffusers classes on one device."""

from typing import Any

import torch


class LatentNetworks:
    """Common part of dataclasses that hold a UNet and the autoencoder of its latents."""

    unet: Any
    """``UNet2DConditionModel``."""
    vae: Any
    """``AutoencoderKL``."""

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.dtype

    @property
    def factor(self) -> int:
        """Pixels along each side of a latent."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)
