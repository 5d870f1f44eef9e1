"""Tools, instruments, electronics, shoes, toys and forms without a name."""

import numpy as np

from mvdiff.data.procedural import materials as m
from mvdiff.data.procedural import primitives as p
from mvdiff.data.procedural.assembly import Builder

Rng = np.random.Generator


def tool(rng: Rng, palette: m.Palette) -> Builder:
    """Hammers, screwdrivers, brushes, spades and axes, standing upright."""
    length, r = rng.uniform(0.7, 1.1), rng.uniform(0.035, 0.06)
    metal, kind = palette.pick(m.METALS), rng.integers(5)
    grip = (
        m.wood(rng, palette, 1)
        if rng.uniform() < 0.5
        else m.stripes(palette.main, palette.dark, rng.integers(2, 9), 1, 0.6)
    )
    t = np.linspace(0, 1, 14)
    b = Builder()
    if kind != 1:
        b.add(
            p.lathe(np.stack([r * (1 + 0.25 * np.cos(7 * t)), length * t], 1), 16),
            grip,
            scale=(1, 1, rng.uniform(0.7, 1.2)),
        )
    if kind == 0:
        head = p.cylinder(rng.uniform(0.07, 0.12), 0.3, rng.uniform(0.07, 0.12), 18).moved((0, -0.05, 0))
        b.add(head, metal, (0, length, 0), (0, 0, -90)).add(
            p.cylinder(0.07, 0.22, 0.01, 12), metal, (0, length, 0), (0, 0, 90), (1, 1, 0.4)
        )
    elif kind == 1:
        b.add(
            p.superquadric((0.17, length * 0.5, 0.17), (0.5, 1), 18, 24),
            m.around(palette.main, palette.dark, 6),
            (0, length * 0.75, 0),
        )
        b.add(p.cylinder(0.028, length * 0.6, segments=12), metal).add(p.box((0.07, 0.12, 0.02)), metal)
    elif kind == 2:
        w, h = rng.uniform(0.1, 0.3), rng.uniform(0.12, 0.3)
        b.add(p.box((w, 0.1, 0.08), 0.01), metal, (0, length, 0))
        b.add(
            p.box((w * 0.96, h, 0.07), 0, 8),
            m.stripes(palette.light, palette.second, 12, 0),
            (0, length + 0.05 + h / 2, 0),
        )
    elif kind == 3:
        w = rng.uniform(0.13, 0.2)
        blade = [(-w, 0), (w, 0), (w * 0.95, 0.3), (0, 0.5), (-w * 0.95, 0.3)]
        b.add(p.extrude(blade, 0.04, 4), metal, (0, length * 0.97, 0)).add(
            p.box((0.25, 0.05, 0.06), 0.02), palette.main
        )
    else:
        blade = [(0, -0.1), (0.12, -0.14), (0.3, -0.25), (0.34, 0), (0.3, 0.2), (0.12, 0.1), (0, 0.1)]
        b.add(
            p.extrude(blade, 0.06, 4),
            m.two_tone(metal, palette.accent, -0.2, 0),
            (0, length * 0.93, 0),
            scale=(float(rng.choice([-1.0, 1.0])), 1, 1),
        )
    return b


def guitar(rng: Rng, palette: m.Palette) -> Builder:
    a = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    waist, size = rng.uniform(0.1, 0.3), rng.uniform(0.3, 0.4)
    r = size * (1 - waist * np.cos(2 * (a - np.pi / 2)) * -0.6 - 0.18 * np.sin(a) + waist * 0.3 * np.sin(3 * a))
    outline = np.stack([r * np.cos(a), r * np.sin(a) * 1.15], 1)
    depth = rng.uniform(0.08, 0.2)
    front = m.wood(rng, palette, 1) if rng.uniform() < 0.6 else m.glazed(rng, palette)
    b = Builder().add(p.extrude(outline, depth, 7), front)
    b.add(p.cylinder(0.1, 0.01, segments=24, rows=1), palette.dark, (0, 0.05, depth / 2), (90, 0, 0))
    neck = rng.uniform(0.7, 0.95)
    b.add(
        p.box((0.08, neck, 0.05), 0, 12),
        m.stripes(m.hexed("3b2413"), m.hexed("b9a47c"), 14, 1, 0.85),
        (0, size + neck / 2 - 0.1, depth / 2),
    )
    b.add(p.box((0.14, 0.2, 0.05), 0.01), palette.pick(m.WOODS), (0, size + neck, depth / 2)).add(
        p.box((0.2, 0.03, 0.04)), palette.dark, (0, -size * 0.5, depth / 2)
    )
    for k in range(3):
        b.mirrored(p.ball(0.022, 6, 8), palette.pick(m.METALS), (0.09, size + neck - 0.06 + 0.06 * k, depth / 2))
    for x in (-0.02, 0, 0.02):
        b.add(
            p.box((0.006, neck + size * 1.4, 0.006), 0, 1), palette.light, (x, size * 0.2 + neck / 2, depth / 2 + 0.03)
        )
    return b


