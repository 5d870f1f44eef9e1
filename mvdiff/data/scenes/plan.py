"""Floor plans: rooms as rectangles, and the openings that join them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mvdiff.data.scenes.soup import AXIS_X, AXIS_Y, AXIS_Z, Hole, SoupBuilder, Vector

Rng = np.random.Generator


@dataclass(frozen=True)
class Rect:
    """Rectangle of the ground, in meters."""

    x0: float
    x1: float
    z0: float
    z1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def depth(self) -> float:
        return self.z1 - self.z0

    @property
    def area(self) -> float:
        return self.width * self.depth

    def holds(self, x: float, z: float, margin: float = 0.0) -> bool:
        inside_x = self.x0 + margin < x < self.x1 - margin
        return bool(inside_x and self.z0 + margin < z < self.z1 - margin)

    def contains(self, other: "Rect") -> bool:
        inside_x = other.x0 >= self.x0 and other.x1 <= self.x1
        return bool(inside_x and other.z0 >= self.z0 and other.z1 <= self.z1)

    def touches(self, other: "Rect", margin: float = 0.0) -> bool:
        apart_x = self.x0 >= other.x1 + margin or self.x1 <= other.x0 - margin
        return not bool(apart_x or self.z0 >= other.z1 + margin or self.z1 <= other.z0 - margin)

    def grown(self, margin: float) -> "Rect":
        return Rect(self.x0 - margin, self.x1 + margin, self.z0 - margin, self.z1 + margin)

    @staticmethod
    def around(x: float, z: float, width: float, depth: float) -> "Rect":
        return Rect(x - width / 2, x + width / 2, z - depth / 2, z + depth / 2)


@dataclass(frozen=True)
class Link:
    """An opening in the wall between two rooms: across x (``along`` "z") or across z (``along`` "x")."""

    along: str
    start: float
    """Start of the wall on the other axis; it ends at ``start + thickness``."""
    thickness: float
    low: float
    high: float
    """Range of the opening on the axis that the wall runs along."""
    top: float

    @property
    def rect(self) -> Rect:
        """Ground under the opening."""
        if self.along == "z":
            return Rect(self.start, self.start + self.thickness, self.low, self.high)
        return Rect(self.low, self.high, self.start, self.start + self.thickness)


@dataclass
class Wall:
    """One side of a room, seen from inside: ``along`` runs to the right, ``normal`` into the room."""

    origin: Vector
    along: Vector
    normal: Vector
    length: float
    height: float
    holes: list[Hole] = field(default_factory=list)
    taken: list[Hole] = field(default_factory=list)

    def at(self, u: float, y: float = 0.0, off: float = 0.0) -> Vector:
        """The point ``u`` along, ``y`` up and ``off`` into the room."""
        return self.origin + self.along * u + AXIS_Y * y + self.normal * off

    def clear(self, left: float, right: float, bottom: float, top: float, margin: float = 0.05) -> bool:
        """Whether nothing hangs, stands or opens there."""
        if left < margin or right > self.length - margin or top > self.height:
            return False
        return all(
            right + margin < a or left - margin > b or top < low or bottom > high for a, b, low, high in self.taken
        )

    def take(self, left: float, right: float, bottom: float, top: float) -> None:
        self.taken.append((left, right, bottom, top))

    def open(self, left: float, right: float, bottom: float, top: float) -> None:
        self.holes.append((left, right, bottom, top))
        self.take(left - 0.08, right + 0.08, max(0.0, bottom - 0.05), top + 0.08)


def walls_of(rect: Rect, height: float, links: Sequence[Link] = ()) -> dict[str, Wall]:
    """The four sides, with the openings of ``links`` that touch them."""
    x0, x1, z0, z1 = rect.x0, rect.x1, rect.z0, rect.z1
    walls = {
        "front": Wall(np.array([x0, 0, z0]), AXIS_X, AXIS_Z, x1 - x0, height),  # farthest along -Z
        "back": Wall(np.array([x1, 0, z1]), -AXIS_X, -AXIS_Z, x1 - x0, height),
        "left": Wall(np.array([x0, 0, z1]), -AXIS_Z, AXIS_X, z1 - z0, height),
        "right": Wall(np.array([x1, 0, z0]), AXIS_Z, -AXIS_X, z1 - z0, height),
    }
    for link in links:
        side = _side(rect, link)
        if side is not None:
            wall, axis = walls[side], 2 if link.along == "z" else 0
            ends = sorted((p - wall.origin[axis]) * wall.along[axis] for p in (link.low, link.high))
            wall.open(ends[0], ends[1], 0.0, min(link.top, height))
    return walls


def _side(rect: Rect, link: Link) -> str | None:
    """Side of the rectangle that holds the opening."""
    start, end, near = link.start, link.start + link.thickness, 1e-6
    if link.along == "z":
        within = rect.z0 - near <= link.low and link.high <= rect.z1 + near
        sides = {"right": abs(rect.x1 - start), "left": abs(rect.x0 - end)}
    else:
        within = rect.x0 - near <= link.low and link.high <= rect.x1 + near
        sides = {"back": abs(rect.z1 - start), "front": abs(rect.z0 - end)}
    return next((side for side, gap in sides.items() if within and gap < near), None)


def reveal(builder: SoupBuilder, link: Link, color: np.ndarray, floor: int, period: float) -> None:
    """The inner faces of an opening through a thick wall: both jambs, lintel, threshold."""
    t, width = link.thickness, link.high - link.low
    if t <= 0:
        return
    along, across = (AXIS_Z, AXIS_X) if link.along == "z" else (AXIS_X, AXIS_Z)
    start = across * link.start
    low, high = start + along * link.low, start + along * link.high
    flip = 1 if link.along == "z" else -1  # keeps the faces turned into the opening
    first, second = (low, high) if flip > 0 else (high, low)
    builder.panel(first, across, AXIS_Y, t, link.top, 0.3, color)
    builder.panel(second + across * t, -across, AXIS_Y, t, link.top, 0.3, color)
    top = AXIS_Y * link.top
    builder.panel(first + top, across, along * flip, t, width, 0.3, color)
    builder.panel(second, across, -along * flip, t, width, 0.3, (1, 1, 1), floor, period)


def split_plan(rng: Rng, rect: Rect, rooms: int, height: float) -> tuple[list[Rect], list[Link]]:
    """Cut a rectangle into rooms, longest side first, with a doorway through each cut."""
    rects, links = [rect], []
    for _ in range(rooms - 1):
        index = int(np.argmax([r.area for r in rects]))
        cut = _cut(rng, rects[index])
        if cut is None:
            break
        one, other, along, start, thickness = cut
        rects[index : index + 1] = [one, other]
        links.append((along, start, thickness))
    made = [_doorway(rng, rects, *cut, height) for cut in links]
    if any(link is None for link in made):
        return rects[:1], []
    return rects, [link for link in made if link is not None]


def _cut(rng: Rng, rect: Rect) -> tuple[Rect, Rect, str, float, float] | None:
    t, share = rng.uniform(0.1, 0.2), rng.uniform(0.38, 0.62)
    if max(rect.width, rect.depth) < 4.4:
        return None
    if rect.width >= rect.depth:
        x = rect.x0 + share * rect.width
        return Rect(rect.x0, x, rect.z0, rect.z1), Rect(x + t, rect.x1, rect.z0, rect.z1), "z", x, t
    z = rect.z0 + share * rect.depth
    return Rect(rect.x0, rect.x1, rect.z0, z), Rect(rect.x0, rect.x1, z + t, rect.z1), "x", z, t


def _doorway(rng: Rng, rects: Sequence[Rect], along: str, start: float, thickness: float, height: float) -> Link | None:
    """In the wall of one cut: between a room before it and one behind it that share at least a meter of it."""
    choices = []
    for one in rects:
        for other in rects:
            ends, begins = (one.x1, other.x0) if along == "z" else (one.z1, other.z0)
            if abs(ends - start) < 1e-6 and abs(begins - start - thickness) < 1e-6:
                a, b = ((r.z0, r.z1) if along == "z" else (r.x0, r.x1) for r in (one, other))
                low, high = max(a[0], b[0]) + 0.15, min(a[1], b[1]) - 0.15
                if high - low > 0.95:
                    choices.append((low, high))
    if not choices:
        return None
    low, high = choices[int(rng.integers(len(choices)))]
    width = min(high - low, rng.uniform(0.85, 1.05) if rng.uniform() < 0.7 else rng.uniform(1.1, 2.2))
    left = rng.uniform(low, high - width)
    return Link(along, start, thickness, left, left + width, min(height - 0.05, rng.uniform(2.0, 2.4)))
