"""Pots, cups, bottles, boxes and bags."""

import numpy as np

from mvdiff.data.procedural import materials as m
from mvdiff.data.procedural import primitives as p
from mvdiff.data.procedural.assembly import Builder

Rng = np.random.Generator


def handle(height: float, reach: float, thickness: float, segments: int = 8) -> p.Part:
    """An ear in the plane of +Z and +Y: from (y = -height/2, z = 0) out to z = reach and back."""
    t = np.linspace(-np.pi / 2, np.pi / 2, 16)
    return p.tube(np.stack([0 * t, np.sin(t) * height / 2, np.cos(t) ** 0.7 * reach], 1), thickness, segments, flat=0.8)


def hollow(outer: np.ndarray, wall: float) -> np.ndarray:
    """The profile of a vessel open at the top, from that of its outside (bottom first)."""
    inner = outer[::-1] - (wall, 0)
    inner[:, 0] = inner[:, 0].clip(0)
    inner[-1, 1] = outer[0, 1] + wall
    inner[:, 1] = inner[:, 1].clip(outer[0, 1] + wall)
    return np.concatenate([outer, inner])


def mug(rng: Rng, palette: m.Palette) -> Builder:
    r, h, flare = rng.uniform(0.3, 0.5), rng.uniform(0.6, 1.2), rng.uniform(-0.15, 0.2)
    t = np.linspace(0, 1, 14)
    outer = np.stack([r * (1 + flare * (t - 0.5) + rng.uniform(-0.1, 0.2) * np.sin(np.pi * t)), h * t], 1)
    paint = m.glazed(rng, palette)
    b = Builder().add(p.lathe(hollow(outer, 0.07 * r), 32), paint)
    if rng.uniform() < 0.6:
        b.add(p.cylinder(0.85 * r, 0.01, segments=24, rows=1), palette.pick(m.EARTHS), (0, h * 0.8, 0))
    turn = rng.uniform(0, 360)
    part = handle(h * rng.uniform(0.45, 0.7), r * rng.uniform(0.5, 0.9), 0.1 * r).moved((0, h / 2, r * 0.92))
    return b.add(part, palette.second if rng.uniform() < 0.3 else palette.main, rotate=(0, turn, 0))


def bottle(rng: Rng, palette: m.Palette) -> Builder:
    r, h = rng.uniform(0.15, 0.3), rng.uniform(0.7, 1.2)
    neck, shoulder = r * rng.uniform(0.25, 0.6), rng.uniform(0.5, 0.8)
    t = np.linspace(0, 1, 10)
    body = np.stack([np.full(10, r) * (1 - rng.uniform(0, 0.12) * np.sin(np.pi * t)), h * shoulder * t], 1)
    curve = np.stack([r + (neck - r) * (0.5 - 0.5 * np.cos(np.pi * t)), h * (shoulder + (0.88 - shoulder) * t)], 1)
    glass = palette.main
    squash = (1.0, rng.uniform(0.45, 1)) if rng.uniform() < 0.3 else (1.0, 1.0)
    b = Builder().add(p.lathe(np.concatenate([body, curve[1:], [(neck, h * 0.95)]]), 28, squash), glass)
    low, high = rng.uniform(0.05, 0.3), rng.uniform(0.4, 0.95)
    label = (
        m.band(palette.light, palette.second, -0.6, 0.5, palette.accent)
        if rng.uniform() < 0.6
        else m.glazed(rng, palette)
    )
    b.add(
        p.cylinder(1.015 * r, h * shoulder * (high - low), segments=32, rows=14),
        label,
        (0, h * shoulder * low, 0),
        scale=(squash[0], 1, squash[1]),
    )
    return b.add(
        p.cylinder(neck * 1.15, h * rng.uniform(0.06, 0.12), segments=16),
        palette.accent,
        (0, h * 0.93, 0),
        scale=(1, 1, squash[1]),
    )


