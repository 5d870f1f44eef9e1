"""Colours and patterns: a paint gives sRGB for points of a part."""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Color = np.ndarray
"""sRGB [3] in [0, 1]."""


@dataclass(frozen=True)
class Paint:
    """``color(p [k 3] in the part's own box -1..1, uv [k 2]) -> [k 3]``; a sharp paint colors whole faces."""

    color: Callable[[np.ndarray, np.ndarray], np.ndarray]
    sharp: bool = False


WOODS = ("c89b62", "8b5a2b", "5b3a1e", "d9b382", "a0522d", "6f4e37", "e3c79b")
METALS = ("b9bcc0", "8c9196", "d4af37", "b87333", "5c6066", "e2e4e6")
LEAVES = ("3f7d2c", "5fa33b", "2f5d31", "86b049", "4a7856", "a3b85a")
STONES = ("9a948a", "c9c1b3", "75706a", "b5835a", "d8d2c4", "8d99a0")
BRICKS = ("a8553a", "c47a55", "e0c9a6", "f0e6d2", "b9b4aa", "86929c", "d9a066", "7b3f2e")
SKINS = ("f1c9a5", "e0ac7e", "c68642", "8d5524", "5c3a21", "ffdbc0")
FURS = ("c68e4f", "6b4a2f", "3a2f2a", "e8dcc8", "8f8f8f", "d9812e", "222222", "b5651d", "f4efe6")
DARKS = ("1b1b1d", "2b2d33", "3a3a3a", "26221e", "14213d")
LIGHTS = ("f7f5f0", "efe7d6", "ffffff", "e6eaf0", "f4ecd8")
EARTHS = ("c1693c", "a45a32", "d8b08c", "6e4b3a", "e4d5b7", "94684a")


def hexed(text: str) -> Color:
    return np.array([int(text[k : k + 2], 16) for k in (0, 2, 4)]) / 255


class Palette:
    """Random colors that go together, for one object."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.hue = rng.uniform()
        self.step = rng.choice([1 / 12, 1 / 3, 1 / 2, 5 / 12])
        self.vivid = rng.choice([0.35, 0.6, 0.85])
        self.main = self.shade(0)
        self.second = self.shade(1)
        self.accent = self.shade(2)
        self.dark = self.pick(DARKS)
        self.light = self.pick(LIGHTS)

    def shade(self, step: int) -> Color:
        """A color ``step`` steps round the wheel from the main one."""
        rng = self.rng
        hue = (self.hue + step * self.step + rng.normal() * 0.02) % 1
        saturation = np.clip(self.vivid + rng.normal() * 0.12, 0.05, 1)
        return np.array(colorsys.hsv_to_rgb(hue, saturation, rng.uniform(0.4, 1)))

    def any(self) -> Color:
        if self.rng.uniform() < 0.2:
            return np.full(3, self.rng.uniform(0.05, 1))
        return np.array(colorsys.hsv_to_rgb(self.rng.uniform(), self.rng.uniform(0.2, 1), self.rng.uniform(0.3, 1)))

    def pick(self, names: tuple[str, ...]) -> Color:
        return vary(hexed(names[self.rng.integers(len(names))]), self.rng)


def vary(color: Color, rng: np.random.Generator, amount: float = 0.05) -> Color:
    return (color + rng.normal() * amount + rng.normal(size=3) * amount / 3).clip(0, 1)


def solid(color: Color) -> Paint:
    return Paint(lambda p, uv: np.broadcast_to(color, p.shape))


def gradient(low: Color, high: Color, axis: int = 1) -> Paint:
    def color(p: np.ndarray, uv: np.ndarray) -> np.ndarray:
        t = (p[:, axis : axis + 1] + 1) / 2
        return low + (high - low) * t

    return Paint(color)


def choose(where: Callable[[np.ndarray, np.ndarray], np.ndarray], *colors: Color) -> Paint:
    """Whole faces in the color whose number ``where(p, uv)`` gives."""
    table = np.stack(colors)
    return Paint(lambda p, uv: table[np.asarray(where(p, uv)).astype(int) % len(table)], sharp=True)


def stripes(a: Color, b: Color, count: float | np.integer = 5, axis: int = 1, width: float = 0.5) -> Paint:
    """Bands across one axis of the part's box."""
    return choose(lambda p, uv: ((p[:, axis] * 0.4999 + 0.5) * count) % 1 >= width, a, b)


