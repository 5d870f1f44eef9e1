"""Shared by all outdoor grammars: sunlight, trees, things that stand about."""

from collections.abc import Sequence

import numpy as np

from mvdiff.data.procedural.primitives import ball
from mvdiff.data.scenes import textures as t
from mvdiff.data.scenes.draft import Dice
from mvdiff.data.scenes.furnish import stand
from mvdiff.data.scenes.light import Lighting
from mvdiff.data.scenes.plan import Rect
from mvdiff.data.scenes.scene import Sun
from mvdiff.data.scenes.soup import SoupBuilder, vertex_normals

Rng = np.random.Generator


def daylight(rng: Rng, rise: tuple[float, float], reach: float = 1.8) -> Lighting:
    """A sky, and in six of seven scenes the sun."""
    sun = None
    if rng.uniform() < 0.86:
        angle, up = rng.uniform(0, 2 * np.pi), rng.uniform(*rise)
        direction = np.array([np.sin(angle) * np.cos(up), np.sin(up), np.cos(angle) * np.cos(up)])
        sun = Sun(direction, np.array([1.0, rng.uniform(0.85, 0.98), rng.uniform(0.7, 0.92)]) * rng.uniform(0.7, 1.3))
    sky = np.array([rng.uniform(0.85, 1.0), rng.uniform(0.92, 1.0), 1.05]) * rng.uniform(0.35, 0.6)
    return Lighting(sky, reach, (), sun, brightness=rng.uniform(0.5, 0.75))


def tree(builder: SoupBuilder, rng: Rng, x: float, z: float, floor: float, scale: float = 1.0) -> Rect:
    """A trunk under clumps of leaves, or a cone of them; returns the ground on which leaves hang at eye level."""
    tall, bark = rng.uniform(2.2, 3.4) * scale, np.array([0.35, 0.26, 0.19]) * rng.uniform(0.7, 1.3)
    builder.box((x, floor, z), (0.24 * scale, tall + 0.4, 0.24 * scale), bark, rng.uniform(0, 1), 1.0)
    green = np.array([rng.uniform(0.15, 0.42), rng.uniform(0.32, 0.55), rng.uniform(0.08, 0.22)])
    leaves = builder.texture(np.full(3, 0.8) * (0.5 + t.noise(rng, 0.5))[..., None])
    conifer = rng.uniform() < 0.3
    for k in range(rng.integers(4, 9)):
        if conifer:
            center = np.array([x, floor + tall * 0.5 + k * 0.5 * scale, z])
            size = np.array([1.3 - 0.14 * k, 0.5, 1.3 - 0.14 * k]) * scale
        else:
            center = np.array([x, floor + tall, z]) + rng.normal(0, 0.6, 3) * np.array([1, 0.6, 1]) * scale
            size = rng.uniform(0.6, 1.4) * np.array([1, 0.85, 1]) * scale
        _clump(builder, rng, center, size, green, leaves)
    reach = (2.8 if conifer else 1.8) * scale
    return Rect.around(x, z, reach, reach)


def bush(builder: SoupBuilder, rng: Rng, x: float, z: float, floor: float) -> None:
    green = np.array([rng.uniform(0.15, 0.4), rng.uniform(0.3, 0.5), rng.uniform(0.08, 0.22)])
    leaves = builder.texture(np.full(3, 0.8) * (0.5 + t.noise(rng, 0.4))[..., None])
    for _ in range(rng.integers(1, 4)):
        size = rng.uniform(0.3, 0.7, 3)
        _clump(
            builder,
            rng,
            np.array([x + rng.normal(0, 0.3), floor + size[1] * 0.6, z + rng.normal(0, 0.3)]),
            size,
            green,
            leaves,
        )


def rock(builder: SoupBuilder, rng: Rng, x: float, z: float, floor: float, size: float) -> None:
    part = ball(1.0, 8, 12)
    bump = np.sin(part.vertices @ rng.normal(0, 2.5, (3, 4)) + rng.uniform(0, 6, 4)).mean(1, keepdims=True)
    vertices = part.vertices * (1 + 0.35 * bump) * size * rng.uniform(0.5, 1.1, 3) + np.array(
        [x, floor + 0.1 * size, z]
    )
    color = t.tint(rng, (0, 0.15), (0.35, 0.7), 1.0)
    builder.add(vertices, part.faces, vertex_normals(vertices, part.faces), color)


def _clump(
    builder: SoupBuilder, rng: Rng, center: np.ndarray, size: np.ndarray, green: np.ndarray, leaves: int
) -> None:
    part = ball(1.0, 8, 12)
    vertices = part.vertices * size * (1 + 0.16 * rng.normal(size=(len(part.vertices), 1))) + center
    shade = np.exp(0.2 * rng.normal(size=(len(vertices), 1)) + 0.25 * part.vertices[:, 1:2])
    uv = np.stack([vertices[:, 0] + 0.6 * vertices[:, 2], vertices[:, 1]], -1) / 0.9
    colors = np.clip(green * shade, 0, 1)
    builder.add(vertices, part.faces, vertex_normals(vertices, part.faces), colors, uv, leaves)


def scatter(
    builder: SoupBuilder, dice: Dice, families: Sequence[str], where: Rect, count: int, used: list[Rect], floor: float
) -> None:
    """Things anywhere in a rectangle, apart from all that is ``used``."""
    rng = dice.seen
    for name in rng.choice(families, size=count):
        thing = dice.library.draw(rng, str(name))
        reach = float(max(thing.size[0], thing.size[2]))
        x, z = rng.uniform(where.x0, where.x1), rng.uniform(where.z0, where.z1)
        if not any(Rect.around(x, z, reach, reach).touches(other, 0.1) for other in used):
            used.append(stand(builder, rng, thing, np.array([x, floor, z]), rng.uniform(0, 2 * np.pi)))
