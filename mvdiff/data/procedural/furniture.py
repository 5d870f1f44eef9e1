"""Furniture and things of the room."""

import numpy as np

from mvdiff.data.procedural import materials as m
from mvdiff.data.procedural import primitives as p
from mvdiff.data.procedural.assembly import Builder

Rng = np.random.Generator


def _surface(rng: Rng, palette: m.Palette, axis: int = 0) -> m.Paint:
    return m.wood(rng, palette, axis) if rng.uniform() < 0.55 else m.solid(palette.any())


def _leg(rng: Rng, height: float, thickness: float) -> p.Part:
    kind = rng.integers(3)
    if kind == 0:
        return p.box((thickness, height, thickness)).moved((0, height / 2, 0))
    if kind == 1:
        return p.cylinder(thickness * 0.35, height, thickness * 0.6, 10, 2)
    t = np.linspace(0, 1, 12)
    return p.lathe(np.stack([thickness * (0.45 + 0.2 * np.sin(t * rng.uniform(8, 20))), height * t], 1), 10)


def chair(rng: Rng, palette: m.Palette) -> Builder:
    w, d, seat, back = rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.55), rng.uniform(0.4, 0.5), rng.uniform(0.35, 0.7)
    t = rng.uniform(0.035, 0.06)
    frame, cushion = (
        _surface(rng, palette, 1),
        m.glazed(rng, palette) if rng.uniform() < 0.5 else _surface(rng, palette),
    )
    b = Builder()
    leg = _leg(rng, seat, t)
    splay = rng.uniform(0, 8)
    for z, turn in ((d / 2 - t, -splay), (-d / 2 + t, splay)):
        b.mirrored(leg, frame, (w / 2 - t, 0, z), (turn, 0, 0))
    thick = rng.uniform(0.03, 0.1)
    b.add(p.box((w, thick, d), 0.4 * thick, 6), cushion, (0, seat + thick / 2, 0))
    lean, kind = rng.uniform(2, 14), rng.integers(4)
    y, z = seat + thick, -d / 2 + t / 2
    if kind == 0:
        b.add(p.box((w, back, t), 0.3 * t, 8).moved((0, back / 2, 0)), cushion, (0, y, z), (-lean, 0, 0))
    else:
        b.mirrored(p.box((t, back, t)).moved((0, back / 2, 0)), frame, (w / 2 - t / 2, y, z), (-lean, 0, 0))
        count = rng.integers(2, 5) if kind == 1 else rng.integers(3, 7)
        for k in range(count):
            if kind == 1:
                bar = p.box((w - t, 0.4 * back / count, 0.6 * t), 0, 3).moved((0, back * (k + 0.7) / count, 0))
            else:
                bar = p.box((0.5 * t, back, 0.5 * t)).moved(
                    ((k + 1) / (count + 1) * (w - t) - (w - t) / 2, back / 2, 0)
                )
            b.add(bar, frame, (0, y, z), (-lean, 0, 0))
        if kind > 1:
            b.add(p.box((w, 0.14 * back, t), 0.2 * t).moved((0, back * 0.95, 0)), frame, (0, y, z), (-lean, 0, 0))
    if rng.uniform() < 0.35:
        arm = rng.uniform(0.15, 0.25)
        b.mirrored(p.box((t, t, d * 0.9), 0.2 * t), frame, (w / 2, y + arm, 0))
        b.mirrored(p.box((t, arm, t)), frame, (w / 2, y + arm / 2, d * 0.35))
    return b


