"""Animals and figures."""

import numpy as np

from mvdiff.data.procedural import materials as m
from mvdiff.data.procedural import primitives as p
from mvdiff.data.procedural.assembly import Builder

Rng = np.random.Generator
BLACK = m.hexed("141414")


def _coat(rng: Rng, palette: m.Palette) -> m.Paint:
    base, other = palette.pick(m.FURS), palette.pick(m.FURS)
    kind = rng.integers(5)
    if kind == 0:
        return m.mottled(rng, base, other, 2.5, True)
    if kind == 1:
        return m.spots(rng, base, other, 30, 0.16)
    if kind == 2:
        return m.stripes(base, other, 8, 2, 0.6)
    return m.gradient(base * 0.8, base) if kind == 3 else m.two_tone(other, base, -0.4)


def _eyes(b: Builder, x: float, y: float, z: float, r: float) -> None:
    b.mirrored(p.ball(r, 6, 10), np.ones(3), (x, y, z)).mirrored(p.ball(r * 0.6, 6, 8), BLACK, (x, y, z + r * 0.6))


def quadruped(rng: Rng, palette: m.Palette) -> Builder:
    """Dogs, cats, horses, cows, pigs, elephants and giraffes, more or less."""
    length, girth, leg = rng.uniform(0.7, 1.2), rng.uniform(0.3, 0.5), rng.uniform(0.25, 0.75)
    neck, head = rng.uniform(0.05, 0.5), rng.uniform(0.2, 0.32)
    coat, thick = _coat(rng, palette), rng.uniform(0.05, 0.09)
    y = leg + girth * 0.4
    b = Builder().add(p.superquadric((girth, girth * 1.05, length), (0.8, 0.8), 18, 26), coat, (0, y, 0))
    for z in (length * 0.34, -length * 0.34):
        b.mirrored(p.cylinder(thick * 0.75, leg + 0.1, thick * 1.2, 12, 6), coat, (girth * 0.3, 0, z))
        b.mirrored(p.ball((thick, 0.05, thick * 1.3), 6, 10), palette.dark, (girth * 0.3, 0.03, z + 0.02))
    top = np.array([0, y + neck + girth * 0.3, length * 0.45 + neck * 0.35])
    b.add(p.tube(p.curve((0, y, length * 0.3), top, count=8), np.linspace(girth * 0.35, head * 0.38, 8), 14), coat)
    b.add(p.ball((head * 0.5, head * 0.5, head * 0.6), 12, 18), coat, top)
    snout = rng.uniform(0.2, 0.7) * head
    b.add(
        p.superquadric((head * 0.55, head * 0.5, head * 0.6 + snout), (0.8, 0.8), 10, 16),
        palette.pick(m.FURS),
        np.add(top, (0, -head * 0.15, head * 0.35)),
    )
    b.add(p.ball(head * 0.12, 6, 10), BLACK, np.add(top, (0, -head * 0.05, head * 0.62 + snout * 0.5)))
    _eyes(b, head * 0.27, top[1] + head * 0.18, top[2] + head * 0.42, head * 0.1)
    ear = p.ball((head * rng.uniform(0.12, 0.3), head * rng.uniform(0.25, 0.6), head * 0.08), 8, 10)
    b.mirrored(ear, coat, np.add(top, (head * 0.38, head * 0.5, -head * 0.1)), (0, 0, rng.uniform(-120, 10)))
    if rng.uniform() < 0.25:
        horn = p.tube(p.curve((0, 0, 0), (0.08, 0.1, 0), (0.06, 0.24, 0.05), count=8), np.linspace(0.03, 0.004, 8), 8)
        b.mirrored(horn, palette.light, np.add(top, (head * 0.2, head * 0.4, 0)))
    tail = p.curve(
        (0, y + girth * 0.2, -length * 0.45),
        (0, y + rng.uniform(-0.2, 0.3), -length * 0.65),
        (0, y + rng.uniform(-0.3, 0.5), -length * 0.75),
    )
    return b.add(p.tube(tail, np.linspace(thick * 0.8, thick * 0.3, 14), 8), coat)


