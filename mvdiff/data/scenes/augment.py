"""Photo augmentations for batches of scenes: effects of real cameras and of pen drawings.

Target views stay clean; only the photo that a network is given is augmented.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.data.augment import Batch, blurred, compress


@dataclass
class PhotoDefects:
    """Probabilities of each defect of photos."""

    exposure: float = 0.7
    """Share of photos with another exposure and contrast."""
    balance: float = 0.7
    """Share of photos with a color cast."""
    noise: float = 0.5
    """Share of photos with grain."""
    blur: float = 0.35
    """Share of photos out of focus."""
    compression: float = 0.4
    """Share of photos with traces of JPEG."""
    vignette: float = 0.4
    """Share of photos that are darker towards the corners."""
    drawing: float = 0.08
    """Share of photos that become line drawings."""


def augment_photos(
    rgb: Float[Tensor, "b 3 h w"],
    normal: Float[Tensor, "b 3 h w"],
    depth: Float[Tensor, "b h w"],
    generator: torch.Generator,
    config: PhotoDefects,
) -> Float[Tensor, "b 3 h w"]:
    """Photos with defects, in [0, 1]; sizes are multiples of 8.

    Args:
        rgb: Clean views, sRGB in [0, 1].
        normal: Unit normals, 0 at the sky; only line drawings need them and ``depth``.
        depth: z-depth of any unit, 0 at the sky.
        generator: On the device of the views.
    """
    dice = Batch(len(rgb), generator, rgb.device)
    sigma = torch.where(dice.chosen(config.blur), dice.uniform(0.3, 1.1), 0.01)
    photo = blurred(rgb, sigma)
    photo = torch.where(dice.chosen(config.vignette), photo * _vignette(photo, dice.uniform(0.1, 0.5)), photo)
    cast = photo * torch.exp(0.06 * dice.normal(3))
    photo = torch.where(dice.chosen(config.balance), cast, photo)
    exposed = (photo * torch.exp(0.25 * dice.normal())).clamp(1e-4, 1) ** torch.exp(0.15 * dice.normal())
    photo = torch.where(dice.chosen(config.exposure), exposed, photo)
    grain = torch.randn(photo.shape, generator=generator, device=photo.device) * dice.uniform(0.005, 0.04)
    photo = torch.where(dice.chosen(config.noise), photo + grain, photo)
    photo = torch.where(dice.chosen(config.compression), compress(photo, dice.uniform(0.01, 0.06)), photo)
    drawing = line_drawing(rgb, normal, depth, dice.chosen(0.5).to(rgb))
    return torch.where(dice.chosen(config.drawing), drawing, photo).clamp(0, 1)


def line_drawing(
    rgb: Float[Tensor, "b 3 h w"],
    normal: Float[Tensor, "b 3 h w"],
    depth: Float[Tensor, "b h w"],
    colored: Float[Tensor, "b 1 1 1"],
) -> Float[Tensor, "b 3 h w"]:
    """Dark lines at creases and outlines on white paper, or on pale flat colors where ``colored`` is 1."""
    log_depth = torch.where(depth > 0, depth, depth.amax((1, 2), keepdim=True) * 4 + 1e-3).clamp_min(1e-3).log()
    crease = _steps(normal).sum(1, keepdim=True)
    outline = _bends(log_depth[:, None])
    line = ((crease - 0.25) * 3).clamp(0, 1) + ((outline - 0.06) * 12).clamp(0, 1)
    flat = torch.nn.functional.avg_pool2d(rgb, 5, 1, 2, count_include_pad=False)
    paper = colored * (0.35 * ((flat * 4).round() / 4) + 0.65) + (1 - colored)
    return paper * (1 - 0.9 * line.clamp(0, 1))


def _steps(value: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Absolute differences to the pixel on the right and below, added."""
    padded = torch.nn.functional.pad(value, (0, 1, 0, 1), mode="replicate")
    return (padded[..., :-1, 1:] - value).abs() + (padded[..., 1:, :-1] - value).abs()


def _bends(value: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Absolute second differences, which are small on slanted planes, too; the larger of both axes."""
    padded = torch.nn.functional.pad(value, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] + padded[..., 1:-1, :-2] - 2 * value
    down = padded[..., 2:, 1:-1] + padded[..., :-2, 1:-1] - 2 * value
    return torch.maximum(across.abs(), down.abs())


def _vignette(photo: Float[Tensor, "b 3 h w"], strength: Float[Tensor, "b 1 1 1"]) -> Float[Tensor, "b 1 h w"]:
    h, w = photo.shape[-2:]
    y = torch.linspace(-1, 1, h, device=photo.device)[:, None]
    x = torch.linspace(-1, 1, w, device=photo.device)[None]
    return 1 - strength * (x**2 + y**2) / 2
