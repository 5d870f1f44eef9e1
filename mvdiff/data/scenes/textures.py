"""Tileable textures from random numbers, and their mip levels.

A texture is an sRGB array [TEXELS TEXELS 3] that repeats over a surface; its first row is the top.
"""

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Rng = np.random.Generator
Image = np.ndarray
Color = np.ndarray

TEXELS = 128
_LEVELS = 8
Y, X = np.mgrid[0:TEXELS, 0:TEXELS] / TEXELS


def to_linear(srgb: np.ndarray | Sequence[float]) -> np.ndarray:
    """IEC 61966-2-1 decoding."""
    srgb = np.asarray(srgb, np.float64)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


@dataclass(frozen=True)
class Atlas:
    """All textures of a scene at all their sizes, as one table of linear texels."""

    texels: Float[Tensor, "t 3"]
    count: int

    @staticmethod
    def of(images: Sequence[Image]) -> "Atlas":
        level = torch.from_numpy(to_linear(np.stack(images)).astype(np.float32)).permute(0, 3, 1, 2)
        levels = [level]
        for _ in range(_LEVELS - 1):
            levels.append(torch.nn.functional.avg_pool2d(levels[-1], 2))
        rows = [level.permute(0, 2, 3, 1).reshape(-1, 3) for level in levels]
        return Atlas(torch.cat(rows), len(images))

    def sample(
        self, material: Int[Tensor, "p"], uv: Float[Tensor, "p 2"], texels_per_pixel: Float[Tensor, "p"]
    ) -> Float[Tensor, "p 3"]:
        """Bilinear, at the mip level whose texels are about as large as the pixel."""
        level = texels_per_pixel.clamp_min(1).log2().round().long().clamp_(0, _LEVELS - 1)
        sizes = TEXELS >> torch.arange(_LEVELS)
        starts = torch.cat([torch.zeros(1, dtype=torch.long), (self.count * sizes**2).cumsum(0)[:-1]])
        size, first = sizes[level], starts[level]
        place = (uv - uv.floor()) * size[:, None] - 0.5
        low = place.floor()
        part = place - low
        low = low.long()
        column = torch.stack([low[:, 0], low[:, 0] + 1], 1) % size[:, None]
        row = torch.stack([low[:, 1], low[:, 1] + 1], 1) % size[:, None]
        row = first[:, None] + (material[:, None] * size[:, None] + row) * size[:, None]
        fx, fy = part[:, :1], part[:, 1:]

        def at(y: int, x: int) -> Float[Tensor, "p 3"]:
            return self.texels.index_select(0, row[:, y] + column[:, x])

        upper = torch.lerp(at(0, 0), at(0, 1), fx)
        return torch.lerp(upper, torch.lerp(at(1, 0), at(1, 1), fx), fy)


def noise(rng: Rng, fall: float = 1.0, stretch: tuple[float, float] = (1, 1), size: int = TEXELS) -> np.ndarray:
    """Tileable random field in [0, 1] whose amplitude spectrum falls with the frequency to the power ``fall``."""
    fy, fx = np.abs(np.fft.fftfreq(size))[:, None] * stretch[0], np.fft.rfftfreq(size)[None] * stretch[1]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = 1
    spectrum = (rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)) * frequency**-fall
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, s=(size, size))
    return np.clip(0.5 + 0.2 * field / max(field.std(), 1e-9), 0, 1)


def tint(rng: Rng, saturation=(0.0, 0.5), value=(0.3, 0.95), warm: float = 0.5) -> Color:
    """A color; ``warm`` is the share of reds to yellows."""
    hue = rng.uniform(0.03, 0.14) if rng.uniform() < warm else rng.uniform()
    return np.array(colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value)))


def _mottled(rng: Rng, amount: float, fall: float = 1.0) -> Image:
    return (1 - amount + 2 * amount * noise(rng, fall))[..., None]


