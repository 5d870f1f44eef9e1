"""Pictures of nothing that the model knows: noise, pages of text, skies and landscapes, behind masks of any kind."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

Rng = np.random.Generator
Picture = Float[np.ndarray, "s s 3"]


def noise(rng: Rng, size: int) -> Picture:
    """White or smooth, colored or gray."""
    channels = rng.choice([1, 3])
    field = rng.normal(size=(size, size, channels))
    sigma = float(rng.choice([0.0, 1.0, 4.0, 16.0])) * size / 256
    field = gaussian_filter(field, (sigma, sigma, 0))
    return np.broadcast_to(0.5 + 0.25 * field / max(field.std(), 1e-9), (size, size, 3)).clip(0, 1)


def text(rng: Rng, size: int) -> Picture:
    """A page of random words."""
    ink, paper = (0, 255) if rng.uniform() < 0.8 else (255, 30)
    page = Image.new("L", (size, size), paper)
    draw, height = ImageDraw.Draw(page), int(rng.integers(size // 24, size // 8))
    font = ImageFont.load_default(height)
    for y in range(height // 2, size, int(height * 1.4)):
        words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(2, 9))) for _ in range(30)]
        draw.text((height // 2, y), " ".join(words), fill=ink, font=font)
    return np.repeat(np.asarray(page, np.float64)[..., None] / 255, 3, 2)


def gradient(rng: Rng, size: int) -> Picture:
    """From one color to another, in any direction."""
    y, x = np.mgrid[:size, :size] / size
    angle, (a, b) = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1, (2, 3))
    t = np.cos(angle) * x + np.sin(angle) * y
    t = (t - t.min()) / (t.max() - t.min())
    return a + (b - a) * t[..., None]


def landscape(rng: Rng, size: int) -> Picture:
    """A sky with clouds over ranges of hills, each a shade nearer."""
    y, x = np.mgrid[:size, :size] / size
    clouds = gaussian_filter(rng.normal(size=(size, size)), (size / 24, size / 8))
    clouds = (clouds / clouds.std()).clip(0, 2)[..., None] * 0.15
    picture = np.array([0.35, 0.6, 0.9]) * (0.7 + 0.3 * y[..., None]) + clouds
    for depth in range(int(rng.integers(2, 5))):
        waves = sum(rng.normal() * 0.05 / f * np.sin(2 * np.pi * f * x[0] + rng.uniform(0, 7)) for f in (1, 2, 4, 9))
        ground = y > 0.4 + 0.15 * depth + waves
        grass = gaussian_filter(rng.normal(size=(size, size)), size / 200)[..., None] * 0.15
        color = np.array([0.2, 0.35, 0.15]) * rng.uniform(0.6, 1.6, 3)
        picture = np.where(ground[..., None], color + grass, picture)
    return picture.clip(0, 1)


KINDS: dict[str, Callable[[Rng, int], Picture]] = {
    "noise": noise,
    "text": text,
    "gradient": gradient,
    "landscape": landscape,
}


def non_object(seed: int, size: int = 256) -> tuple[str, Image.Image]:
    """Kind and RGBA picture; the whole frame, a rectangle or a blob of it is opaque."""
    rng = np.random.default_rng([seed, 11])
    kind = list(KINDS)[seed % len(KINDS)]
    picture = KINDS[kind](rng, size)
    alpha = np.zeros((size, size))
    shape = int(rng.integers(3))
    if shape == 0:
        alpha[:] = 1
    elif shape == 1:
        low, high = rng.uniform(0.05, 0.25, 2) * size, rng.uniform(0.75, 0.95, 2) * size
        alpha[int(low[0]) : int(high[0]), int(low[1]) : int(high[1])] = 1
    else:
        y, x = np.mgrid[:size, :size] / size - 0.5
        field = gaussian_filter(rng.normal(size=(size, size)), size / 12)
        alpha = (field / field.std() * 0.12 + 0.35 - np.hypot(x, y) > 0).astype(np.float64)
    rgba = np.concatenate([picture, alpha[..., None]], 2)
    return kind, Image.fromarray(np.rint(rgba * 255).astype(np.uint8))