def vase(rng: Rng, palette: m.Palette) -> Builder:
    h = rng.uniform(0.7, 1.4)
    t = np.linspace(0, 1, 26)
    knots = rng.uniform(0.15, 0.5, 6)
    r = np.interp(t, np.linspace(0, 1, 6), knots)
    r = np.convolve(np.pad(r, 4, mode="edge"), np.hanning(9) / np.hanning(9).sum(), "valid")
    b = Builder().add(p.lathe(hollow(np.stack([r, h * t], 1), 0.025), 32), m.glazed(rng, palette))
    if rng.uniform() < 0.3:
        part = handle(h * 0.35, 0.18, 0.025)
        b.mirrored(part, palette.second, (np.interp(0.65, t, r) * 0.9, h * 0.65, 0), (0, 90, 0))
    if rng.uniform() < 0.35:
        for _ in range(rng.integers(3, 8)):
            x, z = rng.normal(size=2) * 0.2
            y = h * rng.uniform(1.2, 1.6)
            b.add(
                p.tube(p.curve((0, h * 0.6, 0), (x * 0.3, h, z * 0.3), (x, y, z), count=8), 0.012, 6),
                palette.pick(m.LEAVES),
            )
            b.add(p.ball((0.08, 0.06, 0.08), 8, 12), palette.any(), (x, y, z))
    return b


def bowl(rng: Rng, palette: m.Palette) -> Builder:
    r, h = rng.uniform(0.4, 0.6), rng.uniform(0.15, 0.45)
    t = np.linspace(0, 1, 16)
    outer = np.stack(
        [0.3 * r + 0.7 * r * np.sin(t * np.pi / 2) ** rng.uniform(0.7, 1.6), h * t ** rng.uniform(1, 2)], 1
    )
    b = Builder().add(p.lathe(hollow(outer, 0.05 * r), 36), m.glazed(rng, palette))
    kind = rng.integers(3)
    for _ in range(rng.integers(3, 9) if kind == 0 else 0):
        a, d, s = rng.uniform(0, 6.28), rng.uniform(0, 0.5) * r, rng.uniform(0.1, 0.16)
        b.add(p.ball(s, 9, 14), palette.any(), (d * np.cos(a), h * rng.uniform(0.6, 1.1), d * np.sin(a)))
    if kind == 1:
        b.add(
            p.cylinder(0.85 * r, 0.02, segments=28, rows=1),
            m.mottled(rng, palette.second, palette.accent),
            (0, h * 0.7, 0),
        )
    return b


def teapot(rng: Rng, palette: m.Palette) -> Builder:
    r, h = rng.uniform(0.35, 0.5), rng.uniform(0.5, 0.9)
    t = np.linspace(0.05, 0.97, 18)
    paint = m.glazed(rng, palette)
    b = Builder().add(p.lathe(np.stack([r * np.sin(np.pi * t) ** rng.uniform(0.4, 0.8), h * t], 1), 32), paint)
    side = float(rng.choice([-1.0, 1.0]))
    spout = p.curve((r * 0.75, h * 0.3, 0), (r * 1.35, h * 0.5, 0), (r * 1.55, h * rng.uniform(0.8, 1.05), 0))
    b.add(p.tube(spout, np.linspace(0.13, 0.05, 14), 12), palette.main, scale=(side, 1, 1))
    if rng.uniform() < 0.6:
        b.add(handle(h * 0.6, r * 0.7, 0.045), palette.second, (-side * r * 0.8, h * 0.5, 0), (0, -90 * side, 0))
    else:
        b.add(handle(2 * r * 0.8, h * 0.6, 0.035), palette.second, (0, h * 0.85, 0), (-90, 90, 0))
    b.add(p.lathe([(r * 0.5, 0), (r * 0.45, 0.05), (0.1, 0.1), (0.05, 0.13)]), palette.second, (0, h * 0.93, 0))
    return b.add(p.ball(rng.uniform(0.05, 0.08), 8, 12), palette.accent, (0, h * 0.93 + 0.15, 0))


