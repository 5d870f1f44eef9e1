"""Plants and food."""

import numpy as np

from mvdiff.data.procedural import materials as m
from mvdiff.data.procedural import primitives as p
from mvdiff.data.procedural.assembly import Builder

Rng = np.random.Generator


def tree(rng: Rng, palette: m.Palette) -> Builder:
    h, r = rng.uniform(0.4, 0.9), rng.uniform(0.05, 0.1)
    leaf = palette.pick(m.LEAVES)
    bark = m.mottled(rng, palette.pick(m.WOODS), palette.dark, 5)
    b, kind = Builder(), rng.integers(4)
    lean = rng.normal(size=2) * 0.12
    b.add(
        p.tube(
            p.curve((0, 0, 0), (*lean[:1], h * 0.5, lean[1]), (lean[0] * 0.5, h * 1.1, 0)),
            np.linspace(r * 1.4, r * 0.7, 14),
            12,
        ),
        bark,
    )
    if kind == 0:
        for k in range(n := rng.integers(3, 6)):
            b.add(
                p.cylinder(0.45 * (1 - k / (n + 1)), 0.42, 0.02, 22, 4),
                m.gradient(leaf * 0.7, leaf),
                (0, h * 0.5 + 0.24 * k, 0),
            )
    elif kind == 3:
        for k in range(n := rng.integers(5, 9)):
            a = 2 * np.pi * k / n
            tip = p.curve(
                (0, h, 0), (0.3 * np.cos(a), h + 0.18, 0.3 * np.sin(a)), (0.62 * np.cos(a), h - 0.1, 0.62 * np.sin(a))
            )
            b.add(p.tube(tip, 0.02 + 0.08 * np.sin(np.linspace(0.3, 3.1, 14)), 8, flat=0.15), leaf)
    else:
        for _ in range(rng.integers(1, 6)):
            s = rng.uniform(0.4, 0.8)
            x, z = rng.normal(size=2) * 0.18
            b.add(
                p.blob(rng, (s, s * 0.85, s), 0.25, 16, 22),
                m.mottled(rng, leaf * 0.65, leaf, 5),
                (x, h + rng.uniform(0.05, 0.4), z),
            )
    if rng.uniform() < 0.3:
        b.add(p.cylinder(0.35, 0.04, 0.3), m.hexed("6f9a45"), (0, -0.03, 0))
    return b


def potted_plant(rng: Rng, palette: m.Palette) -> Builder:
    r, h = rng.uniform(0.16, 0.28), rng.uniform(0.2, 0.42)
    pot = m.solid(palette.pick(m.EARTHS)) if rng.uniform() < 0.4 else m.glazed(rng, palette)
    b = (
        Builder()
        .add(p.cylinder(r * rng.uniform(0.6, 0.95), h, r, 28, 10), pot)
        .add(p.torus(r, 0.025, 28, 8), palette.second, (0, h, 0))
    )
    b.add(p.cylinder(r * 0.93, 0.02, segments=20, rows=1), m.hexed("3b2a1e"), (0, h, 0))
    leaf, kind = palette.pick(m.LEAVES), rng.integers(3)
    if kind == 0:
        tall, wide = rng.uniform(0.3, 0.8), rng.uniform(0.1, 0.18)
        green = m.around(leaf, leaf * 0.7, 9)
        b.add(p.superquadric((2 * wide, tall, 2 * wide), (0.7, 1), 18, 36), green, (0, h + tall / 2, 0))
        for side in (-1, 1)[: rng.integers(0, 3)]:
            arm = p.curve(
                (0, h + tall * 0.4, 0), (side * wide * 2, h + tall * 0.45, 0), (side * wide * 2.1, h + tall * 0.85, 0)
            )
            b.add(p.tube(arm, wide * 0.4, 12), green)
        return b.add(p.ball((0.06, 0.04, 0.06), 6, 12), palette.accent, (0, h + tall, 0))
    for k in range(rng.integers(6, 15)):
        a, reach, rise = k * 2.4 + rng.normal() * 0.2, rng.uniform(0.15, 0.5), rng.uniform(0.2, 0.75)
        out = np.array([np.cos(a), 0, np.sin(a)])
        path = p.curve(
            (0, h, 0),
            out * reach * 0.4 + (0, h + rise * 0.8, 0),
            out * reach + (0, h + rise * rng.uniform(0.5, 1), 0),
            count=9,
        )
        width = 0.012 + 0.06 * np.sin(np.linspace(0.2, 3.1, 9)) if kind == 1 else 0.012
        b.add(p.tube(path, width, 8, flat=0.25 if kind == 1 else 1.0), m.gradient(leaf * 0.7, leaf))
        if kind == 2:
            b.add(p.ball((0.08, 0.05, 0.08), 7, 12), palette.accent if k % 2 else palette.main, path[-1])
    return b


