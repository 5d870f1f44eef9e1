"""Composition of layers into photos with a known matte."""

from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mvdiff.data.augment import AugmentConfig, augment_references
from mvdiff.data.matting.layers import PhotoLayers

Ground = Literal["any", "plain", "textured"]

_NO_MATTE_DEFECTS = AugmentConfig(matte=0.0)


def compose(
    layers: PhotoLayers,
    photographs: UInt8[Tensor, "p 3 s t"] | None,
    generator: torch.Generator,
    ground: Ground = "any",
    shadows: float = 0.85,
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]:
    """Photos in [0, 1] and their alpha.

    A third stand on a textured ground before a wall, a third on a plain sweep (the studio picture), a third before a
    photograph; most cast a shadow, some mirror themselves in the ground.

    Args:
        layers: Rendered objects [b].
        photographs: Pictures to crop backgrounds from.
        generator: Source of every choice.
        ground: "plain" or "textured" takes one kind alone.
        shadows: Share of the photos with a shadow.
    """
    device, b = layers.object.device, len(layers.object)

    def uniform(low: float, high: float, channels: int = 1) -> Float[Tensor, "b c 1 1"]:
        return low + (high - low) * torch.rand(b, channels, 1, 1, generator=generator, device=device)

    low, high = {"any": (0.0, 1.0), "plain": (0.7, 1.0), "textured": (0.0, 0.66)}[ground]
    kind = uniform(low, high)
    rgb, alpha = (layers.object.float() / 255).split([3, 1], 1)
    size = rgb.shape[-1]
    places = layers.ground.nan_to_num(0.0)
    below = (~layers.ground[:, :1].isnan()).float()
    plain = uniform(0.05, 1, 3) * 0.3 + uniform(0.2, 1) * 0.7
    wall = plain * (1 + 0.15 * uniform(-1, 1) * torch.linspace(-1, 1, size, device=device)[:, None])
    floor = uniform(0.1, 1, 3) * 0.5 + uniform(0, 0.6)
    floor = floor * (1 + _texture(places, uniform, generator))
    scene = torch.where(below > 0, floor, wall)
    if photographs is not None:
        taken = _crops(photographs, b, size, generator, device)
        on_table = torch.where((below > 0) & (uniform(0, 1) < 0.6), floor, taken)
        scene = torch.where(kind < 0.4, on_table, scene)
    background = torch.where(kind > 0.68, wall, scene)
    shaded = layers.shadow.float() / 255 * below
    shaded = torch.nn.functional.avg_pool2d(shaded, 5, 1, 2, count_include_pad=False)
    strength = torch.where(uniform(0, 1) < shadows, uniform(0.1, 0.85), torch.zeros_like(kind))
    background = background * (1 - strength * shaded)
    mirror_rgb, mirror_alpha = (layers.reflection.float() / 255).split([3, 1], 1)
    mirrored = torch.where(uniform(0, 1) < 0.25, uniform(0.05, 0.4), torch.zeros_like(kind)) * mirror_alpha * below
    background = (background * (1 - mirrored) + mirror_rgb * mirrored).clamp(0, 1)
    photo = rgb * alpha + background * (1 - alpha)
    opaque = torch.cat([photo, torch.ones_like(alpha)], 1)
    photo = augment_references(opaque, generator, _NO_MATTE_DEFECTS)[:, :3]
    flip = uniform(0, 1) < 0.5
    return torch.where(flip, photo.flip(-1), photo), torch.where(flip, alpha.flip(-1), alpha)


def _texture(ground: Float[Tensor, "b 2 h w"], uniform, generator: torch.Generator) -> Float[Tensor, "b 1 h w"]:
    """Relative brightness of a ground in its own coordinates: grain of four octaves, tiles or joints of planks."""
    x, z = ground.split(1, 1)
    total = torch.zeros_like(x)
    for octave in range(4):
        frequency = 2.0 * 2.2**octave
        angle, phase = uniform(0, 6.283), uniform(0, 6.283)
        way = x * angle.cos() + z * angle.sin()
        across = z * angle.cos() - x * angle.sin()
        total = total + torch.sin(frequency * way + 2.5 * torch.sin(0.7 * frequency * across + phase)) * 0.6**octave
    pitch = uniform(0.1, 0.7)
    joints = ((x / pitch).frac().abs() < 0.06) | (((z / pitch).frac().abs() < 0.06) & (uniform(0, 1) < 0.5))
    checks = ((x / pitch).floor() + (z / pitch).floor()) % 2 - 0.5
    pattern = torch.where(uniform(0, 1) < 0.5, -joints.float(), checks)
    pattern = torch.where(uniform(0, 1) < 0.4, pattern, torch.zeros_like(pattern))
    return uniform(0, 0.25) * total + uniform(0, 0.5) * pattern


def _crops(
    photographs: UInt8[Tensor, "p 3 s t"], count: int, size: int, generator: torch.Generator, device: torch.device
) -> Float[Tensor, "b 3 h w"]:
    """Random windows of photographs, resampled to ``size``."""
    which = torch.randint(len(photographs), (count,), generator=generator, device=device)
    scale = 0.15 + 0.45 * torch.rand(count, generator=generator, device=device)
    offset = (2 * torch.rand(count, 2, generator=generator, device=device) - 1) * (1 - scale[:, None])
    zeros = torch.zeros_like(scale)
    aspect = photographs.shape[-2] / photographs.shape[-1]
    rows = [
        torch.stack([scale * aspect, zeros, offset[:, 0]], -1),
        torch.stack([zeros, scale, offset[:, 1]], -1),
    ]
    grid = torch.nn.functional.affine_grid(torch.stack(rows, 1), (count, 3, size, size), align_corners=False)
    chosen = photographs.to(device)[which].float() / 255
    return torch.nn.functional.grid_sample(chosen, grid, padding_mode="reflection", align_corners=False)