def package(rng: Rng, palette: m.Palette) -> Builder:
    """Cartons, tins and crates."""
    w, h, d = rng.uniform(0.4, 1.0), rng.uniform(0.3, 1.2), rng.uniform(0.15, 0.9)
    kind = rng.integers(3)
    b = Builder()
    if kind == 0:
        paint = m.band(palette.main, palette.second, -rng.uniform(0, 0.8), rng.uniform(0, 0.8), palette.accent)
        b.add(p.box((w, h, d), rng.uniform(0, 0.03), 14), paint, (0, h / 2, 0))
        if rng.uniform() < 0.5:
            b.add(p.box((w * 0.15, h * 1.004, d * 1.004)), palette.light, (0, h / 2, 0))
    elif kind == 1:
        r = w / 2
        b.add(
            p.lathe(
                [
                    (r, 0),
                    (r, h * 0.04),
                    (r * 0.97, h * 0.05),
                    *((r * 0.97, h * k / 12) for k in range(1, 12)),
                    (r * 0.97, h * 0.95),
                    (r, h * 0.96),
                    (r, h),
                    (r * 0.93, h),
                    (r * 0.9, h * 0.97),
                ],
                32,
            ),
            m.band(palette.pick(m.METALS), palette.main, -0.85, 0.85, palette.light),
        )
    else:
        plank, post = m.wood(rng, palette), m.wood(rng, palette, 1)
        rows = rng.integers(3, 6)
        for k in range(rows):
            y = h * (k + 0.5) / rows
            for z in (d / 2, -d / 2):
                b.add(p.box((w, 0.8 * h / rows, 0.03), 0, 4), plank, (0, y, z))
            b.mirrored(p.box((0.03, 0.8 * h / rows, d), 0, 3), plank, (w / 2, y, 0))
        for z in (d / 2 - 0.03, -d / 2 + 0.03):
            b.mirrored(p.box((0.07, h, 0.07)), post, (w / 2 - 0.03, h / 2, z))
        b.add(p.box((w, 0.03, d), 0, 4), plank, (0, 0.03, 0))
    return b


def bag(rng: Rng, palette: m.Palette) -> Builder:
    """Handbags, rucksacks and suitcases."""
    w, h, d = rng.uniform(0.5, 0.9), rng.uniform(0.5, 1.0), rng.uniform(0.2, 0.4)
    cloth, trim = m.glazed(rng, palette), palette.second
    b = Builder()
    body = p.superquadric((w, h, d), (rng.uniform(0.25, 0.6), rng.uniform(0.25, 0.6)), 24, 40)
    b.add(body, cloth, (0, h / 2, 0))
    b.add(p.superquadric((w * 0.7, h * 0.4, d * 0.4), (0.4, 0.4), 12, 24), trim, (0, h * 0.3, d * 0.45))
    b.add(
        p.tube(
            p.curve(
                (-w * 0.25, h * 0.95, 0),
                (-w * 0.2, h * 1.2, 0),
                (w * 0.2, h * 1.2, 0),
                (w * 0.25, h * 0.95, 0),
                count=18,
            ),
            0.025,
            8,
        ),
        palette.dark,
    )
    if rng.uniform() < 0.5:
        strap = p.curve((w * 0.25, h * 0.9, -d * 0.4), (w * 0.28, h * 0.6, -d * 0.85), (w * 0.25, h * 0.15, -d * 0.45))
        b.mirrored(p.tube(strap, 0.035, 8, flat=0.5), palette.dark)
    if rng.uniform() < 0.4:
        b.mirrored(
            p.cylinder(0.06, 0.04, segments=14, rows=1).moved((0, -0.02, 0)),
            palette.dark,
            (w * 0.35, 0.02, 0),
            (0, 0, 90),
        )
    return b


FAMILIES = {"mug": mug, "bottle": bottle, "vase": vase, "bowl": bowl, "teapot": teapot, "package": package, "bag": bag}
