"""Open country: hills with paths, rocks, trees, a pond, a hut or ruined walls."""

import numpy as np

from mvdiff.data.scenes import outdoors
from mvdiff.data.scenes import textures as t
from mvdiff.data.scenes.draft import Dice, Draft
from mvdiff.data.scenes.facades import Style, house
from mvdiff.data.scenes.furnish import stand
from mvdiff.data.scenes.scene import Ground
from mvdiff.data.scenes.sky import draw_sky
from mvdiff.data.scenes.soup import AXIS_X, AXIS_Z, SoupBuilder, grid_faces, vertex_normals

Rng = np.random.Generator

_SIDE, _CELLS = 60.0, 120
_WALK, _WALK_CELL = 14.0, 0.25
#: Steepest slope on which a camera stands.
_STEEP = 0.6


class HeightField:
    """A sum of smooth waves, flattened along a winding path."""

    def __init__(self, rng: Rng, relief: float) -> None:
        self._waves = rng.normal(size=(9, 2)) * np.geomspace(0.05, 0.6, 9)[:, None]
        self._phase, self._height = rng.uniform(0, 2 * np.pi, 9), relief * np.geomspace(1.0, 0.05, 9) * 0.6
        self._bend = rng.uniform(0.5, 2.5), rng.uniform(0.06, 0.16), rng.uniform(0, 6)
        self.path_width = rng.uniform(0.6, 1.5)

    def away(self, x: np.ndarray | float, z: np.ndarray | float) -> np.ndarray:
        """Distance from the path's middle, across x."""
        size, often, phase = self._bend
        return np.asarray(np.abs(x - size * np.sin(often * z * 2 + phase)))

    def __call__(self, x: np.ndarray | float, z: np.ndarray | float) -> np.ndarray:
        x, z = np.asarray(x), np.asarray(z)
        angle = x[..., None] * self._waves[:, 0] + z[..., None] * self._waves[:, 1] + self._phase
        hills = (np.sin(angle) * self._height).sum(-1)
        far = np.clip((np.hypot(x, z) - 16) / 14, 0, 1) ** 2 * 2.5  # the land rises around
        calm = 0.35 + 0.65 * np.clip((self.away(x, z) - self.path_width) / 5, 0, 1)
        return np.asarray(hills * calm + far)


def terrain(dice: Dice) -> Draft:
    """Land of 60 m, walked in the middle."""
    rng, builder = dice.seen, SoupBuilder()
    field = HeightField(rng, rng.uniform(*dice.ranges.relief))
    _land(builder, rng, field)
    free = _walkable(field)
    dry = _pond(builder, rng, field) if rng.uniform() < 0.3 else None
    blocked: list[tuple[float, float, float]] = []
    _plants(builder, rng, field, blocked)
    if rng.uniform() < 0.35:
        _building(builder, dice, field, blocked)
    if rng.uniform() < 0.4:
        _ruins(builder, rng, field, blocked)
    _things(builder, dice, field, blocked)
    xs, zs, height = _walk_grid(field)
    for x, z, radius in blocked:
        free &= np.hypot(xs - x, zs - z) > radius
    if dry is not None:
        free &= height > dry
    lighting = outdoors.daylight(rng, dice.ranges.sun_rise, 1.5)
    sky = draw_sky(rng, None if lighting.sun is None else lighting.sun.direction)
    ground = Ground(free, height.astype(np.float32), (-_WALK, -_WALK), _WALK_CELL)
    return Draft(builder, ground, lighting, sky, True)


def _walk_grid(field: HeightField) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ticks = np.arange(-_WALK, _WALK, _WALK_CELL) + _WALK_CELL / 2
    xs, zs = np.meshgrid(ticks, ticks)
    return xs, zs, field(xs, zs)


def _walkable(field: HeightField) -> np.ndarray:
    _, _, height = _walk_grid(field)
    slope = np.hypot(*np.gradient(height, _WALK_CELL))
    return slope < _STEEP


def _land(builder: SoupBuilder, rng: Rng, field: HeightField) -> None:
    """Denser towards the middle, where cameras stand; the path has a material of its own."""
    ticks = np.sign(np.linspace(-1, 1, _CELLS)) * np.abs(np.linspace(-1, 1, _CELLS)) ** 1.6 * _SIDE / 2
    x, z = np.meshgrid(ticks, ticks)
    points = np.stack([x, field(x, z), z], -1)
    kinds = [t.grass, t.soil, t.stone]
    land = builder.texture(t.pick(rng, kinds, [0.65, 0.25, 0.1]))
    patch = np.exp(0.25 * np.sin(x * 0.35 + 1.3 * np.sin(z * 0.22)) - 0.2)
    colors = np.clip(np.ones(3) * patch[..., None], 0, 1).reshape(-1, 3)
    path = builder.texture(t.soil(rng) if rng.uniform() < 0.7 else t.stone(rng))
    on_path = field.away(x, z) < field.path_width
    cell = on_path[:-1, :-1] & on_path[1:, 1:]
    for material, kept, period in ((land, ~cell, 2.2), (path, cell, 1.6)):
        _sheet(builder, points, colors if material == land else np.ones((len(colors), 3)), kept, material, period)


