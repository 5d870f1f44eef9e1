"""Streets and courtyards."""

import numpy as np

from mvdiff.data.scenes import outdoors
from mvdiff.data.scenes import textures as t
from mvdiff.data.scenes.draft import Dice, Draft, flat_ground
from mvdiff.data.scenes.facades import Style, house
from mvdiff.data.scenes.furnish import stand
from mvdiff.data.scenes.plan import Rect
from mvdiff.data.scenes.sky import draw_sky
from mvdiff.data.scenes.soup import AXIS_X, AXIS_Y, AXIS_Z, SoupBuilder

_STREET_THINGS = ("person", "potted_plant", "bag", "quadruped", "chair", "package")
_FAR = 45.0


def street(dice: Dice) -> Draft:
    """A road along z between pavements, houses on both sides, cars, trees, lamps; or a lane without a road."""
    rng, builder = dice.seen, SoupBuilder()
    half, side, length = rng.uniform(*dice.ranges.road_half_width), rng.uniform(1.3, 3.0), rng.uniform(26, 42)
    lane = rng.uniform() < 0.3
    kerb, edge = 0.0 if lane else rng.uniform(0.06, 0.15), half + side
    front = edge + rng.choice([0.0, rng.uniform(1, 4.5)], p=[0.55, 0.45])
    used: list[Rect] = []
    _surfaces(builder, rng, half, edge, length, kerb, lane)
    for sign in (-1, 1):
        _row(builder, dice, sign, front, length, kerb, used)
        _trees(builder, rng, sign, edge, front, length, kerb, used)
    _ends(builder, dice, length, half)
    if not lane:
        _cars(builder, dice, half, length, used)
    _lamp_posts(builder, rng, half + 0.35, length, kerb, used)
    for sign in (-1, 1):
        strip = Rect(*sorted((sign * (half + 0.4), sign * edge)), -length / 2 + 2, length / 2 - 2)
        outdoors.scatter(builder, dice, _STREET_THINGS, strip, int(rng.integers(1, 6)), used, kerb)
    lighting = outdoors.daylight(rng, dice.ranges.sun_rise)
    ground = flat_ground([Rect(-edge, edge, -length / 2 + 2, length / 2 - 2)], used, (), 0.2, 0.4, kerb)
    return Draft(builder, ground, lighting, _sky(rng, lighting), True)


def _sky(rng: np.random.Generator, lighting: outdoors.Lighting) -> np.ndarray:
    return draw_sky(rng, None if lighting.sun is None else lighting.sun.direction)


def _surfaces(builder: SoupBuilder, rng: np.random.Generator, half: float, edge: float, length: float, kerb: float,
              lane: bool) -> None:  # fmt: skip
    """Road, pavements, curbs, ground behind; the road continues beyond both ends."""
    way = t.pick(rng, [t.stone, t.grass, t.soil, t.tiles], [0.35, 0.25, 0.2, 0.2]) if lane else t.asphalt(rng)
    road, ground = builder.texture(way), builder.texture(t.grass(rng) if rng.uniform() < 0.7 else t.soil(rng))
    pavement = builder.texture(t.pick(rng, [t.tiles, t.concrete, t.stone], [0.5, 0.3, 0.2]))
    end = length / 2 + 30
    builder.panel(np.array([-half, 0, end]), AXIS_X, -AXIS_Z, 2 * half, 2 * end, 0.7, material=road, period=2.5)
    for sign in (-1, 1):
        low, high = sorted((sign * half, sign * edge))
        builder.panel(
            np.array([low, kerb, end]), AXIS_X, -AXIS_Z, high - low, 2 * end, 0.5, material=pavement, period=1.5
        )
        if kerb:
            builder.panel(
                np.array([sign * half, 0, sign * end]), -AXIS_Z * sign, AXIS_Y, 2 * end, kerb, 1.0, (0.6, 0.6, 0.6)
            )
        low, high = sorted((sign * edge, sign * _FAR))
        builder.panel(np.array([low, kerb, end]), AXIS_X, -AXIS_Z, high - low, 2 * end, 1.5, material=ground, period=3)
    if not lane:
        for z in np.arange(-end + 1, end - 1, 4.0):
            builder.box((0, 0.0, z), (0.12, 0.006, 1.6), (0.9, 0.9, 0.85), step=2)


