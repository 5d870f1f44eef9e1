"""Skies behind windows and above streets."""

import numpy as np

from mvdiff.data.scenes.textures import noise, tint

Rng = np.random.Generator
_ROWS, _COLUMNS = 128, 512


def draw_sky(rng: Rng, sun: np.ndarray | None = None) -> np.ndarray:
    """Equirectangular sRGB [h w 3]: a gradient with clouds, the sun's glow, and far ground below the horizon."""
    up = np.linspace(np.pi / 2, -np.pi / 2, _ROWS)[:, None]
    around = (np.arange(_COLUMNS) + 0.5) / _COLUMNS * 2 * np.pi - np.pi
    haze = np.ones(3) * rng.uniform(0.8, 1)
    blue = np.array([rng.uniform(0.25, 0.5), rng.uniform(0.5, 0.7), rng.uniform(0.8, 1.0)])
    if rng.uniform() < 0.25:  # overcast
        blue = haze * rng.uniform(0.7, 0.95)
    high = np.clip(np.sin(np.clip(up, 0, None)) ** rng.uniform(0.4, 0.8), 0, 1)[..., None]
    sky = np.repeat(haze * (1 - high) + blue * high, _COLUMNS, 1)
    cloud = np.clip((_clouds(rng, up, around) - rng.uniform(0.5, 0.75)) * 3, 0, 0.8)[..., None]
    sky = sky + (1 - sky) * cloud * np.clip(up[..., None] * 6, 0, 1)
    if sun is not None:
        toward = np.stack([np.sin(around) * np.cos(up), np.broadcast_to(np.sin(up), (_ROWS, _COLUMNS)),
                           -np.cos(around) * np.cos(up)], -1) @ sun  # fmt: skip
        glow = np.exp((toward - 1) * 30) * 0.5 + (toward > 0.9992)
        sky = sky + (1 - sky) * np.clip(glow, 0, 1)[..., None]
    green = np.array([rng.uniform(0.25, 0.5), rng.uniform(0.35, 0.5), rng.uniform(0.2, 0.35)])
    land = green if rng.uniform() < 0.7 else tint(rng, (0.1, 0.4), (0.4, 0.65), 1.0)
    ground = land * (0.8 + 0.4 * _field(rng, 1.0))[..., None]
    far = np.exp(-np.clip(-up, 0, None) * 6)[..., None] * 0.7  # haze towards the horizon
    ground = ground * (1 - far) + haze * 0.9 * far
    skyline = rng.uniform(0, 0.12) * (_field(rng, 1.6)[:1] + np.zeros((_ROWS, 1)) - 0.3)
    return np.clip(np.where((up < skyline)[..., None], ground, sky), 0, 1)


def _clouds(rng: Rng, up: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Noise on a level ceiling, as seen from below it."""
    field, reach = noise(rng, 1.5), rng.uniform(0.12, 0.3) / np.maximum(np.sin(up) + 0.08, 0.08) * np.cos(up)
    x, z = (reach * np.sin(around)) % 1 * len(field), (reach * np.cos(around)) % 1 * len(field)
    left, top = x.astype(int) % len(field), z.astype(int) % len(field)
    right, below, fx, fz = (left + 1) % len(field), (top + 1) % len(field), x % 1, z % 1
    upper = field[top, left] * (1 - fx) + field[top, right] * fx
    return upper * (1 - fz) + (field[below, left] * (1 - fx) + field[below, right] * fx) * fz


def _field(rng: Rng, fall: float) -> np.ndarray:
    """Noise that closes around the horizon, twice as wide as high."""
    small = np.tile(noise(rng, fall, size=_ROWS), (1, 2))
    at = np.arange(_COLUMNS) * small.shape[1] / _COLUMNS
    left = at.astype(int)
    part = at - left
    return small[:, left] * (1 - part) + small[:, (left + 1) % small.shape[1]] * part
