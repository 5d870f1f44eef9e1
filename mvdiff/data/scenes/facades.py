"""Houses: façades by a grid of windows with depth, doors, shops, balconies, roofs."""

from dataclasses import dataclass

import numpy as np

from mvdiff.data.scenes import textures as t
from mvdiff.data.scenes.plan import Rect
from mvdiff.data.scenes.soup import AXIS_Y, Hole, SoupBuilder, turned

Rng = np.random.Generator


@dataclass(frozen=True)
class Style:
    """Facade of one house."""

    wall: int
    glass: int
    roof: int
    tone: np.ndarray
    trim: np.ndarray
    storey: float
    window: tuple[float, float]
    """Width and height."""
    bay: float
    """Distance between windows."""
    depth: float
    """Depth of the recess."""
    balconies: float
    shop: bool
    pitched: bool

    @staticmethod
    def draw(builder: SoupBuilder, rng: Rng) -> "Style":
        walls = [t.render_coat, t.bricks, t.stone, t.concrete]
        wall = builder.texture(t.pick(rng, walls, [0.55, 0.3, 0.07, 0.08]))
        glass = builder.texture(_glass(rng))
        tone = np.clip(1 - np.abs(rng.normal(0, 0.1, 3)), 0.5, 1)
        trim = t.tint(rng, (0, 0.3), (0.5, 1)) if rng.uniform() < 0.7 else t.tint(rng, (0.2, 0.8), (0.2, 0.6))
        size = (rng.uniform(0.8, 1.5), rng.uniform(1.1, 1.7))
        return Style(
            wall, glass, builder.texture(t.roofing(rng)), tone, trim, rng.uniform(2.7, 3.4), size,
            size[0] + rng.uniform(0.7, 1.6), rng.uniform(0.08, 0.22), rng.choice([0.0, 0.0, 0.3, 0.8]),
            bool(rng.uniform() < 0.3), bool(rng.uniform() < 0.65),
        )  # fmt: skip


def _glass(rng: Rng) -> t.Image:
    """A dark pane that mirrors the sky, with curtains by chance."""
    sky = np.array([rng.uniform(0.5, 0.8), rng.uniform(0.75, 0.9), 1.0]) * rng.uniform(0.3, 0.65)
    image = sky * (1.15 - 0.9 * t.Y)[..., None] * (0.8 + 0.4 * t.noise(rng, 1.6))[..., None]
    if rng.uniform() < 0.5:
        image = np.where(
            (np.abs(t.X - 0.5) > rng.uniform(0.2, 0.4))[..., None], t.tint(rng, (0, 0.3), (0.5, 0.9)), image
        )
    return image


def house(builder: SoupBuilder, rng: Rng, style: Style, front: tuple[float, float], yaw: float, width: float,
          deep: float, storeys: int, floor: float = 0.0) -> Rect:  # fmt: skip
    """A house whose façade's middle stands at ``front`` (x, z) and looks along ``yaw``; returns its ground."""
    right, ahead = turned(yaw)
    foot = np.array([front[0], floor, front[1]])
    tall = style.storey * storeys
    _facade(builder, rng, style, foot - right * width / 2, right, width, storeys)
    center = foot - ahead * deep / 2
    builder.box(center, (width, tall, deep), style.tone, yaw, 1.2, style.wall, 2.4, skip=("+z", "-y", "+y"))
    if style.pitched:
        _gable(builder, rng, style, center + AXIS_Y * tall, right, ahead, width, deep)
    else:
        builder.box(center + AXIS_Y * tall, (width + 0.3, 0.3, deep + 0.3), style.trim * 0.9, yaw, 1.2, skip=())
    ends = np.stack([center + sx * right * width / 2 + sz * ahead * deep / 2 for sx in (-1, 1) for sz in (-1, 1)])
    return Rect(ends[:, 0].min(), ends[:, 0].max(), ends[:, 2].min(), ends[:, 2].max())


def _facade(
    builder: SoupBuilder, rng: Rng, style: Style, corner: np.ndarray, along: np.ndarray, width: float, storeys: int
) -> None:
    tall, (w, h) = style.storey * storeys, style.window
    count = max(1, int((width - 0.5) / style.bay))
    margin = (width - (count - 1) * style.bay) / 2
    door, holes = int(rng.integers(count)), []
    for k in range(count):
        u = margin + k * style.bay
        for floor in range(storeys):
            base = floor * style.storey
            if floor == 0 and k == door:
                holes.append((u - 0.5, u + 0.5, 0.0, 2.15))
            elif floor == 0 and style.shop:
                holes.append((u - style.bay * 0.42, u + style.bay * 0.42, 0.4, 2.4))
            else:
                sill = base + (style.storey - h) * 0.55
                holes.append((u - w / 2, u + w / 2, sill, sill + h))
    period = 1.6
    builder.panel(corner, along, AXIS_Y, width, tall, 1.2, style.tone, style.wall, period, holes)
    paint = t.tint(rng, (0.1, 0.8), (0.15, 0.7), 0.4)
    for index, hole in enumerate(holes):
        is_door = hole[2] == 0.0
        _opening(builder, style, corner, along, hole, paint if is_door else None)
        if hole[2] > style.storey and rng.uniform() < style.balconies * 0.6:
            _balcony(builder, style, corner, along, hole)
        elif not is_door and index % 2 == 0:
            _sill(builder, style, corner, along, hole)
    if style.shop:
        _awning(builder, rng, corner, along, width)