def _sheet(
    builder: SoupBuilder, points: np.ndarray, colors: np.ndarray, kept: np.ndarray, material: int, period: float
) -> None:
    rows, columns = points.shape[:2]
    vertices = points.reshape(-1, 3)
    every = grid_faces(rows, columns, np.ones((rows - 1, columns - 1), bool))
    normals = vertex_normals(vertices, every)
    faces = grid_faces(rows, columns, kept)
    if len(faces):
        builder.add(vertices, faces, normals, colors, vertices[:, [0, 2]] / period, material, True)


def _pond(builder: SoupBuilder, rng: Rng, field: HeightField) -> float:
    """Water as a plane through the lowest tenth; returns its level with a margin."""
    _, _, height = _walk_grid(field)
    level = float(np.quantile(height, 0.1))
    water = builder.texture(np.array([0.25, 0.42, 0.5]) * (0.9 + 0.2 * t.noise(rng, 1.2, (4, 1)))[..., None])
    corner = np.array([-_SIDE / 2, level, _SIDE / 2])
    builder.panel(corner, AXIS_X, -AXIS_Z, _SIDE, _SIDE, 3.0, material=water, period=4)
    return level + 0.05


def _plants(builder: SoupBuilder, rng: Rng, field: HeightField, blocked: list[tuple[float, float, float]]) -> None:
    reach = _SIDE / 2 - 2
    for _ in range(rng.integers(25, 90)):
        x, z = rng.uniform(-reach, reach, 2) * (1.0 if rng.uniform() < 0.5 else 0.45)
        floor = float(field(x, z)) - 0.05
        if field.away(x, z) < field.path_width + 0.8:
            continue
        kind = rng.choice(3, p=[0.5, 0.25, 0.25])
        if kind == 0:
            leaves = outdoors.tree(builder, rng, x, z, floor, rng.uniform(0.8, 1.7))
            blocked.append((x, z, leaves.width / 2 + 0.3))
        elif kind == 1:
            outdoors.bush(builder, rng, x, z, floor)
        else:
            outdoors.rock(builder, rng, x, z, floor, rng.uniform(0.2, 1.2))
        blocked.append((x, z, 1.2))


def _building(builder: SoupBuilder, dice: Dice, field: HeightField, blocked: list[tuple[float, float, float]]) -> None:
    rng = dice.seen
    side, z = rng.choice([-1, 1]), rng.uniform(-9, 9)
    x, width, deep = side * rng.uniform(6, 10), rng.uniform(4, 8), rng.uniform(4, 6)
    floor = float(field(x, z)) - 0.2
    style = Style.draw(builder, rng)
    house(builder, rng, style, (x, z), -side * np.pi / 2, width, deep, 1, floor)
    blocked.append((x + side * deep / 2, z, width / 2 + deep / 2 + 0.6))


def _ruins(builder: SoupBuilder, rng: Rng, field: HeightField, blocked: list[tuple[float, float, float]]) -> None:
    """Pieces of old walls of falling height."""
    wall = builder.texture(t.stone(rng) if rng.uniform() < 0.6 else t.bricks(rng))
    x, z, yaw = *rng.uniform(-10, 10, 2), rng.uniform(0, np.pi)
    for k in range(rng.integers(3, 9)):
        at = np.array([x + np.cos(yaw) * 1.5 * k, z - np.sin(yaw) * 1.5 * k])
        floor = float(field(at[0], at[1])) - 0.3
        size = (1.52, rng.uniform(0.7, 2.8), 0.45)
        builder.box((at[0], floor, at[1]), size, yaw=yaw, step=0.6, material=wall, period=1.4)
        blocked.append((float(at[0]), float(at[1]), 1.2))


def _things(builder: SoupBuilder, dice: Dice, field: HeightField, blocked: list[tuple[float, float, float]]) -> None:
    rng = dice.seen
    for name in rng.choice(("person", "quadruped", "mushroom", "package", "bag", "chair"), size=rng.integers(0, 5)):
        x, z = rng.uniform(-8, 8, 2)
        floor = float(field(x, z)) - 0.03
        stand(builder, rng, dice.library.draw(rng, str(name)), np.array([x, floor, z]), rng.uniform(0, 6.28))
        blocked.append((x, z, 1.0))