def mushroom(rng: Rng, palette: m.Palette) -> Builder:
    b = Builder()
    for k in range(rng.integers(1, 4)):
        s = 1.0 if k == 0 else rng.uniform(0.3, 0.6)
        x, z = (0, 0) if k == 0 else rng.normal(size=2) * 0.35
        h, r, dome = s * rng.uniform(0.4, 0.8), s * rng.uniform(0.3, 0.5), s * rng.uniform(0.15, 0.4)
        b.add(
            p.lathe([(s * 0.12, 0), (s * 0.09, h * 0.4), (s * 0.08, h)], 18),
            m.gradient(palette.light * 0.8, palette.light),
            (x, 0, z),
        )
        t = np.linspace(0, np.pi / 2, 18)
        cap = np.concatenate([[(0.05 * s, -0.02)], np.stack([r * np.cos(t), dome * np.sin(t)], 1)])
        b.add(
            p.lathe(cap, 32),
            m.spots(rng, palette.main, palette.light, 18, 0.18)
            if rng.uniform() < 0.7
            else m.gradient(palette.second, palette.main),
            (x, h, z),
        )
    return b


def fruit(rng: Rng, palette: m.Palette) -> Builder:
    kind, b = rng.integers(5), Builder()
    skin = palette.pick(("c1121f", "e9c46a", "7cb518", "f77f00", "8b1e3f", "ffb703"))
    if kind == 0:  # apples, pears, oranges
        t = np.linspace(0, np.pi, 24)
        waist = rng.uniform(0, 0.35)
        r = 0.4 * np.sin(t) * (1 + waist * np.cos(t)) + 0.02
        y = -0.4 * np.cos(t) * rng.uniform(0.85, 1.3) + 0.1 * np.sin(t) ** 8
        b.add(p.lathe(np.stack([r, y], 1), 28), m.mottled(rng, skin, m.vary(skin, rng, 0.2), 2))
    elif kind == 1:  # bananas
        path = p.curve((-0.5, 0.25, 0), (-0.25, 0, 0), (0.2, 0, 0), (0.5, 0.3, 0), count=20)
        b.add(
            p.tube(path, 0.02 + 0.1 * np.sin(np.linspace(0.1, 3.05, 20)) ** 0.5, 10),
            m.gradient(m.hexed("b5a020"), m.hexed("ffe135"), 0),
        )
    elif kind == 2:  # water melons
        b.add(p.ball((0.5, 0.4, 0.4), 20, 40), m.around(m.hexed("2d6a2f"), m.hexed("8cc152"), 9))
    elif kind == 3:  # carrots, pineapples
        h = rng.uniform(0.5, 0.9)
        b.add(p.lathe([(0.02, 0), (0.14, h * 0.4), (0.2, h * 0.8), (0.12, h)], 24), m.gradient(skin * 0.8, skin))
        for k in range(7):
            path = p.curve(
                (0, h, 0),
                (0.1 * np.cos(k * 0.9), h + 0.2, 0.1 * np.sin(k * 0.9)),
                (0.22 * np.cos(k * 0.9), h + 0.33, 0.22 * np.sin(k * 0.9)),
                count=6,
            )
            b.add(p.tube(path, np.linspace(0.035, 0.008, 6), 6), palette.pick(m.LEAVES))
        return b
    else:  # grapes
        for k in range(16):
            level = k // 5
            a, ring = k * 2.4, (0.22 - 0.055 * level) * (0.6 + 0.4 * (k % 2))
            b.add(p.ball(0.1, 9, 12), m.vary(skin, rng), (ring * np.cos(a), -0.16 * level, ring * np.sin(a)))
    b.add(p.tube(p.curve((0, 0.3, 0), (0.02, 0.45, 0), (0.08, 0.55, 0), count=6), 0.02, 8), m.hexed("5b3a1e"))
    return b.add(p.ball((0.12, 0.015, 0.06), 6, 12), palette.pick(m.LEAVES), (0.12, 0.45, 0), (0, 20, 20))


