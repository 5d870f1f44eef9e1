"""Shared by all indoor grammars: shells of rooms, lamps, daylight."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvdiff.data.scenes import fixtures
from mvdiff.data.scenes import textures as t
from mvdiff.data.scenes.furnish import Room
from mvdiff.data.scenes.light import Lighting
from mvdiff.data.scenes.plan import Wall
from mvdiff.data.scenes.scene import Lamp, Sun
from mvdiff.data.scenes.soup import AXIS_X, AXIS_Y, AXIS_Z, Hole, SoupBuilder, yaw_of

Rng = np.random.Generator
#: Triangles of a floor, so that contact shadows show; of other surfaces.
_FLOOR_STEP, _STEP = 0.14, 0.28
#: Walls reach a little into each other, the floor and the ceiling: rays would slip through where they only touch.
_OVERLAP = 0.005


@dataclass(frozen=True)
class Finish:
    """Materials of a room: numbers of textures and their periods in meters."""

    floor: int
    wall: int
    accent: int
    ceiling: int
    floor_period: float
    wall_period: float
    trim: np.ndarray

    @staticmethod
    def draw(builder: SoupBuilder, rng: Rng) -> "Finish":
        floor = t.pick(
            rng, [t.planks, t.tiles, t.carpet, t.plain, t.stone, t.concrete], [0.4, 0.2, 0.18, 0.08, 0.06, 0.08]
        )
        kinds = [t.plain, t.wallpaper, t.bricks, t.concrete, t.planks]
        wall = t.pick(rng, kinds, [0.58, 0.22, 0.08, 0.07, 0.05])
        accent = t.pick(rng, kinds, [0.4, 0.3, 0.12, 0.08, 0.1]) if rng.uniform() < 0.35 else wall
        trim = t.tint(rng, (0, 0.2), (0.6, 1)) if rng.uniform() < 0.7 else t.tint(rng, (0.2, 0.6), (0.15, 0.6))
        images = (floor, wall, accent, t.plain(rng, 0.04, (0, 0.12), (0.78, 1)))
        numbers = [builder.texture(image) for image in images]
        return Finish(*numbers, rng.uniform(1.0, 2.2), rng.uniform(0.8, 1.6), trim)


def shell(builder: SoupBuilder, rng: Rng, room: Room, finish: Finish) -> None:
    """Floor, ceiling, walls with their holes, skirting, sometimes beams."""
    r, h = room.rect, room.height
    builder.panel(np.array([r.x0, 0, r.z1]), AXIS_X, -AXIS_Z, r.width, r.depth, _FLOOR_STEP, material=finish.floor,
                  period=finish.floor_period)  # fmt: skip
    builder.panel(np.array([r.x0, h, r.z0]), AXIS_X, AXIS_Z, r.width, r.depth, _STEP, material=finish.ceiling, period=2)
    accent, skirted = rng.integers(4), rng.uniform() < 0.8
    for k, wall in enumerate(room.walls.values()):
        material = finish.accent if k == accent else finish.wall
        holes = [(a + _OVERLAP, b + _OVERLAP, low + _OVERLAP, high + _OVERLAP) for a, b, low, high in wall.holes]
        holes = [(a, b, 0.0 if low < 2 * _OVERLAP else low, high) for a, b, low, high in holes]
        builder.panel(wall.at(-_OVERLAP, -_OVERLAP), wall.along, AXIS_Y, wall.length + 2 * _OVERLAP, h + 2 * _OVERLAP,
                      _STEP, material=material, period=finish.wall_period, holes=holes)  # fmt: skip
        if skirted:
            fixtures.skirting(builder, wall, finish.trim)
    if rng.uniform() < 0.12:
        _beams(builder, rng, room)


def _beams(builder: SoupBuilder, rng: Rng, room: Room) -> None:
    r, color, size = room.rect, t.tint(rng, (0.3, 0.6), (0.2, 0.6), 1.0), rng.uniform(0.1, 0.2)
    for z in np.arange(r.z0 + 0.5, r.z1 - 0.3, rng.uniform(0.7, 1.2)):
        base = ((r.x0 + r.x1) / 2, room.height - size, z)
        builder.box(base, (r.width, size, size * 0.8), color, skip=("+y", "+x", "-x"))


def ceiling_lamp(builder: SoupBuilder, rng: Rng, room: Room, x: float, z: float) -> Lamp:
    """A glowing box, disc or globe under the ceiling, with the light that it gives."""
    h, kind, side = room.height, rng.integers(3), rng.uniform(0.15, 0.4)
    drop = rng.uniform(0.2, 0.6) if kind else 0.06
    glow = np.array([1, rng.uniform(0.9, 1), rng.uniform(0.75, 0.95)])
    tall = min(side * 0.6, drop)
    builder.box((x, h - drop, z), (side, tall, side), glow, rng.uniform(0, 1.5), skip=(), glowing=True)
    if kind:
        builder.box((x, h - drop + tall, z), (0.02, drop - tall, 0.02), (0.1, 0.1, 0.1))
    warm = np.array([1.0, rng.uniform(0.8, 0.98), rng.uniform(0.6, 0.92)])
    return Lamp(np.array([x, h - drop - 0.12, z]), warm * rng.uniform(0.5, 1.7))


def lamps_of(builder: SoupBuilder, rng: Rng, room: Room, chance: float = 0.85) -> list[Lamp]:
    """None, one or, in long rooms, several in a row."""
    if rng.uniform() > chance:
        return []
    r, lamps = room.rect, []
    count = max(1, round(max(r.width, r.depth) / 3.6))
    for k in range(count):
        share = (k + 0.5) / count + rng.uniform(-0.08, 0.08)
        x, z = (share, rng.uniform(0.42, 0.58)) if r.width > r.depth else (rng.uniform(0.42, 0.58), share)
        lamps.append(ceiling_lamp(builder, rng, room, r.x0 + x * r.width, r.z0 + z * r.depth))
    return lamps


def daylight(rng: Rng, windows: Sequence[tuple[Wall, Hole]]) -> list[Lamp]:
    """Windows as lamps that shine inwards."""
    cool = np.array([rng.uniform(0.85, 1.0), rng.uniform(0.92, 1.0), 1.05])
    lamps = []
    for wall, (left, right, bottom, top) in windows:
        power = rng.uniform(0.5, 1.1) * (right - left) * (top - bottom) / 2
        for share in (0.3, 0.7):
            at = wall.at(left + (right - left) * share, (bottom + top) / 2, -0.05)
            lamps.append(Lamp(at, cool * power, wall.normal))
    return lamps


def lighting_of(
    rng: Rng, windows: Sequence[tuple[Wall, Hole]], lamps: Sequence[Lamp], rise: tuple[float, float]
) -> Lighting:
    """Bounce, lamps, windows and, through one of these, perhaps the sun."""
    sun = None
    if windows and rng.uniform() < 0.6:
        wall = windows[int(rng.integers(len(windows)))][0]
        angle, up = yaw_of(-wall.normal) + rng.uniform(-0.9, 0.9), rng.uniform(rise[0] * 0.6, min(rise[1], 0.95))
        direction = np.array([np.sin(angle) * np.cos(up), np.sin(up), np.cos(angle) * np.cos(up)])
        warm = np.array([1.0, rng.uniform(0.8, 0.98), rng.uniform(0.65, 0.92)])
        sun = Sun(direction, warm * rng.uniform(0.6, 1.6))
    ambient = np.array([1.0, 0.97, 0.93]) * rng.uniform(0.15, 0.4)
    brightness = rng.uniform(0.42, 0.72)
    return Lighting(ambient, 0.9, [*lamps, *daylight(rng, windows)], sun, brightness=brightness)
