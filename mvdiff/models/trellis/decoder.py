"""Convolutional decoder of a cube of latents to occupancy at four times the resolution."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes; by default those of TRELLIS-image-large."""

    latent_channels: int = 8
    channels: tuple[int, ...] = (512, 128, 32)
    """Channels at each resolution; each next one is twice as fine."""
    num_res_blocks: int = 2
    num_res_blocks_middle: int = 2


class ChannelNorm(nn.LayerNorm):
    """Layer normalization over the channels of each cell."""

    def forward(self, x: Float[Tensor, "b c x y z"]) -> Float[Tensor, "b c x y z"]:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class ResidualBlock(nn.Module):
    """Two normalized convolutions beside the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.conv1, self.conv2 = (nn.Conv3d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Float[Tensor, "b c x y z"]) -> Float[Tensor, "b c x y z"]:
        h = self.conv1(nn.functional.silu(self.norm1(x)))
        return x + self.conv2(nn.functional.silu(self.norm2(h)))


class Upsample(nn.Module):
    """Convolution whose eight groups of channels become the eight children of a cell (Shi et al. 2016, in 3D)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, 8 * out, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c x y z"]) -> Float[Tensor, "b d x2 y2 z2"]:
        children = self.conv(x).unflatten(1, (-1, 2, 2, 2)).permute(0, 1, 5, 2, 6, 3, 7, 4)
        return children.flatten(6, 7).flatten(4, 5).flatten(2, 3)


class OccupancyDecoder(nn.Module):
    """Logits of occupancy; its names are the published ones."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        c = config.channels
        self.input_layer = nn.Conv3d(config.latent_channels, c[0], 3, padding=1)
        self.middle_block = nn.Sequential(*(ResidualBlock(c[0]) for _ in range(config.num_res_blocks_middle)))
        blocks: list[nn.Module] = []
        for i, channels in enumerate(c):
            blocks += [ResidualBlock(channels) for _ in range(config.num_res_blocks)]
            blocks += [Upsample(channels, c[i + 1])] if i + 1 < len(c) else []
        self.blocks = nn.Sequential(*blocks)
        self.out_layer = nn.Sequential(ChannelNorm(c[-1]), nn.SiLU(), nn.Conv3d(c[-1], 1, 3, padding=1))

    def forward(self, latents: Float[Tensor, "b c s s s"]) -> Float[Tensor, "b g g g"]:
        """Positive inside."""
        return self.out_layer(self.blocks(self.middle_block(self.input_layer(latents))))[:, 0]


def decoder_resolution(config: DecoderConfig, latents: int) -> int:
    """Voxels along each side of what the decoder makes of a cube of latents."""
    return latents * 2 ** (len(config.channels) - 1)