def screen(rng: Rng, palette: m.Palette) -> Builder:
    """Monitors, televisions, laptops, telephones and tablets."""
    w, h = rng.uniform(0.5, 1.3), rng.uniform(0.5, 0.8)
    case, picture = (palette.dark if rng.uniform() < 0.6 else palette.main), m.glazed(rng, palette)
    b, kind = Builder(), rng.integers(3)
    if kind == 0:
        b.add(p.box((w, h, 0.06), 0.015, 4), case, (0, 0.25 + h / 2, 0)).add(
            p.box((w * 0.94, h * 0.9, 0.02), 0, 14), picture, (0, 0.26 + h / 2, 0.025)
        )
        b.add(p.box((0.12, 0.4, 0.04)), case, (0, 0.2, -0.05)).add(p.cylinder(0.22, 0.03, 0.2), case, scale=(1.3, 1, 1))
        if rng.uniform() < 0.4:
            b.add(p.box((w * 0.7, h * 0.6, 0.15), 0.04, 3), case, (0, 0.25 + h / 2, -0.09))
    elif kind == 1:
        tilt, d = rng.uniform(5, 40), h
        b.add(p.box((w, 0.05, d), 0.01, 3), case, (0, 0.025, 0)).add(
            p.box((w * 0.85, 0.02, d * 0.45), 0, 12),
            m.checks(palette.dark, m.vary(palette.dark, rng, 0.25), 12),
            (0, 0.045, -d * 0.15),
        )
        b.add(p.box((w * 0.3, 0.02, d * 0.22)), palette.pick(m.METALS), (0, 0.043, d * 0.3))
        b.add(p.box((w, h, 0.04), 0.01, 3).moved((0, h / 2, 0)), case, (0, 0.05, -d / 2), (-tilt, 0, 0))
        b.add(
            p.box((w * 0.93, h * 0.88, 0.02), 0, 14).moved((0, h / 2, 0.015)), picture, (0, 0.05, -d / 2), (-tilt, 0, 0)
        )
    else:
        w = h * rng.uniform(0.45, 0.75)
        b.add(p.box((w, h, 0.06), 0.025, 5), case).add(
            p.box((w * 0.9, h * 0.84, 0.02), 0, 14), picture, (0, 0.01, 0.025)
        )
        b.add(p.cylinder(0.025, 0.02, segments=12, rows=1), palette.light, (0, -h * 0.46, 0.025), (90, 0, 0))
        for k in range(rng.integers(1, 4)):
            b.add(
                p.cylinder(0.04, 0.02, segments=14, rows=1),
                m.hexed("20242c"),
                (w * 0.3, h * 0.38 - 0.1 * k, -0.025),
                (-90, 0, 0),
            )
    return b


