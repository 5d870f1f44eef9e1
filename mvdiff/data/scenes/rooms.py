"""Rooms and flats."""

from collections.abc import Sequence

import numpy as np

from mvdiff.data.procedural.hidden import Distribution, HiddenAttribute
from mvdiff.data.scenes import fixtures
from mvdiff.data.scenes.draft import Dice, Draft, flat_ground
from mvdiff.data.scenes.furnish import Furnisher, Room
from mvdiff.data.scenes.interior import Finish, ceiling_lamp, lamps_of, lighting_of, shell
from mvdiff.data.scenes.light import Lighting
from mvdiff.data.scenes.plan import Link, Rect, Wall, reveal, split_plan, walls_of
from mvdiff.data.scenes.scene import Viewpoint
from mvdiff.data.scenes.sky import draw_sky
from mvdiff.data.scenes.soup import Hole, SoupBuilder
from mvdiff.data.scenes.textures import rug

#: What the wall behind the photographer holds, and how often.
BEHIND = Distribution((("door", 0.35), ("window", 0.3), ("wall", 0.35)))
_ROOM_USES = ("living", "bed", "dining", "office", "store", "living", "bed")


def room(dice: Dice) -> Draft:
    """One room: a rectangle, or an L of two."""
    rng = dice.seen
    low, high = dice.ranges.room_side
    height = rng.uniform(*dice.ranges.room_height)
    width, depth = rng.uniform(low, high), rng.uniform(low, high)
    rects, links = [Rect(0, width, 0, depth)], []
    if rng.uniform() < 0.3:
        wide, deep = rng.uniform(2.0, max(2.2, width * 0.7)), rng.uniform(2.0, depth)
        z = rng.uniform(0, depth - deep)
        rects.append(Rect(width, width + wide, z, z + deep))
        links.append(Link("z", width, 0.0, z, z + deep, height))
    return _indoors(dice, rects, links, height, same=True)


def flat(dice: Dice) -> Draft:
    """Two to five rooms with doorways."""
    rng = dice.seen
    low, high = dice.ranges.flat_side
    height = rng.uniform(*dice.ranges.room_height)
    outer = Rect(0, rng.uniform(low, high), 0, rng.uniform(low * 0.65, high * 0.75))
    rects, links = split_plan(rng, outer, int(rng.integers(2, 6)), height)
    return _indoors(dice, rects, links, height, same=False)


def _indoors(dice: Dice, rects: Sequence[Rect], links: Sequence[Link], height: float, same: bool) -> Draft:
    """Walls, windows, furniture and light of rooms; ``same``: one finish and one use for all."""
    rng, builder = dice.seen, SoupBuilder()
    rooms = [Room(rect, walls_of(rect, height, links), height) for rect in rects]
    finish, use = Finish.draw(builder, rng), str(rng.choice(_ROOM_USES))
    _keep_free(rooms, links)
    windows = _windows(builder, rng, rooms, finish)
    lamps, furnisher = [], Furnisher(builder, rng, dice.library)
    for one in rooms:
        own = finish if same or rng.uniform() < 0.35 else Finish.draw(builder, rng)
        own_use = use if same else str(rng.choice([*_ROOM_USES, "hall"]))
        for wall in rng.permutation(np.array(list(one.walls)))[: rng.integers(0, 3) if same else 1]:
            fixtures.place_door(builder, rng, one.walls[str(wall)])
        shell(builder, rng, one, own)
        furnisher.furnish(one, list(one.walls), own_use, rng.uniform(0.6, 1.3))
        _rug(builder, rng, one)
        lamps += lamps_of(builder, rng, one)
    for link in links:
        reveal(builder, link, finish.trim, finish.floor, finish.floor_period)
    lighting = lighting_of(rng, windows, lamps, dice.ranges.sun_rise)
    sky = draw_sky(rng, None if lighting.sun is None else lighting.sun.direction)
    used = [rect for one in rooms for rect in one.used]
    return Draft(builder, flat_ground(rects, used, links), lighting, sky, outdoors=False)


def _keep_free(rooms: Sequence[Room], links: Sequence[Link]) -> None:
    for one in rooms:
        for link in links:
            r = link.rect
            one.keep.append(Rect(r.x0 - 0.7, r.x1 + 0.7, r.z0, r.z1) if link.along == "z" else
                            Rect(r.x0, r.x1, r.z0 - 0.7, r.z1 + 0.7))  # fmt: skip


