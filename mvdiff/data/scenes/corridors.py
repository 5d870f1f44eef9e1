"""Corridors whose junction lies behind the photographer."""

from collections.abc import Sequence

import numpy as np

from mvdiff.data.procedural.hidden import Distribution, HiddenAttribute
from mvdiff.data.scenes import fixtures
from mvdiff.data.scenes.draft import Dice, Draft, flat_ground
from mvdiff.data.scenes.furnish import Furnisher, Room
from mvdiff.data.scenes.interior import Finish, ceiling_lamp, shell
from mvdiff.data.scenes.light import Lighting
from mvdiff.data.scenes.plan import Link, Rect, walls_of
from mvdiff.data.scenes.scene import Lamp, Viewpoint
from mvdiff.data.scenes.sky import draw_sky
from mvdiff.data.scenes.soup import SoupBuilder

#: The form of the junction, and how often: straight on, a turn to one side, to both sides, all ways.
JUNCTION = Distribution((("I", 0.4), ("L", 0.25), ("T", 0.2), ("X", 0.15)))
#: Meters from the photographer's zone to the junction: lamps behind it light nothing before it.
_APART = 1.4


def corridor(dice: Dice) -> Draft:
    """A corridor along z, doors on both sides; the photo looks along -Z, the junction begins behind it at z = 0."""
    rng, builder = dice.seen, SoupBuilder()
    width, height = rng.uniform(*dice.ranges.corridor_width), rng.uniform(*dice.ranges.room_height)
    length, finish = rng.uniform(6, 14), Finish.draw(builder, rng)
    value = JUNCTION.sample(dice.hidden) if dice.fixed is None else dice.fixed
    left = bool(dice.hidden.uniform() < 0.5)
    rects, links = _plan(width, length, height, value, left, dice.hidden)
    rooms = [Room(rect, walls_of(rect, height, links), height) for rect in rects]
    main = rooms[0]
    _doors(builder, rng, main, length)
    furnisher = Furnisher(builder, rng, dice.library)
    main.keep.append(Rect(-0.45, 0.45, -length, 0) if width > 1.9 else main.rect)
    main.keep.append(Rect(-width, width, -3.2, 0))
    furnisher.furnish(main, ["front", "left", "right"], "hall", 0.6)
    lamps = _lamps(builder, rng, main, length)
    skin = np.random.default_rng(rng.integers(2**63))
    shell(builder, skin, main, finish)
    for room in rooms[1:]:
        shell(builder, np.random.default_rng(7), room, finish)
        lamps += _hidden_lamps(builder, dice.hidden, room)
    lighting = Lighting(np.array([1.0, 0.97, 0.93]) * rng.uniform(0.2, 0.4), 0.9, lamps, None, -_APART - 1.0,
                        rng.uniform(0.42, 0.68))  # fmt: skip
    viewpoint = Viewpoint((-width * 0.2, -_APART - 0.6), (width * 0.2, -_APART), 10.0)
    used = [rect for room in rooms for rect in room.used]
    ground = flat_ground(rects, used, links)
    hidden = HiddenAttribute("junction", "choice", value, JUNCTION)
    return Draft(builder, ground, lighting, draw_sky(rng), False, viewpoint, hidden)


def _plan(
    width: float, length: float, height: float, value: str, left: bool, rng: np.random.Generator
) -> tuple[list[Rect], list[Link]]:
    """The corridor, then the square of the junction, then its branches; all openings as wide as the corridor."""
    half, reach = width / 2, rng.uniform(3.5, 8.0)
    square = Rect(-half, half, 0.0, width)
    rects = [Rect(-half, half, -length, 0.0), square]
    links = [Link("x", 0.0, 0.0, -half, half, height)]
    ways = {"I": "s", "L": "l" if left else "r", "T": "lr", "X": "slr"}[value]
    if "s" in ways:
        rects.append(Rect(-half, half, width, width + reach))
        links.append(Link("x", width, 0.0, -half, half, height))
    if "l" in ways:
        rects.append(Rect(-half - reach, -half, 0.0, width))
        links.append(Link("z", -half, 0.0, 0.0, width, height))
    if "r" in ways:
        rects.append(Rect(half, half + reach, 0.0, width))
        links.append(Link("z", half, 0.0, 0.0, width, height))
    return rects, links


def _doors(builder: SoupBuilder, rng: np.random.Generator, room: Room, length: float) -> None:
    for name in ("left", "right"):
        wall, u = room.walls[name], rng.uniform(0.3, 1.5)
        while u + 1.1 < length:
            if rng.uniform() < 0.7 and wall.clear(u - 0.1, u + 1.0, 0, 2.05, 0.0):
                fixtures.door(builder, rng, wall, u, 0.9, 2.05)
            u += rng.uniform(1.3, 3.0)
    if rng.uniform() < 0.5:
        front = room.walls["front"]
        fixtures.door(builder, rng, front, front.length / 2 - 0.45, 0.9, 2.05)


def _lamps(builder: SoupBuilder, rng: np.random.Generator, room: Room, length: float) -> list[Lamp]:
    count = max(2, round(length / 2.8))
    return [ceiling_lamp(builder, rng, room, 0.0, -length * (k + 0.5) / count) for k in range(count)]


def _hidden_lamps(builder: SoupBuilder, rng: np.random.Generator, room: Room) -> Sequence[Lamp]:
    """One in the middle of a part behind the photographer, which lights nothing that a photo shows."""
    r = room.rect
    lamp = ceiling_lamp(builder, rng, room, (r.x0 + r.x1) / 2, (r.z0 + r.z1) / 2)
    return [Lamp(lamp.position, lamp.color, lamp.aim, (-_APART + 0.2, np.inf))]