def dessert(rng: Rng, palette: m.Palette) -> Builder:
    """Cakes, ice creams, burgers and doughnuts."""
    kind, b = rng.integers(4), Builder()
    dough = palette.pick(("d9a066", "c98d4e", "e8c07d", "7a4a2a"))
    if kind == 0:
        y, r = 0.0, rng.uniform(0.4, 0.5)
        b.add(p.cylinder(r * 1.25, 0.04, segments=32), palette.light, (0, -0.04, 0))
        for _ in range(rng.integers(1, 4)):
            h = rng.uniform(0.18, 0.32)
            b.add(p.cylinder(r, h, segments=36, rows=12), m.glazed(rng, palette), (0, y, 0)).add(
                p.torus(r * 0.95, 0.04, 28, 8), palette.light, (0, y + h, 0)
            )
            y, r = y + h, r * 0.72
        for k in range(rng.integers(1, 6)):
            x, z = 0.5 * r * np.cos(k * 1.3), 0.5 * r * np.sin(k * 1.3)
            b.add(p.cylinder(0.025, 0.2, segments=8), palette.any(), (x, y, z)).add(
                p.ball((0.02, 0.04, 0.02), 6, 8), m.hexed("ffb703"), (x, y + 0.23, z)
            )
    elif kind == 1:
        b.add(p.cylinder(0.04, 0.65, 0.22, 24, 14), m.checks(dough, dough * 0.8, 9))
        for k in range(rng.integers(1, 4)):
            b.add(
                p.blob(rng, (0.48 - 0.06 * k,) * 3, 0.08, 14, 20),
                m.mottled(rng, palette.shade(k), palette.light, 3),
                (0, 0.72 + 0.27 * k, 0),
            )
    elif kind == 2:
        y = 0.0
        b.add(p.superquadric((0.9, 0.2, 0.9), (0.6, 1), 12, 28), dough)
        for color in [m.hexed(c) for c in rng.permutation(["5b3a1e", "7cb518", "ffb703", "c1121f"])]:
            b.add(
                p.superquadric(
                    (rng.uniform(0.9, 1.05), 0.12, rng.uniform(0.9, 1.05)), (0.4, rng.uniform(0.5, 1)), 8, 28
                ),
                color,
                (0, y := y + 0.11, 0),
            )
        b.add(
            p.lathe([(0.47, 0), (0.46, 0.1), (0.38, 0.22), (0.2, 0.3), (0.02, 0.33)], 30),
            m.spots(rng, dough, palette.light, 40, 0.06),
            (0, y + 0.06, 0),
        )
    else:
        tilt = rng.uniform(0, 90)
        ring, icing = p.torus(0.35, 0.17, 36, 18), m.spots(rng, palette.main, palette.light, 30, 0.07)
        b.add(ring, dough, rotate=(tilt, 0, 0)).add(
            p.torus(0.35, 0.155, 36, 16).moved((0, 0.035, 0)), icing, rotate=(tilt, 0, 0)
        )
    return b


FAMILIES = {
    "tree": tree,
    "potted_plant": potted_plant,
    "mushroom": mushroom,
    "fruit": fruit,
    "dessert": dessert,
}
