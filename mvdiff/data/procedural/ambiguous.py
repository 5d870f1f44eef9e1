"""Objects with one attribute that a photo from azimuth 0, elevation 0 to 30 degrees, cannot show.

The attribute never touches the bounding box, the farthest vertex or anything visible, so that the photo is the same
picture whatever its value.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from mvdiff.data.procedural import materials as m
from mvdiff.data.procedural import primitives as p
from mvdiff.data.procedural.assembly import Builder
from mvdiff.data.procedural.hidden import Distribution, HiddenAttribute, HiddenHandle
from mvdiff.data.procedural.vessels import handle, hollow

Rng = np.random.Generator
Draw = Callable[[Distribution], Any]

BACK_COLORS = {
    "red": "d62828",
    "yellow": "fcbf49",
    "green": "2a9d4b",
    "blue": "1d4ed8",
    "white": "f5f5f5",
    "black": "1a1a1a",
}
P_HANDLE = 0.6


def hidden_handle_mug(rng: Rng, palette: m.Palette, draw: Draw) -> tuple[Builder, HiddenHandle]:
    """A straight cup on a saucer; its handle, if it has one (p = 0.6), stands at any azimuth."""
    r, h = rng.uniform(0.24, 0.3), rng.uniform(0.5, 0.75)
    plate = r * rng.uniform(1.75, 2.0)
    foot = 0.06
    t = np.linspace(0, 1, 16)
    b = Builder().add(
        p.lathe([(0.5 * plate, 0), (plate, foot), (0.97 * plate, foot + 0.01), (0.6 * plate, 0.03)], 36), palette.second
    )
    b.add(p.lathe(hollow(np.stack([np.full(16, r), 0.03 + h * t], 1), 0.06 * r), 36), m.glazed(rng, palette))
    reach, thickness = r * rng.uniform(0.5, 0.6), 0.1 * r
    ear = handle(h * rng.uniform(0.4, 0.5), reach, thickness).moved((0, 0.03 + 0.38 * h, 0.95 * r))
    value = draw(prior := Distribution(((None, 1 - P_HANDLE),), (0.0, 360.0)))
    color = palette.accent
    if value is not None:
        b.add(ear, color, rotate=(0, value, 0))
    # The frame is that of saucer and cup, so its scale is known without the mesh.
    top = 0.03 + h
    scale = 0.5 / max(np.hypot(plate, top / 2 - foot), np.hypot(r, top / 2), np.hypot(0.5 * plate, top / 2))
    points = (ear.vertices - (0, top / 2, 0)) * scale
    return b, HiddenHandle("handle azimuth", "angle", value, prior, r * scale * np.cos(np.pi / 36), points)


def hidden_back_color(rng: Rng, palette: m.Palette, draw: Draw) -> tuple[Builder, HiddenAttribute]:
    """A smooth body whose back is painted in one of six colors, whatever the front's."""
    names = tuple(BACK_COLORS)
    value = draw(prior := Distribution(tuple((name, 1 / len(names)) for name in names)))
    front, back = palette.main, m.hexed(BACK_COLORS[value])
    size = rng.uniform(0.5, 1, 3)
    # The limb of a body seen from a finite distance lies in front of its widest section: the border is behind both.
    paint = m.choose(lambda q, uv: q[:, 2] < -0.02, front, back)
    b = Builder()
    if rng.uniform() < 0.5:
        b.add(
            p.box(size, 0.1 * size.min(), 8), m.choose(lambda q, uv: q[:, 2] < -0.999, front, back), (0, size[1] / 2, 0)
        )
    else:
        size[1] = size[0]  # height and depth decide what shows above the top: the border is set from the true ellipse
        slant = np.tan(np.radians(38)) * size[2] / size[1]
        paint = m.choose(lambda q, uv: q[:, 2] + q[:, 1].clip(0) * slant * 1.6 < -0.55, front, back)
        b.add(p.superquadric(size, (1, 1), 30, 40), paint, (0, size[1] / 2, 0))
    b.add(p.cylinder(0.2 * size[0], 0.08, 0.12 * size[0]), palette.dark, (0, -0.06, 0.1 * size[2]))
    b.mirrored(p.ball(0.07 * size[0], 8, 12), palette.light, (0.18 * size[0], 0.65 * size[1], 0.43 * size[2]))
    return b, HiddenAttribute("back colour", "choice", value, prior)


def hidden_rear_legs(rng: Rng, palette: m.Palette, draw: Draw) -> tuple[Builder, HiddenAttribute]:
    """A counter with a front panel down to the floor; behind it one to four rear legs."""
    w, h, d = rng.uniform(0.8, 1.3), rng.uniform(0.7, 1.0), rng.uniform(0.4, 0.6)
    value = draw(prior := Distribution(((1, 0.2), (2, 0.4), (3, 0.2), (4, 0.2))))
    b = Builder().add(p.box((w, 0.06, d), 0.01, 8), m.wood(rng, palette), (0, h - 0.03, 0))
    b.add(p.box((w, h - 0.06, 0.04), 0, 14), m.glazed(rng, palette), (0, (h - 0.06) / 2, d / 2 - 0.02))
    leg, color = p.cylinder(0.03, h - 0.06, 0.04, 12, 2), palette.pick(m.METALS)
    for x in [0.0] if value == 1 else np.linspace(-0.4, 0.4, value) * w:
        b.add(leg, color, (x, 0, -d / 2 + 0.08))
    return b, HiddenAttribute("rear legs", "count", value, prior)


def hidden_back_bulge(rng: Rng, palette: m.Palette, draw: Draw) -> tuple[Builder, HiddenAttribute]:
    """A screen on a wide plate, with a casing behind that is as deep as it likes."""
    w, h, plate = rng.uniform(0.8, 1.2), rng.uniform(0.7, 0.9), rng.uniform(0.8, 1.0)
    value = draw(prior := Distribution((), (0.05, 0.5)))
    b = Builder().add(p.box((w, 0.06, plate), 0.02, 5), palette.dark, (0, 0.03, 0))
    z = 0.3 * plate
    b.add(p.box((w, h, 0.08), 0.02, 4), palette.main, (0, 0.06 + h / 2, z))
    b.add(p.box((0.86 * w, 0.8 * h, 0.02), 0, 16), m.glazed(rng, palette), (0, 0.08 + h / 2, z + 0.035))
    depth = value * plate
    # Low enough that no line of sight down to 45 degrees over the screen's edge meets it.
    top = max(0.12 * h, h - 0.06 - 1.0 * 0.5 * plate)
    b.add(p.box((0.6 * w, top, depth + 0.04), 0.02, 5), palette.main, (0, 0.06 + top / 2, z - 0.02 - depth / 2))
    return b, HiddenAttribute("casing depth over plate depth", "length", value, prior)


FAMILIES = {
    "hidden_handle_mug": hidden_handle_mug,
    "hidden_back_color": hidden_back_color,
    "hidden_rear_legs": hidden_rear_legs,
    "hidden_back_bulge": hidden_back_bulge,
}
