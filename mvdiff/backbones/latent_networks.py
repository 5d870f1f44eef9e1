"""Networks of a latent diffusion model: stock diffusers classes on one device, or moved there while they are used."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

#: Held while a network is on the device, as two of them are not to be there at once.
_MOVING = threading.RLock()


class LatentNetworks:
    """Common part of dataclasses that hold a UNet and the autoencoder of its latents."""

    unet: Any
    """``UNet2DConditionModel``."""
    vae: Any
    """``AutoencoderKL``."""
    execution: torch.device | None
    """Device to which networks are moved from the CPU while they are used; None where they stay on theirs."""

    @property
    def device(self) -> torch.device:
        return self.execution or self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.dtype

    @property
    def factor(self) -> int:
        """Pixels along each side of a latent."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @contextmanager
    def using(self, *networks: Any) -> Iterator[None]:
        """Have ``networks`` (None are left out) on the device inside the block, and in the CPU's memory after it."""
        if self.execution is None:
            yield
            return
        moved = [network for network in networks if network is not None]
        with _MOVING:
            try:
                for network in moved:
                    torch.nn.Module.to(network, self.execution)
                yield
            finally:
                for network in moved:
                    torch.nn.Module.to(network, "cpu")
