"""A small U-Net that cuts an object out of a photo: shadows, reflections and table tops stay outside.

Trained by ``tools/train_matting.py`` on rendered objects over procedural grounds and photographs. Its half-precision
weights stay below 1 MiB. It works on blocks of 4 x 4 pixels, so that one CPU core trains it in less than an hour.
"""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

#: Side of the square that the network sees, in pixels.
SIZE = 128

_PATCH = 4
_WIDTHS = (32, 64, 96, 128)
_DEPTHS = (1, 2, 3, 2)


class _Block(nn.Module):
    """Inverted residual (Sandler et al. 2018) with a 5 x 5 depthwise convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.GroupNorm(8, width)
        self.expand = nn.Conv2d(width, 2 * width, 1)
        self.project = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.project(nn.functional.gelu(self.expand(self.norm(self.spatial(x)))))


class MatteNetwork(nn.Module):
    """RGB [b 3 h w] in [0, 1] to the logit of alpha [b 1 h w]; the sides are multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3 * _PATCH**2, _WIDTHS[0], 1)
        self.encoder = nn.ModuleList(
            nn.Sequential(*(_Block(width) for _ in range(depth))) for width, depth in zip(_WIDTHS, _DEPTHS, strict=True)
        )
        steps = list(itertools.pairwise(_WIDTHS))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.up = nn.ModuleList(nn.Conv2d(coarse + fine, fine, 1) for fine, coarse in steps)
        self.decoder = nn.ModuleList(_Block(fine) for fine, _ in steps)
        self.out = nn.Conv2d(_WIDTHS[0], _PATCH**2, 1)

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        x, kept = self.stem(nn.functional.pixel_unshuffle(rgb * 2 - 1, _PATCH)), []
        for level, blocks in enumerate(self.encoder):
            x = blocks(x)
            if level < len(self.down):
                kept.append(x)
                x = self.down[level](x)
        for level in reversed(range(len(self.up))):
            coarse = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = self.decoder[level](self.up[level](torch.cat([coarse, kept[level]], 1)))
        return nn.functional.pixel_shuffle(self.out(x), _PATCH)