def _row(
    builder: SoupBuilder, dice: Dice, sign: int, front: float, length: float, kerb: float, used: list[Rect]
) -> None:
    """Houses side by side, some with gaps."""
    rng, z = dice.seen, -length / 2 - 4
    closed, styles = rng.uniform() < 0.5, [Style.draw(builder, rng) for _ in range(3)]
    low, high = dice.ranges.storeys
    while z < length / 2 + 4:
        width, deep = rng.uniform(5.5, 11), rng.uniform(6, 9)
        at = (sign * (front + (0.0 if closed else rng.uniform(0, 1.5))), z + width / 2)
        storeys = int(rng.integers(low, high + 1))
        used.append(house(builder, rng, styles[rng.integers(3)], at, -sign * np.pi / 2, width, deep, storeys, kerb))
        z += width + (0.0 if closed and rng.uniform() < 0.85 else rng.uniform(0.8, 5))


def _ends(builder: SoupBuilder, dice: Dice, length: float, half: float) -> None:
    rng = dice.seen
    for sign in (-1, 1):
        if rng.uniform() < 0.5:
            at = (rng.uniform(-2, 2), sign * (length / 2 + rng.uniform(10, 20)))
            yaw, style = (0.0 if sign < 0 else np.pi), Style.draw(builder, rng)
            house(builder, rng, style, at, yaw, rng.uniform(9, 16), 8, int(rng.integers(*dice.ranges.storeys) + 1))
        else:
            for _ in range(rng.integers(2, 6)):
                z = sign * (length / 2 + rng.uniform(8, 25))
                outdoors.tree(builder, rng, rng.uniform(-9, 9), z, 0.0, rng.uniform(1, 1.8))


def _trees(builder: SoupBuilder, rng: np.random.Generator, sign: int, edge: float, front: float, length: float,
           kerb: float, used: list[Rect]) -> None:  # fmt: skip
    if rng.uniform() < 0.3:
        return
    for z in np.arange(-length / 2 + rng.uniform(0, 4), length / 2, rng.uniform(4, 10)):
        x = sign * (edge - 0.6 if front - edge < 1 else rng.uniform(edge, front))
        if rng.uniform() < 0.8:
            used.append(outdoors.tree(builder, rng, x, z, kerb, rng.uniform(0.8, 1.3)))
        elif front - edge > 1:
            outdoors.bush(builder, rng, x, z, kerb)
            used.append(Rect.around(x, z, 1.4, 1.4))


def _cars(builder: SoupBuilder, dice: Dice, half: float, length: float, used: list[Rect]) -> None:
    rng = dice.seen
    for _ in range(rng.integers(1, 8)):
        thing = dice.library.draw(rng, "truck" if rng.uniform() < 0.12 else "car")
        side, z = rng.choice([-1, 1]), rng.uniform(-length / 2 + 3, length / 2 - 3)
        x = side * (half - thing.size[0] / 2 - 0.25)
        yaw = (0.0 if side < 0 else np.pi) + (0.0 if thing.size[2] >= thing.size[0] else np.pi / 2)
        if not any(Rect.around(x, z, thing.size[0], thing.size[2]).touches(other, 0.3) for other in used):
            used.append(stand(builder, rng, thing, np.array([x, 0, z]), yaw))


def _lamp_posts(
    builder: SoupBuilder, rng: np.random.Generator, x: float, length: float, kerb: float, used: list[Rect]
) -> None:
    if rng.uniform() < 0.4:
        return
    tall, color = rng.uniform(3.5, 6), t.tint(rng, (0, 0.2), (0.1, 0.5))
    sign = rng.choice([-1, 1])
    for z in np.arange(-length / 2 + 3, length / 2, rng.uniform(8, 14)):
        at = sign * x
        builder.box((at, kerb, z), (0.12, tall, 0.12), color, step=2)
        builder.box((at - sign * 0.6, kerb + tall, z), (1.3, 0.1, 0.14), color, step=2, skip=())
        builder.box((at - sign * 1.1, kerb + tall - 0.06, z), (0.4, 0.06, 0.2), (0.9, 0.9, 0.85), step=2, skip=())
        used.append(Rect.around(at, z, 0.3, 0.3))


