"""Vehicles and buildings."""

import numpy as np

from mvdiff.data.procedural import materials as m
from mvdiff.data.procedural import primitives as p
from mvdiff.data.procedural.assembly import Builder

Rng = np.random.Generator
GLASS = m.hexed("2b3a4a")


def _wheel(b: Builder, palette: m.Palette, x: float, z: float, r: float, width: float) -> None:
    tyre = p.lathe([(0.6 * r, -width / 2), (r, -0.4 * width), (r, 0.4 * width), (0.6 * r, width / 2)], 20)
    b.mirrored(tyre, palette.dark, (x, r, z), (0, 0, 90))
    hub = p.cylinder(0.55 * r, 0.04 * r, 0.5 * r, 14, 1).moved((0, width / 2, 0))
    b.mirrored(hub, m.around(m.hexed("b9bcc0"), m.hexed("6d7075"), 5), (x, r, z), (0, 0, -90))


def car(rng: Rng, palette: m.Palette) -> Builder:
    w, length, h, r = rng.uniform(0.7, 0.9), rng.uniform(1.6, 2.2), rng.uniform(0.28, 0.42), rng.uniform(0.15, 0.22)
    body = m.solid(palette.main) if rng.uniform() < 0.7 else m.glazed(rng, palette)
    b = Builder().add(p.superquadric((w, h, length), (0.35, 0.25), 16, 40), body, (0, r + h / 2, 0))
    cabin, ch, shift = length * rng.uniform(0.4, 0.65), rng.uniform(0.25, 0.4), rng.uniform(-0.25, 0.05)
    b.add(p.superquadric((w * 0.86, ch * 2, cabin), (0.5, 0.35), 16, 32), GLASS, (0, r + h * 0.9, shift))
    b.add(p.superquadric((w * 0.8, 0.09, cabin * 0.66), (0.4, 0.4), 8, 24), body, (0, r + h * 0.9 + ch * 0.97, shift))
    for z in (length * 0.31, -length * 0.31):
        _wheel(b, palette, w * 0.46, z, r, 0.14)
    b.mirrored(p.ball((0.08, 0.055, 0.04), 8, 12), m.hexed("fff6cf"), (w * 0.33, r + h * 0.62, length * 0.475))
    b.mirrored(p.ball((0.08, 0.045, 0.03), 8, 12), m.hexed("b3161b"), (w * 0.33, r + h * 0.66, -length * 0.48))
    b.add(p.box((w * 0.45, h * 0.25, 0.04), 0, 4), palette.dark, (0, r + h * 0.4, length * 0.49))
    b.add(p.box((w * 0.95, 0.08, 0.06), 0.02), palette.pick(m.METALS), (0, r + 0.06, length * 0.49))
    if rng.uniform() < 0.25:
        b.add(p.box((0.3, 0.07, 0.1), 0.02), palette.accent, (0, r + h * 0.9 + ch + 0.06, shift))
    return b


def truck(rng: Rng, palette: m.Palette) -> Builder:
    """Lorries, vans, buses and fire engines."""
    w, r = rng.uniform(0.65, 0.85), rng.uniform(0.16, 0.22)
    cab, load, h = rng.uniform(0.45, 0.65), rng.uniform(0.9, 1.8), rng.uniform(0.6, 0.85)
    length = cab + load
    b = Builder().add(p.box((w * 0.8, 0.1, length)), palette.dark, (0, r + 0.05, 0))
    front = length / 2 - cab / 2
    b.add(p.box((w, h, cab), rng.uniform(0.03, 0.1), 6), palette.main, (0, r + 0.08 + h / 2, front))
    b.add(p.box((w * 0.85, h * 0.38, 0.03)), GLASS, (0, r + 0.08 + h * 0.68, length / 2))
    b.mirrored(p.box((0.02, h * 0.32, cab * 0.5)), GLASS, (w / 2, r + h * 0.75, front + 0.05))
    b.mirrored(p.ball((0.06, 0.05, 0.03), 6, 10), m.hexed("fff6cf"), (w * 0.35, r + 0.2, length / 2))
    z, kind = -cab / 2, rng.integers(4)
    if kind == 0:
        top = h * rng.uniform(1.0, 1.5)
        b.add(p.box((w, top, load * 0.97), 0.02, 9), m.glazed(rng, palette), (0, r + 0.12 + top / 2, z))
    elif kind == 1:
        tank = p.cylinder(w * 0.48, load * 0.95, segments=28, rows=14).moved((0, -load * 0.475, 0))
        b.add(tank, m.glazed(rng, palette), (0, r + 0.1 + w * 0.48, z), (90, 0, 0))
    elif kind == 2:
        for x in (-w / 2, w / 2):
            b.add(p.box((0.04, 0.3, load * 0.95), 0, 4), palette.second, (x, r + 0.25, z))
        b.add(p.box((w, 0.3, 0.04)), palette.second, (0, r + 0.25, z - load * 0.46))
        b.add(p.blob(rng, (w * 0.9, 0.5, load * 0.85), 0.15), palette.pick(m.EARTHS), (0, r + 0.25, z))
    else:
        b.add(p.box((w, h, load), 0.03, 5), palette.main, (0, r + 0.08 + h / 2, z))
        for k in range(rng.integers(3, 6)):
            step = load / 5
            b.mirrored(
                p.box((0.02, h * 0.32, step * 0.75), 0, 1), GLASS, (w / 2, r + h * 0.75, z - load * 0.38 + k * step)
            )
        b.add(p.box((w * 1.01, 0.08, length * 0.99)), palette.light, (0, r + 0.22, 0))
    for spot in (0.34, -0.26, -0.38):
        _wheel(b, palette, w * 0.46, spot * length, r, 0.14)
    return b


