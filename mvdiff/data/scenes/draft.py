"""A scene before its light: what each grammar hands over."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvdiff.data.procedural.hidden import HiddenAttribute
from mvdiff.data.scenes.light import Lighting
from mvdiff.data.scenes.plan import Link, Rect
from mvdiff.data.scenes.ranges import Ranges
from mvdiff.data.scenes.scene import Ground, Viewpoint
from mvdiff.data.scenes.soup import SoupBuilder
from mvdiff.data.scenes.things import Library


@dataclass(frozen=True)
class Dice:
    """Random numbers of a scene: all that a photo may show comes from ``seen``, what is hidden from ``hidden``."""

    seen: np.random.Generator
    hidden: np.random.Generator
    library: Library
    ranges: Ranges
    fixed: str | None = None
    """The hidden attribute's value, where it is not drawn."""


@dataclass(frozen=True)
class Draft:
    builder: SoupBuilder
    ground: Ground
    lighting: Lighting
    sky: np.ndarray
    outdoors: bool
    viewpoint: Viewpoint | None = None
    hidden: HiddenAttribute | None = None


def flat_ground(
    rects: Sequence[Rect],
    used: Sequence[Rect],
    links: Sequence[Link] = (),
    cell: float = 0.1,
    margin: float = 0.32,
    height: float = 0.0,
) -> Ground:
    """Cells inside the rectangles and openings, at least ``margin`` from walls and .27 m from things."""
    x0, x1 = min(r.x0 for r in rects), max(r.x1 for r in rects)
    z0, z1 = min(r.z0 for r in rects), max(r.z1 for r in rects)
    xs, zs = np.arange(x0, x1, cell) + cell / 2, np.arange(z0, z1, cell) + cell / 2
    free = np.zeros((len(zs), len(xs)), bool)

    def mark(rect: Rect, value: bool) -> None:
        free[np.ix_((zs > rect.z0) & (zs < rect.z1), (xs > rect.x0) & (xs < rect.x1))] = value

    for rect in rects:
        mark(rect.grown(-margin), True)
    for link in links:
        reach, inset = margin + cell, min(margin, (link.high - link.low) / 2 - cell)
        r = link.rect
        across = (reach, -inset) if link.along == "z" else (-inset, reach)
        mark(Rect(r.x0 - across[0], r.x1 + across[0], r.z0 - across[1], r.z1 + across[1]), True)
    for rect in used:
        mark(rect.grown(0.27), False)
    return Ground(free, np.full(free.shape, height, np.float32), (float(x0), float(z0)), cell)