def _windows(
    builder: SoupBuilder, rng: np.random.Generator, rooms: Sequence[Room], finish: Finish
) -> list[tuple[Wall, Hole]]:
    """One to three a room, in walls with nothing behind."""
    windows = []
    for one in rooms:
        names = [name for name, wall in one.walls.items() if wall.length > 1.3 and _outer(wall, rooms)]
        for name in rng.permutation(np.array(names, dtype=object))[: rng.integers(1, 4)]:
            wall = one.walls[str(name)]
            hole = fixtures.place_window(builder, rng, wall, finish.trim)
            if hole is not None:
                windows.append((wall, hole))
    return windows


def _outer(wall: Wall, rooms: Sequence[Room]) -> bool:
    points = [wall.at(u, 0, -off) for u in (0.3, wall.length / 2, wall.length - 0.3) for off in (0.4, 1.5)]
    return not any(other.rect.holds(p[0], p[2]) for p in points for other in rooms)


def _rug(builder: SoupBuilder, rng: np.random.Generator, one: Room) -> None:
    if rng.uniform() > 0.45:
        return
    r = one.rect
    wide, deep = (rng.uniform(0.35, 0.7) * side for side in (r.width, r.depth))
    x, z = rng.uniform(r.x0 + wide / 2, r.x1 - wide / 2), rng.uniform(r.z0 + deep / 2, r.z1 - deep / 2)
    builder.box((x, 0.001, z), (wide, 0.012, deep), step=0.14, material=builder.texture(rug(rng)), fit=("+y",))


def hidden_room(dice: Dice) -> Draft:
    """A room photographed from its back wall, which holds a door, a window or nothing.

    Nothing that the photo shows depends on which: neither the furniture, nor the light, nor its exposure.
    """
    rng, builder = dice.seen, SoupBuilder()
    low, high = dice.ranges.room_side
    height, width, depth = rng.uniform(*dice.ranges.room_height), rng.uniform(low, high), rng.uniform(max(low, 4), high)
    one = Room(Rect(0, width, 0, depth), walls_of(Rect(0, width, 0, depth), height), height)
    strip = Rect(0, width, depth - 1.6, depth)
    one.keep.append(strip)  # where the photographer stands
    finish = Finish.draw(builder, rng)
    sides = ["front", "left", "right"]
    furnisher = Furnisher(builder, rng, dice.library)
    furnisher.furnish(one, sides, str(rng.choice(_ROOM_USES)), rng.uniform(0.8, 1.3))
    lamps = lamps_of(builder, rng, one, 0.0)
    for z in (depth * 0.3, depth * 0.72):
        lamps.append(ceiling_lamp(builder, rng, one, width * rng.uniform(0.4, 0.6), z))
    light = np.array([1.0, 0.97, 0.93]) * rng.uniform(0.2, 0.4)
    lighting = Lighting(light, 0.9, lamps, exposed_before=depth - 1.6, brightness=rng.uniform(0.45, 0.7))
    sky, shell_rng = draw_sky(rng), np.random.default_rng(rng.integers(2**63))
    value = BEHIND.sample(dice.hidden) if dice.fixed is None else dice.fixed
    _behind(builder, dice.hidden, one.walls["back"], value, finish)
    shell(builder, shell_rng, one, finish)
    center = width / 2
    viewpoint = Viewpoint((center - width * 0.2, depth - 1.1), (center + width * 0.2, depth - 0.45), 12.0)
    ground = flat_ground([one.rect], one.used)
    return Draft(builder, ground, lighting, sky, False, viewpoint, HiddenAttribute("behind", "choice", value, BEHIND))


def _behind(builder: SoupBuilder, rng: np.random.Generator, wall: Wall, value: str, finish: Finish) -> None:
    if value == "door":
        width = rng.uniform(0.8, 1.0)
        fixtures.door(builder, rng, wall, rng.uniform(0.2, wall.length - width - 0.2), width, 2.0)
    elif value == "window":
        width = min(rng.uniform(0.9, 2.0), wall.length - 0.6)
        left = rng.uniform(0.25, wall.length - width - 0.25)
        fixtures.window(builder, rng, wall, (left, left + width, rng.uniform(0.7, 1.0), 2.1), finish.trim)