def aeroplane(rng: Rng, palette: m.Palette) -> Builder:
    length, r, span = 2.0, rng.uniform(0.12, 0.2), rng.uniform(0.7, 1.1)
    t = np.linspace(0, 1, 22)
    profile = np.stack(
        [r * np.clip(np.sin(np.pi * t) ** rng.uniform(0.3, 0.6), 0, 1) * (1 - 0.4 * (1 - t)), length * (t - 0.5)], 1
    )
    b = Builder().add(p.lathe(profile, 24), m.glazed(rng, palette), rotate=(90, 0, 0))
    b.add(p.ball((r * 0.7, r * 0.55, 0.22), 8, 14), GLASS, (0, r * 0.6, length * 0.3))
    sweep, chord, high = rng.uniform(-0.1, 0.5), rng.uniform(0.25, 0.4), rng.uniform(-0.6, 0.6) * r
    wing = [(0, 0), (0, chord), (span, chord * 0.75 - sweep), (span, chord * 0.25 - sweep)]
    outline = np.array(wing)
    b.mirrored(p.extrude(outline, 0.04, 6, bevel=0.05), palette.second, (0, high, 0), (90, 0, 0))
    tail = outline * (0.38, 0.6)
    b.mirrored(p.extrude(tail, 0.03, 3), palette.second, (0, r * 0.3, -length * 0.47), (90, 0, 0))
    fin = [(0, 0), (-0.3, 0), (-0.38, 0.42), (-0.22, 0.42)]
    b.add(p.extrude(fin, 0.03, 3), palette.accent, (0, r * 0.4, -length * 0.34), (0, -90, 0))
    for k in range(1, rng.integers(1, 4)):
        engine = p.cylinder(0.07, 0.25, 0.06, 14, 2)
        b.mirrored(engine, palette.pick(m.METALS), (span * 0.3 * k, high - 0.09, 0.1 - sweep * 0.2), (90, 0, 0))
    if rng.uniform() < 0.4:
        for turn in (0, 60, 120):
            b.add(p.box((0.6, 0.05, 0.02)), palette.dark, (0, 0, length * 0.51), (0, 0, turn))
    return b