def around(a: Color, b: Color, count: int | np.integer = 6) -> Paint:
    """Sectors around a turned surface."""
    return choose(lambda p, uv: (uv[:, 0] * count * 2).astype(int) % 2, a, b)


def checks(a: Color, b: Color, count: int | np.integer = 6) -> Paint:
    return choose(lambda p, uv: np.floor(p * 0.4999 * count).sum(1) % 2, a, b)


def two_tone(low: Color, high: Color, level: float = 0.0, axis: int = 1) -> Paint:
    return choose(lambda p, uv: p[:, axis] > level, low, high)


def band(body: Color, label: Color, low: float = -0.3, high: float = 0.4, mark: Color | None = None) -> Paint:
    """A label round the body, with a mark on its front."""

    def where(p: np.ndarray, uv: np.ndarray) -> np.ndarray:
        inside = (p[:, 1] > low) & (p[:, 1] < high)
        center = (low + high) / 2
        marked = (np.abs(p[:, 1] - center) < (high - low) * 0.3) & (np.abs(p[:, 0]) < 0.45) & (p[:, 2] > 0)
        return np.where(inside, np.where(marked, 2, 1), 0)

    return choose(where, body, label, label if mark is None else mark)


def spots(
    rng: np.random.Generator, ground: Color, spot: Color, count: int | np.integer = 14, size: float = 0.35
) -> Paint:
    center = rng.normal(size=(count, 3))
    center /= np.linalg.norm(center, axis=1, keepdims=True)
    reach = size * rng.uniform(0.6, 1.2, count)

    def where(p: np.ndarray, uv: np.ndarray) -> np.ndarray:
        unit = p / np.linalg.norm(p, axis=1, keepdims=True).clip(1e-6)
        return (np.arccos((unit @ center.T).clip(-1, 1)) < reach).any(1)

    return choose(where, ground, spot)


def mottled(rng: np.random.Generator, a: Color, b: Color, frequency: float = 3.0, sharp: bool = False) -> Paint:
    """Smooth random patches; ``sharp`` like a cow's."""
    waves = rng.normal(size=(5, 3)) * frequency
    phase = rng.uniform(0, 6.28, 5)

    def amount(p: np.ndarray) -> np.ndarray:
        return np.sin(p @ waves.T + phase).sum(1) / 3

    if sharp:
        return choose(lambda p, uv: amount(p) > 0.2, a, b)
    return Paint(lambda p, uv: a + (b - a) * (0.5 + 0.5 * amount(p)).clip(0, 1)[:, None])


def grain(rng: np.random.Generator, color: Color, axis: int = 0) -> Paint:
    """Wood: rings stretched along ``axis``."""
    dark = color * rng.uniform(0.6, 0.85)
    stretch = np.full(3, rng.uniform(5, 11))
    stretch[axis] = 1.0
    direction, phase = rng.normal(size=3), rng.uniform(0, 6.28)

    def paint(p: np.ndarray, uv: np.ndarray) -> np.ndarray:
        t = np.sin(p * stretch @ direction + phase + np.sin(p[:, axis] * 3))
        return color + (dark - color) * (0.5 + 0.5 * t)[:, None]

    return Paint(paint)


def glazed(rng: np.random.Generator, palette: Palette) -> Paint:
    """Any of the patterns, in the palette's colors: for surfaces that may look like anything."""
    a, b = palette.main, (palette.second, palette.light, palette.accent, palette.dark)[rng.integers(4)]
    makers = (
        lambda: solid(a),
        lambda: solid(palette.light),
        lambda: gradient(a, b),
        lambda: stripes(a, b, rng.integers(2, 8), 1, rng.uniform(0.3, 0.7)),
        lambda: around(a, b, rng.integers(3, 9)),
        lambda: checks(a, b, rng.integers(4, 9)),
        lambda: two_tone(a, b, rng.uniform(-0.5, 0.5)),
        lambda: band(a, b, -rng.uniform(0.1, 0.6), rng.uniform(0.1, 0.6), palette.accent),
        lambda: spots(rng, a, b, rng.integers(6, 20), rng.uniform(0.15, 0.4)),
        lambda: mottled(rng, a, b, rng.uniform(1.5, 4), bool(rng.integers(2))),
    )
    return makers[rng.integers(len(makers))]()


def wood(rng: np.random.Generator, palette: Palette, axis: int = 0) -> Paint:
    return grain(rng, palette.pick(WOODS), axis)