def device(rng: Rng, palette: m.Palette) -> Builder:
    """Cameras, radios, loudspeakers, toasters, clocks."""
    w, h, d = rng.uniform(0.5, 0.9), rng.uniform(0.35, 0.6), rng.uniform(0.2, 0.35)
    body, metal, kind = (
        (m.glazed(rng, palette) if rng.uniform() < 0.5 else m.solid(palette.main)),
        palette.pick(m.METALS),
        rng.integers(5),
    )
    b = Builder()
    if kind == 0:
        b.add(p.box((w, h, d), 0.04, 6), m.two_tone(palette.dark, palette.pick(m.METALS), 0.5))
        r = h * rng.uniform(0.3, 0.42)
        for k, part in enumerate((1.0, 0.88, 0.75)):
            b.add(
                p.cylinder(r * part, 0.12, segments=26, rows=1),
                (palette.dark, metal, palette.dark)[k],
                (0, 0, d / 2 + 0.1 * k),
                (90, 0, 0),
            )
        b.add(p.ball((r * 0.6, r * 0.6, 0.05), 8, 18), m.hexed("1d2b4f"), (0, 0, d / 2 + 0.32)).add(
            p.cylinder(0.05, 0.06), metal, (w * 0.35, h / 2, 0)
        )
        return b.add(p.box((w * 0.28, 0.1, d * 0.7), 0.02), palette.dark, (0, h / 2 + 0.04, 0))
    if kind == 1:
        b.add(p.box((w, h, d), 0.05, 7), body)
        for x in (-0.26, 0.26):
            b.add(p.cylinder(h * 0.32, 0.03, segments=24, rows=1), palette.dark, (x * w, -0.02, d / 2), (90, 0, 0)).add(
                p.torus(h * 0.32, 0.02, 24, 8), metal, (x * w, -0.02, d / 2 + 0.02), (90, 0, 0)
            )
        b.add(
            p.tube(
                p.curve(
                    (-w * 0.4, h * 0.45, 0),
                    (-w * 0.35, h * 0.75, 0),
                    (w * 0.35, h * 0.75, 0),
                    (w * 0.4, h * 0.45, 0),
                    count=16,
                ),
                0.025,
                8,
            ),
            metal,
        )
        return b.add(p.box((w * 0.3, 0.08, 0.03), 0, 4), palette.accent, (0, h * 0.36, d / 2))
    if kind == 2:
        w, h = h, w * 1.2
        b.add(p.box((w, h, d), 0.02, 7), m.wood(rng, palette, 1) if rng.uniform() < 0.5 else body)
        for y, r in ((-0.18, 0.38), (0.25, 0.22)):
            b.add(
                p.lathe([(w * r, 0), (w * r, 0.03), (w * r * 0.8, 0.03), (w * r * 0.3, -0.02)], 28),
                m.hexed("222222"),
                (0, y * h, d / 2),
                (90, 0, 0),
            )
            b.add(p.ball((w * r * 0.3, w * r * 0.3, 0.03), 8, 14), metal, (0, y * h, d / 2))
        return b
    if kind == 3:
        b.add(p.superquadric((w, h, d), (0.3, 0.3), 18, 40), body)
        for z in (-d * 0.2, d * 0.2):
            b.add(p.box((w * 0.7, 0.03, d * 0.15)), palette.dark, (0, h / 2, z))
            if rng.uniform() < 0.6:
                b.add(p.box((w * 0.6, 0.3, d * 0.12), 0.015, 3), m.hexed("d9a066"), (0, h / 2, z))
        return b.add(p.box((0.03, h * 0.5, 0.02)), palette.dark, (w / 2, 0, 0)).add(
            p.box((0.08, 0.04, 0.1), 0.01), metal, (w / 2 + 0.02, h * 0.15, 0)
        )
    r = h * 0.8
    b.add(p.cylinder(r, 0.2, segments=36).moved((0, -0.1, 0)), body, rotate=(90, 0, 0)).add(
        p.cylinder(r * 0.88, 0.02, segments=32, rows=1), palette.light, (0, 0, 0.1), (90, 0, 0)
    )
    b.add(p.torus(r * 0.93, 0.04, 32, 8), metal, (0, 0, 0.1), (90, 0, 0))
    for k in range(12):
        b.add(p.box((0.025, 0.07, 0.02), 0, 1).moved((0, r * 0.75, 0)), palette.dark, (0, 0, 0.12), (0, 0, 30 * k))
    for size in (0.45, 0.65):
        b.add(
            p.box((0.035, r * size, 0.02), 0, 1).moved((0, r * size / 2, 0)),
            palette.accent,
            (0, 0, 0.13),
            (0, 0, rng.uniform(0, 360)),
        )
    b.mirrored(p.ball((0.14, 0.09, 0.1), 8, 14), metal, (r * 0.55, r * 0.95, 0), (0, 0, -30))
    return b.mirrored(p.cylinder(0.03, 0.25, 0.05, 10, 1), metal, (r * 0.5, -r - 0.08, 0), (0, 0, -15))