def bird(rng: Rng, palette: m.Palette) -> Builder:
    body, leg = (
        np.array([rng.uniform(0.28, 0.45), rng.uniform(0.32, 0.6), rng.uniform(0.4, 0.7)]),
        rng.uniform(0.05, 0.4),
    )
    plumage = (
        m.two_tone(palette.light, palette.main, rng.uniform(-0.5, 0.2))
        if rng.uniform() < 0.5
        else m.glazed(rng, palette)
    )
    y = leg + body[1] / 2
    b = Builder().add(p.ball(body / 2, 16, 22), plumage, (0, y, 0), (-rng.uniform(0, 30), 0, 0))
    head = rng.uniform(0.11, 0.18)
    top = np.array([0, y + body[1] * 0.4 + rng.uniform(0.03, 0.3), body[2] * 0.38])
    b.add(
        p.tube(p.curve((0, y + 0.1, body[2] * 0.2), top, count=8), np.linspace(0.12, head * 0.6, 8), 12), palette.main
    )
    b.add(p.ball(head, 12, 16), palette.main, top)
    b.add(
        p.cylinder(head * 0.4, head * rng.uniform(0.8, 2.0), 0.01, 10, 2),
        palette.pick(("f4a300", "e76f51", "3a3a3a")),
        np.add(top, (0, -0.01, head * 0.8)),
        (90, 0, 0),
        (1.2, 1, 0.7),
    )
    _eyes(b, head * 0.6, top[1] + head * 0.3, top[2] + head * 0.65, head * 0.2)
    wing = p.ball((0.04, body[1] * 0.35, body[2] * 0.42), 10, 14)
    spread = rng.uniform(5, 80) if rng.uniform() < 0.4 else 8
    b.mirrored(
        wing.moved((0, -body[1] * 0.2, 0)),
        m.stripes(palette.second, palette.main, 4),
        (body[0] * 0.48, y + body[1] * 0.2, -0.04),
        (0, 0, spread),
    )
    b.add(
        p.box((body[0] * 0.45, 0.03, body[2] * 0.5), 0.01, 3),
        palette.second,
        (0, y + 0.02, -body[2] * 0.6),
        (rng.uniform(-10, 40), 0, 0),
    )
    if rng.uniform() < 0.4:
        b.add(p.ball((0.02, head * 0.6, head * 0.5), 8, 10), palette.accent, np.add(top, (0, head, 0)))
    legs = palette.pick(("f4a300", "d9812e", "5c5c5c"))
    b.mirrored(p.cylinder(0.025, leg + 0.1, segments=8, rows=2), legs, (body[0] * 0.22, 0, 0))
    return b.mirrored(p.ball((0.06, 0.02, 0.1), 6, 10), legs, (body[0] * 0.22, 0.01, 0.05))


def fish(rng: Rng, palette: m.Palette) -> Builder:
    w, h = rng.uniform(0.15, 0.3), rng.uniform(0.3, 0.6)
    t = np.linspace(0, 1, 24)
    profile = np.stack([np.sin(np.pi * t**0.7) ** 0.8 * 0.5 + 0.02, t - 0.5], 1)
    skin = (
        m.stripes(palette.main, palette.second, 6, 1),
        m.gradient(palette.light, palette.main, 0),
        m.glazed(rng, palette),
    )[rng.integers(3)]
    b = Builder().add(p.lathe(profile[::-1], 24), skin, rotate=(-90, 0, 0), scale=(w, 1, h))
    tail = rng.uniform(0.2, 0.35)
    fin = [(0.05, 0), (-tail, tail * 0.9), (-tail * 0.6, 0), (-tail, -tail * 0.9)]
    b.add(p.extrude(fin, 0.03, 4), palette.accent, (0, 0, -0.46), (0, -90, 0))
    b.add(p.extrude([(-0.25, 0), (0.2, 0), (-0.15, 0.2)], 0.02, 3), palette.accent, (0, h * 0.42, 0), (0, -90, 0))
    b.mirrored(
        p.extrude([(0, 0), (-0.2, -0.12), (-0.22, 0.05)], 0.02, 3), palette.accent, (w * 0.45, -0.05, 0.12), (0, -50, 0)
    )
    _eyes(b, w * 0.32, h * 0.1, 0.33, 0.045)
    return b