def _opening(
    builder: SoupBuilder, style: Style, corner: np.ndarray, along: np.ndarray, hole: Hole, paint: np.ndarray | None
) -> None:
    """Reveals and, in the depth of the wall, the pane with its bar, or a door."""
    left, right, low, high = hole
    out = np.cross(along, AXIS_Y)
    inner = corner + along * left + AXIS_Y * low - out * style.depth
    width, tall, d = right - left, high - low, style.depth
    if paint is None:
        builder.panel(inner, along, AXIS_Y, width, tall, 2.0, material=style.glass, fit=True)
        bar = 0.06
        middle = inner + along * (width - bar) / 2 + out * 0.02
        builder.panel(middle, along, AXIS_Y, bar, tall, 2.0, style.trim)
        builder.panel(inner + AXIS_Y * tall * 0.62 + out * 0.02, along, AXIS_Y, width, bar, 2.0, style.trim)
    else:
        builder.panel(inner, along, AXIS_Y, width, tall, 2.0, paint)
    builder.panel(inner, out, AXIS_Y, d, tall, 2.0, style.trim)
    builder.panel(inner + along * width + out * d, -out, AXIS_Y, d, tall, 2.0, style.trim)
    builder.panel(inner + AXIS_Y * tall, along, out, width, d, 2.0, style.trim)
    builder.panel(inner + out * d, along, -out, width, d, 2.0, style.trim)


def _sill(builder: SoupBuilder, style: Style, corner: np.ndarray, along: np.ndarray, hole: Hole) -> None:
    left, right, low, _ = hole
    out = np.cross(along, AXIS_Y)
    at = corner + along * (left - 0.08) + AXIS_Y * low + out * 0.1
    builder.panel(at - AXIS_Y * 0.08, along, AXIS_Y, right - left + 0.16, 0.08, 2.0, style.trim)
    builder.panel(at, along, -out, right - left + 0.16, 0.1, 2.0, style.trim)


def _balcony(builder: SoupBuilder, style: Style, corner: np.ndarray, along: np.ndarray, hole: Hole) -> None:
    left, right, low, _ = hole
    out, deep = np.cross(along, AXIS_Y), 0.9
    yaw = float(np.arctan2(out[0], out[2]))
    middle = corner + along * (left + right) / 2 + AXIS_Y * (low - 0.5)
    width = right - left + 0.6
    builder.box(middle + out * deep / 2, (width, 0.14, deep), style.trim * 0.9, yaw, 1.0, skip=())
    builder.box(middle + out * deep + AXIS_Y * 0.95, (width, 0.06, 0.06), style.trim * 0.6, yaw, 2.0, skip=())
    for u in np.arange(-width / 2, width / 2 + 0.01, 0.28):
        builder.box(middle + out * deep + along * u + AXIS_Y * 0.14, (0.03, 0.84, 0.03), style.trim * 0.6, yaw, 2.0)
    for side in (-1, 1):
        at = middle + out * deep / 2 + along * side * width / 2 + AXIS_Y * 0.95
        builder.box(at, (0.06, 0.06, deep), style.trim * 0.6, yaw, 2.0, skip=())


def _awning(builder: SoupBuilder, rng: Rng, corner: np.ndarray, along: np.ndarray, width: float) -> None:
    """A sloped cloth over the shop's windows, a sign above."""
    out, color = np.cross(along, AXIS_Y), t.tint(rng, (0.3, 0.9), (0.3, 0.9), 0.4)
    slope = out * 0.9 - AXIS_Y * 0.45
    long = float(np.linalg.norm(slope))
    top = corner + AXIS_Y * 2.75 + along * 0.2 + out * 0.02
    cloth = builder.texture(np.where((np.sin(2 * np.pi * 4 * t.X) > 0)[..., None], color, np.ones(3) * 0.95))
    builder.panel(top + slope, along, -slope / long, width - 0.4, long, 0.8, material=cloth, period=1.2)
    sign = corner + AXIS_Y * 2.8 + along * width * 0.15 + out * 0.06
    builder.panel(sign, along, AXIS_Y, width * 0.7, 0.45, 1.0, t.tint(rng, (0.2, 0.9), (0.2, 0.9), 0.3))


def _gable(builder: SoupBuilder, rng: Rng, style: Style, eaves: np.ndarray, right: np.ndarray, ahead: np.ndarray,
           width: float, deep: float) -> None:  # fmt: skip
    """Two slopes along the façade, and triangles at both ends."""
    rise, over = rng.uniform(0.5, 0.9) * deep / 2, 0.4
    long = float(np.hypot(rise, deep / 2))
    for side in (1, -1):
        up = (AXIS_Y * rise - ahead * side * deep / 2) / long
        along = right * side
        start = eaves - along * (width / 2 + over) + ahead * side * deep / 2 - up * over
        builder.panel(start, along, up, width + 2 * over, long + over, 1.2, material=style.roof, period=1.8)
        ends = [eaves + right * side * width / 2 + ahead * a * deep / 2 for a in (-1, 1)]
        ridge = eaves + right * side * width / 2 + AXIS_Y * rise
        points = np.stack([ends[1], ends[0], ridge] if side > 0 else [ends[0], ends[1], ridge])
        uv = np.stack([points @ ahead, -points[:, 1]], -1) / 2.4
        builder.add(points, np.array([[0, 1, 2]]), right * side, style.tone, uv, style.wall, True)
    if rng.uniform() < 0.5:
        at = eaves + right * width * rng.uniform(-0.3, 0.3) + AXIS_Y * rise * 0.4
        builder.box(at, (0.6, rise * 0.6 + 0.9, 0.6), (0.5, 0.32, 0.26), step=1.5)