def table(rng: Rng, palette: m.Palette) -> Builder:
    w, d, h = rng.uniform(0.6, 1.6), rng.uniform(0.5, 0.9), rng.uniform(0.35, 0.9)
    thick = rng.uniform(0.03, 0.08)
    top, legs = (_surface(rng, palette) if rng.uniform() < 0.7 else m.glazed(rng, palette)), _surface(rng, palette, 1)
    b = Builder()
    if rng.uniform() < 0.35:
        r = d / 2 * rng.uniform(0.9, 1.3)
        b.add(p.lathe([(r * k / 5, h) for k in range(6)][::-1] + [(0, h - thick), (r, h - thick)][::-1], 32), top)
        b.add(p.cylinder(r * 0.6, 0.04, r * 0.5), legs).add(p.cylinder(0.06, h - thick, rng.uniform(0.04, 0.1)), legs)
        return b
    b.add(p.box((w, thick, d), rng.uniform(0, 0.4) * thick, 10), top, (0, h - thick / 2, 0))
    t = rng.uniform(0.04, 0.09)
    leg = _leg(rng, h - thick, t)
    for z in (d / 2 - t, -d / 2 + t):
        b.mirrored(leg, legs, (w / 2 - t, 0, z))
    if rng.uniform() < 0.5:
        b.add(p.box((w - 2 * t, rng.uniform(0.05, 0.2), d - 2 * t)), legs, (0, h - thick - 0.05, 0))
    if rng.uniform() < 0.3:
        b.add(p.box((w - 2 * t, 0.02, d - 2 * t), 0, 4), top, (0, h * 0.3, 0))
    return b


def sofa(rng: Rng, palette: m.Palette) -> Builder:
    seats = rng.integers(1, 4)
    w, d, h, arm = 0.65 * seats, rng.uniform(0.7, 0.95), rng.uniform(0.3, 0.45), rng.uniform(0.12, 0.25)
    cloth, pillow = m.glazed(rng, palette) if rng.uniform() < 0.4 else m.solid(palette.main), m.glazed(rng, palette)
    r = rng.uniform(0.02, 0.06)
    b = Builder().add(p.box((w + 2 * arm, h, d), r, 4), cloth, (0, h / 2 + 0.08, 0))
    back = rng.uniform(0.35, 0.6)
    b.add(p.box((w + 2 * arm, back + h, 0.2), r, 6), cloth, (0, (back + h) / 2 + 0.08, -d / 2))
    b.mirrored(p.box((arm, h + 0.25, d), r, 5), cloth, (w / 2 + arm / 2, h / 2 + 0.2, 0))
    for k in range(seats):
        x = (k + 0.5) * 0.65 - w / 2
        b.add(p.box((0.63, 0.15, d - 0.1), 0.05, 2), m.solid(palette.second), (x, h + 0.13, 0.05))
        if rng.uniform() < 0.6:
            b.add(p.box((0.4, 0.4, 0.14), 0.06, 5), pillow, (x, h + 0.38, -d / 2 + 0.2), (-20, rng.uniform(-15, 15), 0))
    for z in (d / 2 - 0.08, -d / 2 + 0.08):
        b.mirrored(p.cylinder(0.025, 0.1, 0.035, 10, 1), palette.dark, (w / 2, 0, z))
    return b


def cabinet(rng: Rng, palette: m.Palette) -> Builder:
    """Drawers, doors or open shelves in a case."""
    w, h, d = rng.uniform(0.5, 1.2), rng.uniform(0.6, 1.7), rng.uniform(0.3, 0.55)
    body, front = _surface(rng, palette, 1), _surface(rng, palette)
    metal = palette.pick(m.METALS)
    b = Builder()
    rows, columns = rng.integers(1, 5), rng.integers(1, 4)
    opened = rng.uniform() < 0.4
    if opened:
        for x in np.linspace(-w / 2, w / 2, columns + 1):
            b.add(p.box((0.03, h, d), 0, 4), body, (x, h / 2, 0))
        for y in np.linspace(0.02, h, rows + 1):
            b.add(p.box((w, 0.03, d), 0, 3), body, (0, y, 0))
        b.add(p.box((w, h, 0.02), 0, 5), front, (0, h / 2, -d / 2))
    else:
        b.add(p.box((w, h, d), 0.01, 6), body, (0, h / 2 + 0.05, 0))
    for i in range(rows):
        for j in range(columns):
            cw, ch = w / columns, h / rows
            x, y = (j + 0.5) * cw - w / 2, (i + 0.5) * ch
            if not opened:
                b.add(p.box((cw * 0.92, ch * 0.92, 0.03), 0.008, 3), front, (x, y + 0.05, d / 2))
                b.add(p.ball(0.025, 5, 6), metal, (x, y + 0.05 + 0.2 * ch, d / 2 + 0.03))
                continue
            left = x - cw * 0.4
            for _ in range(rng.integers(0, 7)):
                bw, bh = rng.uniform(0.025, 0.07), ch * rng.uniform(0.5, 0.88)
                if left + bw > x + cw * 0.42:
                    break
                b.add(p.box((bw, bh, d * 0.7), 0, 1), palette.any(), (left + bw / 2, y - ch / 2 + bh / 2 + 0.03, 0))
                left += bw * 1.05
    for z in (d / 2 - 0.05, -d / 2 + 0.05):
        b.mirrored(p.box((0.05, 0.08, 0.05)), palette.dark, (w / 2 - 0.05, 0.02, z))
    return b