def person(rng: Rng, palette: m.Palette) -> Builder:
    """People, dolls and robots."""
    skin, shirt, trousers = palette.pick(m.SKINS), m.glazed(rng, palette), palette.second
    robot = rng.uniform() < 0.35
    if robot:
        skin = trousers = palette.pick(m.METALS)
    leg, torso, head, w = (
        rng.uniform(0.35, 0.85),
        rng.uniform(0.45, 0.65),
        rng.uniform(0.13, 0.28),
        rng.uniform(0.3, 0.5),
    )
    d = rng.uniform(0.2, 0.3)
    limb = 0.035 + 0.1 * w
    form = 0.2 if robot else 0.6
    b = Builder().add(p.superquadric((w, torso, d), (form, form), 18, 28), shirt, (0, leg + torso / 2, 0))
    b.mirrored(p.cylinder(limb * 0.8, leg + 0.05, limb, 14, 4), trousers, (w * 0.25, 0.03, 0))
    b.mirrored(
        p.superquadric((limb * 2, 0.1, limb * 3.2), (0.5, 0.5), 8, 14), palette.dark, (w * 0.25, 0.05, limb * 0.6)
    )
    raised, bend = rng.uniform(5, 160), rng.uniform(-40, 40)
    arm = p.tube([(0, 0, 0), (0, -torso * 0.4, 0), (0, -torso * 0.75, 0)], limb * 0.7, 12)
    hand = p.ball(limb * 0.85, 8, 12).moved((0, -torso * 0.78, 0))
    for side, angle in ((1, rng.uniform(5, 30)), (-1, raised)):
        place, turn = (side * w * 0.48, leg + torso * 0.88, 0), (bend, 0, side * angle)
        b.add(arm, palette.main if not robot else skin, place, turn).add(hand, skin, place, turn)
    y = leg + torso + head * 0.9
    b.add(p.cylinder(limb * 0.8, 0.15, segments=12, rows=1), skin, (0, leg + torso - 0.06, 0))
    b.add(
        p.superquadric((2 * head, 2.1 * head, 1.9 * head), (0.25, 0.25) if robot else (0.95, 0.95), 16, 24),
        skin,
        (0, y, 0),
    )
    _eyes(b, head * 0.38, y + head * 0.15, head * (0.95 if robot else 0.85), head * 0.15)
    b.add(
        p.box((head * 0.6, head * 0.1, 0.04)), m.hexed("9b2226"), (0, y - head * 0.45, head * (0.94 if robot else 0.8))
    )
    if robot:
        b.add(p.cylinder(0.015, 0.2, segments=8), palette.dark, (0, y + head, 0)).add(
            p.ball(0.04, 6, 10), palette.accent, (0, y + head + 0.2, 0)
        )
        return b.add(
            p.box((w * 0.5, torso * 0.3, 0.03), 0, 6),
            m.checks(palette.accent, palette.dark, 5),
            (0, leg + torso * 0.6, d / 2),
        )
    hair = palette.pick(m.FURS)
    kind = rng.integers(4)
    if kind < 2:
        b.add(
            p.ball((head * 1.08, head * (0.75 + 0.45 * kind), head * 1.0), 12, 18),
            hair,
            (0, y + head * (0.5 - 0.4 * kind), -head * 0.22),
        )
    elif kind == 2:
        b.add(p.cylinder(head * 1.6, 0.04), palette.accent, (0, y + head * 0.6, 0)).add(
            p.cylinder(head * 0.9, head * 0.9, head * 0.8), palette.accent, (0, y + head * 0.6, 0)
        )
    if rng.uniform() < 0.3:
        b.add(
            p.cylinder(w * 0.75, leg * 0.7, w * 0.42, 24, 8),
            m.glazed(rng, palette),
            (0, leg * 0.4, 0),
            scale=(1, 1, 0.8),
        )
    return b


def teddy(rng: Rng, palette: m.Palette) -> Builder:
    fur, belly = m.solid(palette.pick(m.FURS)) if rng.uniform() < 0.6 else m.glazed(rng, palette), palette.light
    r, head = rng.uniform(0.28, 0.4), rng.uniform(0.22, 0.32)
    b = (
        Builder()
        .add(p.ball((r, r * 1.15, r * 0.9), 16, 22), fur, (0, r, 0))
        .add(p.ball((r * 0.65, r * 0.75, r * 0.3), 12, 16), belly, (0, r, r * 0.68))
    )
    y = 2 * r + head * 0.75
    b.add(p.ball((head * 1.08, head, head), 14, 20), fur, (0, y, 0)).add(
        p.ball((head * 0.5, head * 0.4, head * 0.4), 10, 14), belly, (0, y - head * 0.25, head * 0.78)
    )
    b.add(p.ball(head * 0.15, 6, 10), BLACK, (0, y - head * 0.1, head * 1.15))
    _eyes(b, head * 0.4, y + head * 0.25, head * 0.85, head * 0.13)
    long = rng.choice([1.0, 1.0, 2.6])
    b.mirrored(
        p.ball((head * 0.36, head * 0.36 * long, head * 0.18), 10, 14),
        fur,
        (head * 0.7, y + head * (0.5 + 0.35 * long), 0),
        (0, 0, -15),
    )
    b.mirrored(
        p.ball((r * 0.32, r * 0.75, r * 0.32), 10, 14), fur, (r * 0.95, r * 1.25, 0.1), (-30, 0, rng.uniform(20, 70))
    )
    b.mirrored(p.ball((r * 0.36, r * 0.36, r * 0.8), 10, 14), fur, (r * 0.55, r * 0.3, r * 0.7), (0, 20, 0))
    b.mirrored(p.ball((r * 0.28, r * 0.28, r * 0.1), 8, 12), belly, (r * 0.82, r * 0.3, r * 1.42), (0, 20, 0))
    if rng.uniform() < 0.5:
        b.add(p.torus(head * 0.65, 0.05, 24, 8), palette.accent, (0, 2 * r, 0)).mirrored(
            p.ball((0.1, 0.06, 0.04), 8, 10), palette.accent, (0.09, 2 * r - 0.02, head * 0.7)
        )
    return b


FAMILIES = {
    "quadruped": quadruped,
    "bird": bird,
    "fish": fish,
    "person": person,
    "teddy": teddy,
}