def courtyard(dice: Dice) -> Draft:
    """A yard closed by façades on three or four sides, with paving, lawn, trees, benches and things."""
    rng, builder = dice.seen, SoupBuilder()
    low, high = dice.ranges.courtyard_side
    wide, deep = rng.uniform(low, high), rng.uniform(low, high)
    paving = builder.texture(t.pick(rng, [t.stone, t.tiles, t.bricks, t.concrete], [0.35, 0.3, 0.15, 0.2]))
    lawn, used = builder.texture(t.grass(rng)), []
    builder.panel(np.array([-_FAR, 0, _FAR]), AXIS_X, -AXIS_Z, 2 * _FAR, 2 * _FAR, 1.2, material=paving, period=2.0)
    styles = [Style.draw(builder, rng) for _ in range(2)]
    sides = [((0, -deep / 2), 0.0, wide), ((0, deep / 2), np.pi, wide), ((-wide / 2, 0), np.pi / 2, deep),
             ((wide / 2, 0), -np.pi / 2, deep)]  # fmt: skip
    missing = int(rng.integers(4)) if rng.uniform() < 0.5 else -1
    storeys = dice.ranges.storeys
    for k, (at, yaw, width) in enumerate(sides):
        if k != missing:
            style, floors = styles[rng.integers(2)], int(rng.integers(storeys[0], storeys[1] + 1))
            house(builder, rng, style, at, yaw, width + (6.0 if k < 2 else 0.0), 6.0, floors)
        else:
            _beyond(builder, rng, at, yaw)
    _beds(builder, rng, wide, deep, lawn, used)
    yard = Rect(-wide / 2 + 1, wide / 2 - 1, -deep / 2 + 1, deep / 2 - 1)
    outdoors.scatter(builder, dice, (*_STREET_THINGS, "table", "car"), yard, int(rng.integers(3, 10)), used, 0.0)
    lighting = outdoors.daylight(rng, dice.ranges.sun_rise)
    ground = flat_ground([Rect(-wide / 2, wide / 2, -deep / 2, deep / 2)], used, (), 0.2, 0.7)
    return Draft(builder, ground, lighting, _sky(rng, lighting), True)


def _beyond(builder: SoupBuilder, rng: np.random.Generator, at: tuple[float, float], yaw: float) -> None:
    """A hedge or a wall, then lawn with trees, where the yard is open."""
    out = -np.array([np.sin(yaw), np.cos(yaw)])
    middle, across = np.array(at) + out * 0.4, np.array([out[1], -out[0]])
    if rng.uniform() < 0.5:
        hedge = builder.texture(np.array([0.3, 0.45, 0.2]) * (0.6 + 0.8 * t.noise(rng, 0.3))[..., None])
        builder.box((middle[0], 0, middle[1]), (60, rng.uniform(0.7, 1.8), 0.7), yaw=yaw, material=hedge, period=0.8)
    else:
        wall = builder.texture(t.bricks(rng) if rng.uniform() < 0.5 else t.stone(rng))
        builder.box((middle[0], 0, middle[1]), (60, rng.uniform(0.6, 2.2), 0.3), yaw=yaw, material=wall, period=1.4)
    lawn, center = builder.texture(t.grass(rng)), np.array(at) + out * (_FAR / 2 + 0.5)
    builder.box((center[0], 0, center[1]), (2 * _FAR, 0.05, _FAR), yaw=yaw, step=1.5, material=lawn, period=2.5)
    for _ in range(rng.integers(8, 20)):
        spot = np.array(at) + out * rng.uniform(2, 22) + across * rng.uniform(-16, 16)
        outdoors.tree(builder, rng, spot[0], spot[1], 0.0, rng.uniform(1, 1.8))


def _beds(
    builder: SoupBuilder, rng: np.random.Generator, wide: float, deep: float, lawn: int, used: list[Rect]
) -> None:
    """Lawns with a curb, trees and bushes on them; people walk on lawns, too."""
    for _ in range(rng.integers(1, 4)):
        w, d = rng.uniform(2, wide * 0.45), rng.uniform(2, deep * 0.45)
        x, z = (
            rng.uniform(-wide / 2 + w / 2 + 1, wide / 2 - w / 2 - 1),
            rng.uniform(-deep / 2 + d / 2 + 1, deep / 2 - d / 2 - 1),
        )
        builder.box((x, 0, z), (w, 0.09, d), step=0.5, material=lawn, period=2.0)
        for _ in range(rng.integers(0, 4)):
            at = (x + rng.uniform(-0.4, 0.4) * w, z + rng.uniform(-0.4, 0.4) * d)
            if rng.uniform() < 0.5:
                used.append(outdoors.tree(builder, rng, *at, 0.08))
            else:
                outdoors.bush(builder, rng, *at, 0.08)
                used.append(Rect.around(*at, 1.4, 1.4))