def boat(rng: Rng, palette: m.Palette) -> Builder:
    length, w, h = rng.uniform(1.4, 2), rng.uniform(0.45, 0.7), rng.uniform(0.25, 0.4)
    t, s = np.meshgrid(np.linspace(0, 1, 20), np.linspace(-1, 1, 17), indexing="ij")
    width = w / 2 * np.clip(1 - t**3, 0, 1) ** 0.7 * (0.8 + 0.2 * np.sin(np.pi * t))
    angle = s * np.pi / 2
    hull = np.stack([np.sin(angle) * width, -np.cos(angle) * h * (1 - 0.5 * t**4) + 0.1 * t**2, length * (t - 0.5)], -1)
    deck = hull[:, [0, -1]]
    end = np.stack([np.repeat(hull[:1, 8:9] * (0, 0.3, 1), 17, 1)[0], hull[0]])
    b = Builder()
    paint = m.two_tone(palette.second, palette.main, rng.uniform(-0.4, 0.3))
    for part in (p.sheet(hull, False), p.sheet(deck, False), p.sheet(end, False)):
        flipped = p.Part(part.vertices, part.faces[:, ::-1], part.uv)
        b.add(
            p.join(part, flipped),
            m.wood(rng, palette, 2) if part.vertices is not hull and len(part.faces) < 60 else paint,
        )
    if rng.uniform() < 0.55:
        mast = rng.uniform(1.0, 1.6)
        b.add(p.cylinder(0.03, mast, 0.02, 8), palette.pick(m.WOODS), (0, 0, 0.1))
        sail = m.glazed(rng, palette)
        b.add(p.extrude([(0, 0.15), (0, mast * 0.95), (-length * 0.45, 0.2)], 0.02, 8), sail, (0, 0, 0.06), (0, -90, 0))
        b.add(
            p.extrude([(0.05, 0.15), (length * 0.35, 0.15), (0.05, mast * 0.8)], 0.02, 8),
            palette.light,
            (0, 0, 0.1),
            (0, -90, 0),
        )
        return b
    ch = rng.uniform(0.2, 0.35)
    b.add(p.box((w * 0.6, ch, length * 0.4), 0.03, 5), palette.light, (0, ch / 2, -0.1))
    b.add(p.box((w * 0.61, ch * 0.35, length * 0.36)), GLASS, (0, ch * 0.6, -0.1))
    b.add(p.cylinder(0.08, 0.3, rows=8), m.stripes(palette.accent, palette.light, 3), (0, ch, -0.15))
    return b


def rocket(rng: Rng, palette: m.Palette) -> Builder:
    r, h = rng.uniform(0.14, 0.26), rng.uniform(1, 1.5)
    t = np.linspace(0, 1, 26)
    shape = r * np.where(t < 0.55, 1 - 0.25 * (1 - t / 0.55) ** 2, np.sqrt(np.clip(1 - ((t - 0.55) / 0.45) ** 2, 0, 1)))
    b = Builder().add(p.lathe(np.stack([shape, 0.15 + h * t], 1), 28), m.glazed(rng, palette))
    b.add(p.torus(0.09, 0.02, 18, 8), palette.pick(m.METALS), (0, 0.15 + h * 0.6, r), (90, 0, 0))
    b.add(p.ball((0.085, 0.085, 0.03), 8, 14), GLASS, (0, 0.15 + h * 0.6, r * 0.97))
    b.add(p.cylinder(r * 0.7, 0.12, r * 0.45), palette.dark, (0, 0.05, 0))
    count, reach = rng.integers(3, 5), rng.uniform(0.18, 0.32)
    fin = p.extrude([(0, 0.55), (0, 0.1), (reach, -0.15), (reach, 0.12)], 0.04, 4)
    for k in range(count):
        turn = 360 * k / count + 45
        b.add(fin.moved((r * 0.75, 0.15, 0)), palette.accent, rotate=(0, turn, 0))
    return b


def house(rng: Rng, palette: m.Palette) -> Builder:
    w, d, floors = rng.uniform(0.7, 1.4), rng.uniform(0.6, 1.1), rng.integers(1, 4)
    h = 0.4 * floors
    wall = palette.pick(m.BRICKS) if rng.uniform() < 0.6 else palette.main
    walls = m.solid(wall) if rng.uniform() < 0.5 else m.stripes(wall, m.vary(wall, rng, 0.12), 10, 1, 0.8)
    trim, roof = palette.light, m.vary(palette.pick((*m.BRICKS, *m.DARKS)), rng)
    b = Builder().add(p.box((w, h, d), 0, 10), walls, (0, h / 2, 0))
    rise, over = rng.uniform(0.2, 0.5), rng.uniform(0.04, 0.12)
    tiles = m.stripes(roof, m.vary(roof, rng, 0.1), 7, 1)
    if rng.uniform() < 0.3:
        b.add(
            p.cylinder(1, rise, 0.25, 4, 8),
            tiles,
            (0, h, 0),
            (0, 45, 0),
            ((w / 2 + over) * 1.41, 1, (d / 2 + over) * 1.41),
        )
    else:
        gable = p.extrude([(-w / 2 - over, 0), (w / 2 + over, 0), (0, rise)], d + 2 * over, 2, 6)
        b.add(gable, tiles, (0, h, 0))
        b.add(p.extrude([(-w / 2, 0), (w / 2, 0), (0, rise * 0.88)], d + 2 * over + 0.01, 2, 1), wall, (0, h, 0))
    door = rng.uniform(-0.3, 0.3) * w
    b.add(p.box((0.17, 0.3, 0.04)), palette.accent, (door, 0.15, d / 2)).add(
        p.ball(0.015, 5, 6), palette.light, (door + 0.05, 0.15, d / 2 + 0.025)
    )
    columns = rng.integers(2, 5)
    for f in range(floors):
        for k in range(columns):
            x, y = ((k + 0.5) / columns - 0.5) * w, 0.4 * f + 0.24
            for side in (1, -1):
                if side == 1 and f == 0 and abs(x - door) < 0.2:
                    continue
                b.add(p.box((0.13, 0.17, 0.03), 0, 1), trim, (x, y, side * d / 2))
                b.add(p.box((0.1, 0.14, 0.04), 0, 1), GLASS, (x, y, side * d / 2))
        for z in (-d / 4, d / 4):
            b.mirrored(p.box((0.03, 0.16, 0.12), 0, 1), GLASS, (w / 2, 0.4 * f + 0.24, z))
    if rng.uniform() < 0.6:
        b.add(p.box((0.1, 0.35, 0.1), 0, 3), palette.pick(m.BRICKS), (w * 0.25, h + rise * 0.7, -d * 0.2))
    if rng.uniform() < 0.5:
        b.add(p.box((w * 1.3, 0.03, d * 1.4), 0, 4), palette.pick(m.LEAVES), (0, -0.015, 0))
    return b


