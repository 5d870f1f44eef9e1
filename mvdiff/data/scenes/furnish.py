"""Furniture in rooms by a small grammar: against walls, in groups, on top of each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mvdiff.data.scenes import fixtures
from mvdiff.data.scenes.plan import Rect, Wall
from mvdiff.data.scenes.soup import SoupBuilder, turned, yaw_of
from mvdiff.data.scenes.textures import fabric
from mvdiff.data.scenes.things import Library, Thing

Rng = np.random.Generator

_ON_TABLES = ("mug", "bottle", "vase", "bowl", "teapot", "fruit", "dessert", "device", "package", "potted_plant")
_ON_SHELVES = ("vase", "toy", "teddy", "package", "bottle", "bowl", "device", "potted_plant")
_ON_FLOOR = ("potted_plant", "package", "bag", "shoe", "toy", "teddy", "guitar", "lamp", "chair", "quadruped")
#: What stands against the walls of a room of each use, and its center pieces.
_USES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "living": (("sofa", "cabinet", "cabinet", "lamp", "potted_plant", "bookcase", "screen_table"), ("low_table",)),
    "bed": (("bed", "cabinet", "cabinet", "lamp", "chair", "bookcase"), ()),
    "dining": (("cabinet", "cabinet", "potted_plant", "sofa"), ("dining", "dining")),
    "office": (("desk", "desk", "bookcase", "cabinet", "potted_plant"), ("dining",)),
    "store": (("cabinet", "bookcase", "cabinet", "bookcase", "package", "package"), ()),
    "hall": (("cabinet", "chair", "potted_plant", "lamp"), ()),
}


@dataclass
class Room:
    """A room while it is being furnished."""

    rect: Rect
    walls: dict[str, Wall]
    height: float
    keep: list[Rect] = field(default_factory=list)
    """Ground that stays free: in front of doors."""
    used: list[Rect] = field(default_factory=list)

    def fits(self, rect: Rect, margin: float = 0.03, beside: Sequence[Rect] = ()) -> bool:
        """Whether something may stand there; it may touch what it stands ``beside``."""
        others = [r for r in (*self.used, *self.keep) if r not in beside]
        return self.rect.contains(rect) and not any(rect.touches(r, margin) for r in others)


def stand(builder: SoupBuilder, rng: Rng, thing: Thing, at: np.ndarray, yaw: float, scale: float = 1.0) -> Rect:
    """Put a thing somewhere in colors of its own; returns the ground that it covers."""
    right, ahead = turned(yaw)
    turn = np.stack([right, [0, 1, 0], ahead], 1)
    vertices = thing.vertices * scale @ turn.T + at
    colors, material, uv = _toned(rng, thing.colors), 0, None
    if rng.uniform() < 0.3:
        material, period = builder.texture(fabric(rng)), rng.uniform(0.4, 1.2)
        uv = np.stack([vertices[:, 0] + 0.7 * vertices[:, 2], vertices[:, 1] + 0.3 * vertices[:, 2]], -1) / period
    builder.add(vertices, thing.faces, thing.normals @ turn.T, colors, uv, material)
    low, high = vertices.min(0), vertices.max(0)
    return Rect(low[0], high[0], low[2], high[2])


def _toned(rng: Rng, colors: np.ndarray) -> np.ndarray:
    """Colours of a thing as rooms have them: mostly less vivid, some towards wood, some lighter or darker."""
    gray = colors.mean(-1, keepdims=True)
    wood = np.array([1.12, 1.0, 0.84]) if rng.uniform() < 0.5 else np.ones(3)
    vivid = rng.uniform(0.1, 0.6) if rng.uniform() < 0.65 else 1.0
    colors = gray * wood * (1 - vivid) + colors * vivid
    return np.clip(colors * np.exp(rng.normal(0, 0.18) + rng.normal(0, 0.05, 3)), 0, 1)


class Furnisher:
    """Furnishes rooms of one scene."""

    def __init__(self, builder: SoupBuilder, rng: Rng, library: Library) -> None:
        self.builder, self.rng, self.library = builder, rng, library

    def furnish(self, room: Room, walls: Sequence[str], use: str | None = None, density: float = 1.0) -> None:
        """Things against the named walls, in the middle, and lying about."""
        rng = self.rng
        against, center = _USES[use or str(rng.choice(list(_USES)))]
        count = int(np.clip(room.rect.area * rng.uniform(0.25, 0.5) * density, 2, 9))
        order = list(against[:2]) + [against[int(k)] for k in rng.integers(len(against), size=max(0, count - 2))]
        for name in order[:count]:
            self._against(room, walls, name)
        for name in center:
            self._dining(room) if name == "dining" else self._center(room, "table", 0.7)
        for name in rng.choice(_ON_FLOOR, size=int(rng.integers(0, 5) * density + 0.5)):
            self._about(room, str(name))
        for name in rng.permutation(np.array(walls))[: rng.integers(1, 4)]:
            self._on_wall(room, room.walls[str(name)])

    def _against(self, room: Room, walls: Sequence[str], name: str) -> None:
        special: dict[str, Callable[[Room, Wall], bool]] = {"bookcase": self._bookcase, "desk": self._desk}
        maker = special.get(name, lambda r, w: self._beside(r, w, name))
        for wall in self.rng.permutation(np.array(walls)):
            if maker(room, room.walls[str(wall)]):
                return

    def _beside(self, room: Room, wall: Wall, family: str) -> bool:
        table = family == "screen_table"
        thing = self.library.draw(self.rng, "cabinet" if table else family)
        scale = min(self.rng.uniform(0.9, 1.1), (room.height - 0.1) / thing.size[1], 0.6 if table else 9.0)
        spot = self._spot(room, wall, thing.size * scale)
        if spot is None:
            return False
        at, left = spot
        covered = stand(self.builder, self.rng, thing, at, yaw_of(wall.normal), scale)
        self._occupy(room, wall, covered, left, thing.size * scale)
        if thing.flat_top > 0.45 and thing.size[1] * scale < 1.4:
            if table:
                self._put(covered, thing.size[1] * scale, "screen", yaw_of(wall.normal))
            else:
                self._clutter(covered, thing.size[1] * scale, _ON_SHELVES)
        return True

    def _spot(self, room: Room, wall: Wall, size: np.ndarray, tries: int = 3) -> tuple[np.ndarray, float] | None:
        """Place for a thing of this size with its back to a wall, and the position of its left end along the wall."""
        for _ in range(tries if wall.length > size[0] + 0.1 else 0):
            left = self.rng.uniform(0.04, wall.length - size[0] - 0.04)
            at = wall.at(left + size[0] / 2, 0, size[2] / 2 + 0.03)
            half = np.abs(wall.along) * size[0] / 2 + np.abs(wall.normal) * size[2] / 2
            rect = Rect(at[0] - half[0], at[0] + half[0], at[2] - half[2], at[2] + half[2])
            if wall.clear(left, left + size[0], 0.02, size[1], 0.0) and room.fits(rect):
                return at, left
        return None

    def _occupy(self, room: Room, wall: Wall, covered: Rect, left: float, size: np.ndarray) -> None:
        room.used.append(covered)
        wall.take(left, left + size[0], 0, size[1])

    def _bookcase(self, room: Room, wall: Wall) -> bool:
        rng = self.rng
        size = np.array([rng.uniform(0.6, 1.4), rng.uniform(0.8, min(2.2, room.height - 0.2)), rng.uniform(0.25, 0.36)])
        spot = self._spot(room, wall, size)
        if spot is None:
            return False
        at, left = spot
        fixtures.bookcase(self.builder, rng, wall, left, (size[0], size[1], size[2]))
        half = np.abs(wall.along) * size[0] / 2 + np.abs(wall.normal) * (size[2] / 2 + 0.03)
        room.used.append(Rect(at[0] - half[0], at[0] + half[0], at[2] - half[2], at[2] + half[2]))
        return True

    def _desk(self, room: Room, wall: Wall) -> bool:
        thing = self.library.draw(self.rng, "table")
        scale = min(0.78 / thing.size[1], 1.7 / thing.size[0])
        spot = self._spot(room, wall, thing.size * scale)
        if spot is None:
            return False
        at, left = spot
        yaw, y = yaw_of(wall.normal), thing.size[1] * scale
        covered = stand(self.builder, self.rng, thing, at, yaw, scale)
        self._occupy(room, wall, covered, left, thing.size * scale)
        if thing.flat_top > 0.3:
            self._put(covered, y, "screen", yaw)
            self._clutter(covered, y, _ON_TABLES)
        seat = at + wall.normal * (thing.size[2] * scale / 2 + 0.25)
        self._seat(room, seat, yaw + np.pi, covered)
        return True

    def _seat(self, room: Room, at: np.ndarray, yaw: float, beside: Rect) -> None:
        chair = self.library.draw(self.rng, "chair")
        reach = max(chair.size[0], chair.size[2])
        if room.fits(Rect.around(at[0], at[2], reach, reach), 0.0, (beside,)):
            room.used.append(stand(self.builder, self.rng, chair, at, yaw + self.rng.normal(0, 0.15)))

    def _dining(self, room: Room) -> None:
        table = self._center(room, "table", 0.3)
        if table is None:
            return
        x, z = (table.x0 + table.x1) / 2, (table.z0 + table.z1) / 2
        for dx, dz in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            if self.rng.uniform() < 0.8:
                gap = self.rng.uniform(0.1, 0.35)
                at = np.array([x + dx * (table.width / 2 + gap), 0, z + dz * (table.depth / 2 + gap)])
                self._seat(room, at, float(np.arctan2(-dx, -dz)), table)

    def _center(self, room: Room, family: str, margin: float) -> Rect | None:
        thing, yaw = self.library.draw(self.rng, family), self.rng.integers(2) * np.pi / 2
        scale = min(1.0, 0.85 / thing.size[1]) * self.rng.uniform(0.9, 1.15)
        size = thing.size * scale
        wide, deep = (size[0], size[2]) if yaw == 0 else (size[2], size[0])
        spot = self._somewhere(room, wide, deep, margin)
        if spot is None:
            return None
        covered = stand(self.builder, self.rng, thing, np.array([spot[0], 0, spot[1]]), yaw, scale)
        room.used.append(covered)
        if thing.flat_top > 0.3:
            self._clutter(covered, size[1], _ON_TABLES)
        return covered

    def _somewhere(self, room: Room, wide: float, deep: float, margin: float) -> tuple[float, float] | None:
        rect = room.rect
        if rect.width < wide + 2 * margin or rect.depth < deep + 2 * margin:
            return None
        for _ in range(10):
            x = self.rng.uniform(rect.x0 + wide / 2 + margin, rect.x1 - wide / 2 - margin)
            z = self.rng.uniform(rect.z0 + deep / 2 + margin, rect.z1 - deep / 2 - margin)
            if room.fits(Rect.around(x, z, wide, deep), margin):
                return x, z
        return None

    def _about(self, room: Room, family: str) -> None:
        thing = self.library.draw(self.rng, family)
        reach = float(np.hypot(thing.size[0], thing.size[2])) * 0.85
        spot = self._somewhere(room, reach, reach, 0.05)
        if spot is not None:
            at, yaw = np.array([spot[0], 0, spot[1]]), self.rng.uniform(0, 2 * np.pi)
            room.used.append(stand(self.builder, self.rng, thing, at, yaw))

    def _put(self, top: Rect, y: float, family: str, yaw: float) -> None:
        """In the middle of a top."""
        thing = self.library.draw(self.rng, family)
        scale = min(1.0, 0.9 * min(top.width / thing.size[0], top.depth / thing.size[2]))
        at = np.array([(top.x0 + top.x1) / 2, y - 0.002, (top.z0 + top.z1) / 2])
        stand(self.builder, self.rng, thing, at, yaw, max(scale, 0.3))

    def _clutter(self, top: Rect, y: float, families: Sequence[str]) -> None:
        placed: list[Rect] = []
        for name in self.rng.choice(families, size=int(self.rng.integers(0, 5))):
            thing = self.library.draw(self.rng, str(name))
            scale = min(1.0, 0.4 / max(thing.size))
            reach = max(thing.size[0], thing.size[2]) * scale * 1.1
            if top.width < reach or top.depth < reach:
                continue
            x = self.rng.uniform(top.x0 + reach / 2, top.x1 - reach / 2)
            z = self.rng.uniform(top.z0 + reach / 2, top.z1 - reach / 2)
            rect = Rect.around(x, z, reach, reach)
            if not any(rect.touches(other) for other in placed):
                placed.append(rect)
                yaw = self.rng.integers(4) * np.pi / 2 + self.rng.uniform(-0.5, 0.5)
                stand(self.builder, self.rng, thing, np.array([x, y - 0.002, z]), yaw, scale)

    def _on_wall(self, room: Room, wall: Wall) -> None:
        if self.rng.uniform() < 0.75:
            for _ in range(self.rng.integers(1, 4)):
                fixtures.picture(self.builder, self.rng, wall)
            return
        board = fixtures.shelf_board(self.builder, self.rng, wall)
        if board is None:
            return
        left, right, y, deep = board
        ends = np.stack([wall.at(left, 0, 0.02), wall.at(right, 0, deep)])
        low, high = ends.min(0), ends.max(0)
        self._clutter(Rect(low[0], high[0], low[2], high[2]), y, _ON_SHELVES)
