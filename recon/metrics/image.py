"""Distances between images and between masks."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_LEAST_ERROR = 1e-10  # 100 dB: equal pictures score a number
#: Half width of the SSIM window: its map is so much smaller on every side.
SSIM_RADIUS = 5
_GMS_CONSTANT = 0.0026  # Xue et al. 2014, for pictures in [0, 1]


def psnr(a: Float[Tensor, "*#batch 3 h w"], b: Float[Tensor, "*#batch 3 h w"]) -> Float[Tensor, "*#batch"]:
    """Peak signal-to-noise ratio in decibels of pictures in [0, 1]."""
    return -10 * ((a - b) ** 2).mean((-3, -2, -1)).clamp_min(_LEAST_ERROR).log10()


def masked_psnr(
    a: Float[Tensor, "*#batch 3 h w"],
    b: Float[Tensor, "*#batch 3 h w"],
    mask: Bool[Tensor, "*#batch h w"],
    least_pixels: int = 1,
) -> Float[Tensor, "*#batch"]:
    """PSNR over the pixels of ``mask``; NaN where it has fewer than ``least_pixels``."""
    return -10 * masked_mean(((a - b) ** 2).mean(-3), mask, least_pixels).clamp_min(_LEAST_ERROR).log10()


def masked_mean(
    values: Float[Tensor, "*#batch h w"], mask: Bool[Tensor, "*#batch h w"], least_pixels: int = 1
) -> Float[Tensor, "*#batch"]:
    """Mean over the pixels of ``mask``; NaN where it has fewer than ``least_pixels``."""
    count = mask.sum((-2, -1))
    total = torch.where(mask, values, 0.0).sum((-2, -1))
    return torch.where(count >= max(least_pixels, 1), total / count.clamp_min(1), torch.nan)


def ssim(
    a: Float[Tensor, "b 3 h w"], b: Float[Tensor, "b 3 h w"], sigma: float = 1.5, radius: int = SSIM_RADIUS
) -> Float[Tensor, "b"]:
    """Structural similarity of pictures in [0, 1] with the Gaussian window of the paper (Wang et al. 2004)."""
    return ssim_map(a, b, sigma, radius).mean((1, 2, 3))


def ssim_map(
    a: Float[Tensor, "b 3 h w"], b: Float[Tensor, "b 3 h w"], sigma: float = 1.5, radius: int = SSIM_RADIUS
) -> Float[Tensor, "b 3 i j"]:
    """Structural similarity pixel by pixel, without the ``radius`` rows and columns at each border."""
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
    return (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (variance + c2))


def gradient_similarity(a: Float[Tensor, "b 3 h w"], b: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b h w"]:
    """Gradient-magnitude similarity map of luminance, 1 where edges agree (Xue et al. 2014)."""
    a, b = _gradient_magnitude(a), _gradient_magnitude(b)
    return (2 * a * b + _GMS_CONSTANT) / (a**2 + b**2 + _GMS_CONSTANT)


def _gradient_magnitude(picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b h w"]:
    prewitt = picture.new_tensor([[1.0, 0.0, -1.0]] * 3) / 3
    kernels = torch.stack([prewitt, prewitt.T])[:, None]
    gray = torch.nn.functional.pad(picture.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return torch.nn.functional.conv2d(gray, kernels).square().sum(1).sqrt()


def mask_iou(a: Float[Tensor, "*#batch 1 h w"], b: Float[Tensor, "*#batch 1 h w"]) -> Float[Tensor, "*#batch"]:
    """Intersection over union of the pixels that are more than half covered; two empty masks agree."""
    a, b = a > 0.5, b > 0.5
    union = (a | b).sum((-3, -2, -1))
    return torch.where(union > 0, (a & b).sum((-3, -2, -1)) / union.clamp_min(1), 1.0)