def tower(rng: Rng, palette: m.Palette) -> Builder:
    """Castles, lighthouses, skyscrapers."""
    stone, roof, h = palette.pick(m.STONES), palette.any(), rng.uniform(0.9, 1.6)
    b, kind = Builder(), rng.integers(3)
    if kind == 0:
        r = rng.uniform(0.18, 0.28)
        b.add(p.cylinder(r, h, r * 0.65, 28, 16), m.stripes(palette.light, palette.main, rng.integers(3, 7)))
        b.add(p.cylinder(r * 0.9, 0.05), palette.dark, (0, h, 0)).add(
            p.cylinder(r * 0.5, 0.2), m.hexed("ffe69a"), (0, h + 0.05, 0)
        )
        return b.add(p.cylinder(r * 0.7, 0.2, 0.01), roof, (0, h + 0.25, 0)).add(
            p.box((0.12, 0.22, 0.06)), palette.dark, (0, 0.11, r * 0.96)
        )
    if kind == 1:
        w, y = rng.uniform(0.35, 0.6), 0.0
        glass = m.checks(GLASS, palette.second, rng.integers(6, 12))
        for k in range(rng.integers(1, 4)):
            step, s = h / (k + 1.5), w * 0.75**k
            b.add(p.box((s, step, s * 0.9), 0, 11), glass, (0, y + step / 2, 0))
            b.add(p.box((s * 1.04, 0.03, s * 0.94)), stone, (0, y + step, 0))
            y += step
        return b.add(p.cylinder(0.015, 0.3, 0.004, 8), palette.pick(m.METALS), (0, y, 0))
    w, wall = rng.uniform(0.7, 1.1), rng.uniform(0.3, 0.5)
    bricks = m.mottled(rng, stone, stone * 0.75, 6)
    b.add(p.box((w, wall, w), 0, 10), bricks, (0, wall / 2, 0)).add(
        p.box((0.22, 0.26, 0.04)), m.hexed("3b2413"), (0, 0.13, w / 2)
    )
    for z in (w / 2, -w / 2):
        top = wall * rng.uniform(1.3, 1.9)
        b.mirrored(p.cylinder(0.15, top, 0.14, 16, 6), bricks, (w / 2, 0, z)).mirrored(
            p.cylinder(0.19, 0.3, 0.005, 16), roof, (w / 2, top, z)
        )
    b.add(p.cylinder(0.22, h * 0.8, segments=20), bricks).add(p.cylinder(0.27, 0.35, 0.005), roof, (0, h * 0.8, 0))
    for x in np.linspace(-0.35, 0.35, 5) * w:
        b.add(p.box((0.06, 0.08, 0.06), 0, 1), stone, (x, wall + 0.04, w / 2 - 0.03))
    return b


FAMILIES = {
    "car": car,
    "truck": truck,
    "aeroplane": aeroplane,
    "boat": boat,
    "rocket": rocket,
    "house": house,
    "tower": tower,
}
