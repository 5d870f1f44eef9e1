"""Distances between images and between masks."""

import torch
from jaxtyping import Float
from torch import Tensor

_LEAST_ERROR = 1e-10  # 100 dB: equal pictures score a number


def psnr(a: Float[Tensor, "*#batch 3 h w"], b: Float[Tensor, "*#batch 3 h w"]) -> Float[Tensor, "*#batch"]:
    """Peak signal-to-noise ratio in decibels of pictures in [0, 1]."""
    return -10 * ((a - b) ** 2).mean((-3, -2, -1)).clamp_min(_LEAST_ERROR).log10()


def ssim(
    a: Float[Tensor, "b 3 h w"], b: Float[Tensor, "b 3 h w"], sigma: float = 1.5, radius: int = 5
) -> Float[Tensor, "b"]:
    """Structural similarity of pictures in [0, 1] with the Gaussian window of the paper (Wang et al. 2004)."""
    offset = torch.arange(-radius, radius + 1, device=a.device, dtype=a.dtype)
    window = torch.exp(-(offset**2) / (2 * sigma**2))
    window = window / window.sum()

    def blurred(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c i j"]:
        channels = x.shape[1]
        x = torch.nn.functional.conv2d(x, window.expand(channels, 1, 1, -1), groups=channels)
        return torch.nn.functional.conv2d(x, window[:, None].expand(channels, 1, -1, -1), groups=channels)

    mean_a, mean_b, aa, bb, ab = blurred(torch.cat([a, b, a * a, b * b, a * b], 1)).chunk(5, 1)
    c1, c2 = 0.01**2, 0.03**2
    covariance, variance = ab - mean_a * mean_b, aa + bb - mean_a**2 - mean_b**2
    value = (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (variance + c2))
    return value.mean((1, 2, 3))


def mask_iou(a: Float[Tensor, "*#batch 1 h w"], b: Float[Tensor, "*#batch 1 h w"]) -> Float[Tensor, "*#batch"]:
    """Intersection over union of the pixels that are more than half covered; two empty masks agree."""
    a, b = a > 0.5, b > 0.5
    union = (a | b).sum((-3, -2, -1))
    return torch.where(union > 0, (a & b).sum((-3, -2, -1)) / union.clamp_min(1), 1.0)
