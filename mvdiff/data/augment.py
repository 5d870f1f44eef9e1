"""Photo augmentations for whole batches: camera response, compression artifacts, matting errors."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass
class AugmentConfig:
    """Probabilities of each defect, for each reference picture."""

    color: float = 0.7
    blur: float = 0.35
    noise: float = 0.4
    compression: float = 0.3
    matte: float = 0.35


class Batch:
    """Random numbers for each of ``b`` pictures, shaped to broadcast over them."""

    def __init__(self, count: int, generator: torch.Generator, device: torch.device) -> None:
        self.count, self.generator, self.device = count, generator, device

    def uniform(self, low: float, high: float, channels: int = 1) -> Float[Tensor, "b c 1 1"]:
        shape = (self.count, channels, 1, 1)
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.device)

    def normal(self, channels: int = 1) -> Float[Tensor, "b c 1 1"]:
        return torch.randn((self.count, channels, 1, 1), generator=self.generator, device=self.device)

    def chosen(self, probability: float) -> Bool[Tensor, "b 1 1 1"]:
        return self.uniform(0, 1) < probability


def augment_references(
    rgba: Float[Tensor, "b 4 h w"], generator: torch.Generator, config: AugmentConfig
) -> Float[Tensor, "b 4 h w"]:
    """Straight alpha in and out, in [0, 1]; color stays 0 where alpha is 0."""
    dice = Batch(len(rgba), generator, rgba.device)
    rgba = _imperfect_matte(rgba, dice, config)
    premultiplied = torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], 1)
    sigma = torch.where(dice.chosen(config.blur), dice.uniform(0.3, 1.3), 0.01)
    premultiplied = blurred(premultiplied, sigma)
    alpha = premultiplied[:, 3:]
    rgb = premultiplied[:, :3] / alpha.clamp_min(1e-3)
    balance = torch.exp(0.05 * dice.normal(3) + 0.12 * dice.normal())
    developed = (rgb.clamp(0, 1) * balance).clamp(1e-4, 1) ** torch.exp(0.15 * dice.normal())
    rgb = torch.where(dice.chosen(config.color), developed, rgb)
    grain = torch.randn(rgb.shape, generator=generator, device=rgb.device) * dice.uniform(0.005, 0.04)
    rgb = torch.where(dice.chosen(config.noise), rgb + grain, rgb)
    rgb = torch.where(dice.chosen(config.compression), compress(rgb, dice.uniform(0.01, 0.08)), rgb)
    return torch.cat([rgb.clamp(0, 1) * (alpha > 1e-3), alpha.clamp(0, 1)], 1)


def _imperfect_matte(rgba: Float[Tensor, "b 4 h w"], dice: Batch, config: AugmentConfig) -> Float[Tensor, "b 4 h w"]:
    """Too wide, with the background's color showing; or too narrow."""
    rgb, alpha = rgba.split([3, 1], 1)
    background = dice.uniform(0, 1, 3)
    composed = rgb * alpha + background * (1 - alpha)
    wide = torch.nn.functional.max_pool2d(alpha, 3, 1, 1)
    narrow = -torch.nn.functional.max_pool2d(-alpha, 3, 1, 1)
    kind = dice.uniform(0, 1)
    wider = (kind < config.matte / 2).expand_as(alpha)
    narrower = ((kind >= config.matte / 2) & (kind < config.matte)).expand_as(alpha)
    rgb = torch.where(wider, composed, rgb)
    return torch.cat([rgb, torch.where(wider, wide, torch.where(narrower, narrow, alpha))], 1)


def blurred(images: Float[Tensor, "b c h w"], sigma: Float[Tensor, "b 1 1 1"]) -> Float[Tensor, "b c h w"]:
    """Gaussian of an own width for each picture, separable, as one grouped convolution an axis."""
    b, c = images.shape[:2]
    offsets = torch.arange(-3, 4, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma.reshape(b, 1)) ** 2)
    kernel = (kernel / kernel.sum(-1, keepdim=True)).repeat_interleave(c, 0)
    flat = images.reshape(1, b * c, *images.shape[2:])
    flat = torch.nn.functional.conv2d(flat, kernel[:, None, None, :], padding=(0, 3), groups=b * c)
    flat = torch.nn.functional.conv2d(flat, kernel[:, None, :, None], padding=(3, 0), groups=b * c)
    return flat.reshape(images.shape)


def compress(rgb: Float[Tensor, "b 3 h w"], strength: Float[Tensor, "b 1 1 1"]) -> Float[Tensor, "b 3 h w"]:
    """Rounds 8 x 8 cosine coefficients, the higher the coarser, like JPEG."""
    k = torch.arange(8, device=rgb.device, dtype=rgb.dtype)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * torch.pi / 16) * 0.5
    basis[0] *= 0.5**0.5
    # One large product with the basis of whole blocks: thousands of 8 x 8 products would crawl.
    transform = torch.kron(basis, basis)
    height = rgb.shape[-2]
    blocks = rearrange(rgb, "b c (y p) (x q) -> b (c y x) (p q)", p=8, q=8)
    step = strength.flatten(1)[..., None] * (1 + k[:, None] + k[None]).flatten()
    coefficients = (blocks @ transform.T / step).round() * step
    return rearrange(coefficients @ transform, "b (c y x) (p q) -> b c (y p) (x q)", c=3, y=height // 8, p=8)