def shoe(rng: Rng, palette: m.Palette) -> Builder:
    """One shoe or boot, its toe towards +Z."""
    t = np.linspace(0, 1, 26)
    high = rng.uniform(0.25, 0.8)
    outline = 0.17 * np.sin(np.pi * np.clip(t, 0.03, 0.97)) ** 0.4 * (0.85 + 0.25 * t)
    top = 0.15 + 0.12 * np.clip(1 - t, 0, 1) + (high - 0.2) / (1 + np.exp((t - 0.42) * 22))
    a = np.linspace(-np.pi, np.pi, 25)
    points = np.empty((26, 25, 3))
    points[..., 0] = outline[:, None] * np.sign(np.sin(a)) * np.abs(np.sin(a)) ** 0.6
    points[..., 1] = np.where(
        np.cos(a) > 0, 0.1 + (top[:, None] - 0.1) * np.abs(np.cos(a)) ** 0.5, 0.1 - 0.06 * np.abs(np.cos(a))
    )
    points[..., 2] = (t - 0.5)[:, None]
    points = np.concatenate(
        [points[:1].mean(1, keepdims=True).repeat(25, 1), points, points[-1:].mean(1, keepdims=True).repeat(25, 1)]
    )
    b = Builder().add(p.sheet(points), m.glazed(rng, palette))
    sole = np.concatenate([np.stack([outline * 1.06, t - 0.5], 1), np.stack([-outline * 1.06, t - 0.5], 1)[::-1]])
    b.add(
        p.extrude(sole[:, ::1], rng.uniform(0.06, 0.12), 3),
        palette.light if rng.uniform() < 0.6 else palette.dark,
        (0, 0.05, 0),
        (90, 0, 0),
        (1, -1, 1),
    )
    for k in range(rng.integers(0, 5)):
        z = 0.02 + 0.07 * k
        b.add(
            p.box((0.16, 0.02, 0.025), 0.008, 2), palette.light, (0, float(np.interp(z + 0.5, t, top)), z), (20, 0, 0)
        )
    if high > 0.4:
        b.add(p.torus(0.13, 0.03, 20, 8), palette.second, (0, high + 0.04, -0.3), scale=(1, 1, 1.2))
    return b