def _cells(rows: int, columns: float, shift: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of a texel's cell, and its distances to the cell's nearest edge across and down, in cells."""
    row = (Y * rows).astype(int) % rows
    x, y = (X + (shift[row] if isinstance(shift, np.ndarray) else shift)) * columns, Y * rows
    number = row * max(1, round(columns)) + x.astype(int) % max(1, round(columns))
    return number, np.minimum(x % 1, 1 - x % 1), np.minimum(y % 1, 1 - y % 1)


def plain(rng: Rng, contrast: float = 0.035, saturation=(0.0, 0.4), value=(0.5, 0.97), warm: float = 0.5) -> Image:
    return tint(rng, saturation, value, warm) * _mottled(rng, contrast, rng.uniform(0.5, 1.6))


def render_coat(rng: Rng) -> Image:
    """Plaster of façades: mostly white to ochre."""
    return plain(rng, 0.05, (0, 0.4), (0.6, 0.97), 0.85)


def planks(rng: Rng) -> Image:
    rows = int(rng.integers(5, 11))
    number, across, down = _cells(rows, 2, rng.uniform(size=rows))
    tone = rng.uniform(0.78, 1.1, 2 * rows)[number] * (0.8 + 0.4 * noise(rng, 1.0, (1, 12)))
    tone = np.where((down < 0.04) | (across < 0.012), tone * 0.6, tone)
    red = rng.uniform(0.35, 0.82)
    green = red * rng.uniform(0.64, 0.86)
    return tone[..., None] * np.array([red, green, green * rng.uniform(0.5, 0.85)])


def tiles(rng: Rng) -> Image:
    count = int(rng.choice([2, 3, 4, 6]))
    number, across, down = _cells(count, count)
    tone = rng.uniform(0.9, 1.06, count * count)[number][..., None] * _mottled(rng, 0.1, 1.2)
    base, other = tint(rng, (0, 0.35)), tint(rng, (0, 0.5), (0.15, 0.9))
    checked = count % 2 == 0 and rng.uniform() < 0.35
    odd = ((number // count + number % count) % 2 == 1) & checked
    colored = np.where(odd[..., None], other, base) * tone
    return np.where((np.minimum(across, down) < 0.03)[..., None], tint(rng, (0, 0.1), (0.4, 0.8)), colored)


def carpet(rng: Rng) -> Image:
    return plain(rng, rng.uniform(0.08, 0.25), (0, 0.6), (0.2, 0.85))


def wallpaper(rng: Rng) -> Image:
    base = tint(rng, (0, 0.4), (0.5, 0.97))
    other = np.clip(base * rng.uniform(0.75, 1.15) + rng.normal(0, 0.04, 3), 0, 1)
    count, kind = int(rng.integers(3, 8)), rng.integers(4)
    wave = np.sin(2 * np.pi * count * X)
    if kind == 0:
        mask = wave > rng.uniform(-0.5, 0.7)
    elif kind == 1:
        mask = wave * np.sin(2 * np.pi * count * Y) > rng.uniform(0.1, 0.6)
    elif kind == 2:
        mask = wave + np.sin(2 * np.pi * count * Y + 3 * np.sin(4 * np.pi * X)) > 0.6
    else:
        shift = 0.5 * ((Y * count).astype(int) % 2)
        mask = np.hypot((X * count + shift) % 1 - 0.5, (Y * count) % 1 - 0.5) < rng.uniform(0.12, 0.35)
    return np.where(mask[..., None], other, base) * _mottled(rng, 0.04)


def bricks(rng: Rng) -> Image:
    rows = 2 * int(rng.integers(4, 7))
    columns = max(2, round(rows / 2.5))
    shift = 0.5 / columns * (np.arange(rows) % 2)
    number, across, down = _cells(rows, columns, shift)
    tone = rng.uniform(0.8, 1.12, rows * columns)[number][..., None] * _mottled(rng, 0.12, 0.8)
    red = np.array([rng.uniform(0.45, 0.7), rng.uniform(0.28, 0.45), rng.uniform(0.2, 0.4)])
    base = red if rng.uniform() < 0.65 else tint(rng, (0, 0.2))
    mortar = ((across < 0.04) | (down < 0.08))[..., None]
    return np.where(mortar, tint(rng, (0, 0.1), (0.5, 0.85)), base * tone)


def concrete(rng: Rng) -> Image:
    return plain(rng, rng.uniform(0.06, 0.16), (0, 0.1), (0.4, 0.75))


def stone(rng: Rng) -> Image:
    """Irregular slabs: Voronoi cells on a torus."""
    center, size = rng.uniform(size=(int(rng.integers(8, 22)), 2)), 0.5
    dx, dy = (np.abs(a[..., None] - center[:, k]) for k, a in ((0, X), (1, Y)))
    distance = np.hypot(np.minimum(dx, 1 - dx), np.minimum(dy, 1 - dy))
    order = np.sort(distance, -1)
    tone = rng.uniform(0.8, 1.1, len(center))[distance.argmin(-1)][..., None] * _mottled(rng, 0.15)
    joint = (order[..., 1] - order[..., 0] < 0.03 * size)[..., None]
    return np.where(joint, tint(rng, (0, 0.15), (0.2, 0.5)), tint(rng, (0, 0.2), (0.4, 0.75)) * tone)


def fabric(rng: Rng) -> Image:
    """Nearly white, to be multiplied with a thing's own colors."""
    return np.full(3, 0.9) * _mottled(rng, rng.uniform(0.1, 0.3), rng.uniform(0.2, 1.2))


def rug(rng: Rng) -> Image:
    edge = np.minimum(np.minimum(X, 1 - X), np.minimum(Y, 1 - Y))
    image = np.ones((TEXELS, TEXELS, 3)) * tint(rng, (0.2, 0.8), (0.2, 0.8))
    for _ in range(rng.integers(1, 4)):
        start = rng.uniform(0, 0.2)
        image[(edge > start) & (edge < start + rng.uniform(0.01, 0.06))] = tint(rng, (0.1, 0.9), (0.1, 0.95))
    count, u, v = rng.integers(2, 7), np.abs(X - 0.5), np.abs(Y - 0.5)
    wave = np.sin(2 * np.pi * count * u) * np.cos(2 * np.pi * count * v) + np.sin(2 * np.pi * count * (u + v))
    image[(wave > rng.uniform(0, 0.8)) & (edge > 0.2)] = tint(rng, (0.1, 0.9), (0.1, 0.95))
    return image * _mottled(rng, 0.15, 0.3)


def books(rng: Rng) -> Image:
    image, x = np.zeros((TEXELS, TEXELS, 3)), 0
    while x < TEXELS:
        wide, gap = int(rng.integers(4, 12)), int(rng.integers(0, TEXELS // 4))
        image[:, x : x + wide] = tint(rng, (0.1, 0.9), (0.1, 0.9), 0.3)
        image[:gap, x : x + wide] = 0.06
        image[:, x] *= 0.4
        if rng.uniform() < 0.5:
            top = int(rng.integers(40, 90))
            image[top : top + int(rng.integers(4, 18)), x + 1 : x + wide - 1] = tint(rng, (0, 0.5), (0.5, 1))
        x += wide
    return image


def painting(rng: Rng) -> Image:
    """A landscape or flat shapes."""
    if rng.uniform() < 0.5:
        return _landscape(rng)
    image = np.ones((TEXELS, TEXELS, 3)) * tint(rng, (0, 0.7))
    for _ in range(rng.integers(3, 12)):
        (x, y), (sx, sy) = rng.uniform(size=2), rng.uniform(0.05, 0.3, 2)
        u, v = np.abs(X - x) / sx, np.abs(Y - y) / sy
        image[np.maximum(u, v) < 1 if rng.uniform() < 0.5 else np.hypot(u, v) < 1] = tint(rng, (0.2, 1), (0.1, 1), 0.2)
    return image


def _landscape(rng: Rng) -> Image:
    down = Y[..., None]
    image = tint(rng, (0.1, 0.6), (0.5, 1), 0.2) * (1 - 0.5 * down) + 0.3 * noise(rng, 1.5)[..., None] * (1 - down)
    for k in range(rng.integers(1, 4)):
        skyline = 0.4 + 0.15 * k + 0.25 * (noise(rng, 1.6)[0] - 0.5)
        hill = tint(rng, (0.2, 0.8), (0.1, 0.7), 0.3) * _mottled(rng, 0.2)
        image = np.where((skyline[None] < Y)[..., None], hill, image)
    return image


def grass(rng: Rng) -> Image:
    base = np.array([rng.uniform(0.2, 0.42), rng.uniform(0.34, 0.55), rng.uniform(0.1, 0.22)])
    return base * _mottled(rng, rng.uniform(0.2, 0.4), rng.uniform(0.2, 0.9))


def soil(rng: Rng) -> Image:
    return tint(rng, (0.15, 0.45), (0.3, 0.65), 1.0) * _mottled(rng, rng.uniform(0.1, 0.3), rng.uniform(0.3, 1.2))


def asphalt(rng: Rng) -> Image:
    return np.array([1, 1, rng.uniform(0.96, 1.05)]) * rng.uniform(0.25, 0.5) * _mottled(rng, 0.15, 0.4)


def roofing(rng: Rng) -> Image:
    rows = 2 * int(rng.integers(4, 8))
    down = (Y * rows) % 1
    bump = np.abs(np.sin(np.pi * rows * (X + 0.5 * ((Y * rows).astype(int) % 2) / rows)))
    red = np.array([rng.uniform(0.35, 0.65), rng.uniform(0.2, 0.35), rng.uniform(0.15, 0.3)])
    base = red if rng.uniform() < 0.6 else tint(rng, (0, 0.2), (0.2, 0.5))
    return base * ((0.65 + 0.35 * down) * (0.75 + 0.25 * bump))[..., None] * _mottled(rng, 0.12)


def pick(rng: Rng, makers: Sequence[Callable[[Rng], Image]], weights: Sequence[float]) -> Image:
    return makers[rng.choice(len(makers), p=weights)](rng)