def bed(rng: Rng, palette: m.Palette) -> Builder:
    w, length, h = rng.uniform(0.9, 1.7), rng.uniform(1.9, 2.1), rng.uniform(0.25, 0.45)
    frame, cover = _surface(rng, palette), m.glazed(rng, palette)
    b = Builder().add(p.box((w, 0.15, length), 0.02, 4), frame, (0, h, 0))
    for z in (length / 2 - 0.06, -length / 2 + 0.06):
        b.mirrored(_leg(rng, h, 0.1), frame, (w / 2 - 0.06, 0, z))
    b.add(p.box((w * 0.96, 0.2, length * 0.96), 0.06, 6), m.solid(palette.light), (0, h + 0.15, 0))
    b.add(p.box((w * 1.02, 0.2, length * 0.65), 0.05, 12), cover, (0, h + 0.18, length * 0.18))
    head = rng.uniform(0.5, 0.9)
    b.add(p.box((w, head, 0.08), rng.uniform(0, 0.03), 6), frame, (0, h + head / 2, -length / 2))
    count = 1 if w < 1.2 else 2
    for k in range(count):
        x = (k + 0.5) * w / count - w / 2
        b.add(
            p.superquadric((0.8 * w / count, 0.18, 0.4), (0.7, 0.5), 8, 20),
            palette.light,
            (x, h + 0.32, -length * 0.36),
        )
    return b


def lamp(rng: Rng, palette: m.Palette) -> Builder:
    h, r = rng.uniform(0.5, 1.5), rng.uniform(0.15, 0.3)
    metal = m.solid(palette.pick(m.METALS)) if rng.uniform() < 0.6 else m.glazed(rng, palette)
    shade = m.glazed(rng, palette)
    b = Builder().add(p.cylinder(r * rng.uniform(0.6, 1), 0.04, r * 0.5), metal)
    if rng.uniform() < 0.4:
        body = rng.uniform(0.3, 0.8) * r
        t = np.linspace(0, 1, 14)
        b.add(
            p.lathe(np.stack([0.03 + body * np.sin(np.pi * t) ** rng.uniform(0.5, 2), 0.03 + h * 0.6 * t], 1)),
            m.glazed(rng, palette),
        )
    if rng.uniform() < 0.25:
        arm = p.curve((0, 0.02, 0), (0, h * 0.7, -0.15), (0, h, 0.05), (0, h * 0.95, 0.25))
        return b.add(p.tube(arm, 0.018, 10), metal).add(
            p.cylinder(r * 0.7, r * 0.7, r * 0.2), shade, (0, h * 0.95, 0.25), (20, 0, 0)
        )
    b.add(p.cylinder(0.018, h, segments=10), metal)
    return b.add(p.cylinder(r, rng.uniform(0.2, 0.4), r * rng.uniform(0.4, 1.0), rows=10), shade, (0, h - 0.05, 0))


FAMILIES = {"chair": chair, "table": table, "sofa": sofa, "cabinet": cabinet, "bed": bed, "lamp": lamp}