def toy(rng: Rng, palette: m.Palette) -> Builder:
    """Stacking rings, bricks, balls, dumb-bells, spinning tops, snowmen."""
    b, kind = Builder(), rng.integers(6)
    if kind == 0:
        y, n = 0.0, rng.integers(3, 7)
        b.add(p.cylinder(0.4, 0.06), palette.dark)
        for k in range(n):
            r = 0.32 * (1 - 0.6 * k / n)
            b.add(p.torus(r, 0.09, 26, 12), palette.any(), (0, y := y + 0.15, 0))
        return b.add(p.ball(0.1), palette.accent, (0, y + 0.16, 0)).add(p.cylinder(0.04, y, segments=10), palette.light)
    if kind == 1:
        y = 0.0
        for _ in range(rng.integers(1, 5)):
            nx, nz, x = rng.integers(1, 4), rng.integers(1, 3), rng.integers(-1, 2) * 0.1
            color = palette.any()
            b.add(p.box((0.2 * nx, 0.2, 0.2 * nz), 0.01), color, (x, y + 0.1, 0))
            for i in range(nx):
                for j in range(nz):
                    b.add(
                        p.cylinder(0.06, 0.05, segments=14, rows=1),
                        color,
                        (x + 0.2 * (i - (nx - 1) / 2), y + 0.2, 0.2 * (j - (nz - 1) / 2)),
                    )
            y += 0.2
        return b
    if kind == 2:
        paint = (
            m.around(palette.main, palette.light, rng.integers(2, 5)),
            m.spots(rng, palette.light, palette.dark, 16, 0.3),
            m.glazed(rng, palette),
        )
        return b.add(
            p.superquadric((1, 1, 1), (1, 1), 36, 48),
            paint[rng.integers(3)],
            rotate=(rng.uniform(-60, 60), rng.uniform(0, 360), rng.uniform(-60, 60)),
        )
    if kind == 3:
        r, length = rng.uniform(0.18, 0.35), rng.uniform(0.4, 0.7)
        b.add(
            p.cylinder(0.05, 2 * length, segments=14).moved((0, -length, 0)), palette.pick(m.METALS), rotate=(0, 0, 90)
        )
        return b.mirrored(
            p.superquadric((2 * r, 2 * r, 2 * r), (rng.uniform(0.3, 1), 1), 18, 28),
            m.glazed(rng, palette),
            (length, 0, 0),
            (0, 0, 90),
        )
    if kind == 4:
        profile = [
            (0.01, 0),
            (0.05, 0.1),
            (0.4, 0.35),
            (0.42, 0.42),
            (0.3, 0.5),
            (0.08, 0.56),
            (0.05, 0.85),
            (0.07, 0.88),
        ]
        t = np.linspace(0, len(profile) - 1, 26)
        fine = np.stack([np.interp(t, range(len(profile)), c) for c in np.array(profile).T], 1)
        return b.add(
            p.lathe(fine, 32),
            m.stripes(palette.main, palette.second, rng.integers(3, 8)),
            rotate=(rng.uniform(-15, 15), 0, rng.uniform(-15, 15)),
        )
    y = 0.0
    for k in range(rng.integers(2, 4)):
        r = 0.38 * 0.75**k
        b.add(p.ball(r, 14, 20), palette.light, (0, y + r * 0.85, 0))
        b.add(p.ball(0.03, 5, 8), palette.dark, (0, y + r * 0.9, r))
        y += 1.65 * r
    b.mirrored(p.ball(0.035, 6, 8), m.hexed("141414"), (0.08, y - 0.12, r * 0.9)).add(
        p.cylinder(0.04, 0.2, 0.005, 10), m.hexed("e76f00"), (0, y - 0.2, r * 0.9), (90, 0, 0)
    )
    b.add(p.cylinder(r * 1.1, 0.03), palette.dark, (0, y - 0.03, 0)).add(
        p.cylinder(r * 0.75, 0.25), m.two_tone(palette.accent, palette.dark, -0.4), (0, y, 0)
    )
    return b.add(p.torus(r * 0.95, 0.06, 22, 8), palette.main, (0, y - 1.6 * r, 0))


def abstract(rng: Rng, palette: m.Palette) -> Builder:
    """A few random primitives, anywhere."""
    b = Builder()
    for k in range(rng.integers(1, 7)):
        s, kind = rng.uniform(0.3, 0.9, 3), rng.integers(8)
        part = (
            lambda s=s: p.superquadric(s, tuple(rng.uniform(0.2, 1.8, 2)), 18, 26),
            lambda s=s: p.box(s, rng.uniform(0, 0.2) * s.min(), 6),
            lambda s=s: p.blob(rng, s, rng.uniform(0.1, 0.4), 18, 24),
            lambda s=s: p.torus(s[0] / 2, s[1] * 0.2, 26, 12),
            lambda s=s: p.extrude(p.polygon(rng.integers(3, 9), s[0] / 2, s[1] / 2), s[2] * 0.5, 4),
            lambda s=s: p.lathe(np.stack([0.05 + rng.uniform(0, 0.4, 12), s[1] * np.linspace(0, 1, 12)], 1), 24),
            lambda s=s: p.tube(p.curve(*rng.uniform(-0.5, 0.5, (4, 3)), count=20), rng.uniform(0.04, 0.12), 10),
            lambda s=s: p.cylinder(s[0] / 2, s[1], s[2] / 2 * rng.integers(0, 2), 24, 8),
        )[kind]()
        at = rng.uniform(-0.4, 0.4, 3) if k else np.zeros(3)
        b.add(part, m.glazed(rng, palette) if rng.uniform() < 0.7 else palette.any(), at, tuple(rng.uniform(0, 360, 3)))
    return b


FAMILIES = {
    "tool": tool,
    "guitar": guitar,
    "screen": screen,
    "device": device,
    "shoe": shoe,
    "toy": toy,
    "abstract": abstract,
}
