"""Wall fixtures: windows, doors, curtains, skirting, pictures, shelves, radiators."""

import numpy as np

from mvdiff.data.scenes import textures as t
from mvdiff.data.scenes.plan import Wall
from mvdiff.data.scenes.soup import AXIS_Y, Hole, SoupBuilder, vertex_normals, yaw_of

Rng = np.random.Generator
_METAL = (0.6, 0.6, 0.62)


def window(builder: SoupBuilder, rng: Rng, wall: Wall, hole: Hole, frame: np.ndarray) -> None:
    """An opening to the sky with reveals, a frame and bars."""
    left, right, bottom, top = hole
    wall.open(*hole)
    width, height, deep, out = right - left, top - bottom, rng.uniform(0.1, 0.28), -wall.normal
    builder.panel(wall.at(left, bottom), out, AXIS_Y, deep, height, 0.3, frame)
    builder.panel(wall.at(right, bottom, -deep), wall.normal, AXIS_Y, deep, height, 0.3, frame)
    builder.panel(wall.at(left, bottom), wall.along, out, width, deep, 0.3, frame)
    builder.panel(wall.at(left, top, -deep), wall.along, wall.normal, width, deep, 0.3, frame)
    bar, yaw, panes = rng.uniform(0.04, 0.07), yaw_of(wall.normal), max(1, round(width / rng.uniform(0.5, 1.0)))
    for k in range(panes + 1):
        across = left + bar / 2 + (width - bar) * k / panes
        builder.box(wall.at(across, bottom, -deep * 0.6), (bar, height, bar), frame, yaw)
    middle = [bottom + height * rng.uniform(0.3, 0.7)] if rng.uniform() < 0.4 else []
    for y in [bottom, top - bar, *middle]:
        builder.box(wall.at((left + right) / 2, y, -deep * 0.6), (width, bar, bar), frame, yaw, skip=())
    if bottom > 0.3 and rng.uniform() < 0.6:  # sill
        size = (width + 0.12, 0.03, 0.16)
        builder.box(wall.at((left + right) / 2, bottom - 0.03, 0.05), size, frame, yaw, skip=())


def place_window(builder: SoupBuilder, rng: Rng, wall: Wall, frame: np.ndarray) -> Hole | None:
    """A window somewhere on the wall, with curtains or a radiator by chance; None where there is no room for it."""
    width = min(rng.uniform(0.7, 2.4), wall.length - 0.5)
    low, high = (rng.uniform(0.7, 1.1), rng.uniform(1.9, 2.25)) if rng.uniform() < 0.75 else (0.04, 2.15)
    left = rng.uniform(0.2, max(0.21, wall.length - width - 0.2))
    hole = (left, left + width, low, min(high, wall.height - 0.15))
    if width < 0.5 or not wall.clear(*hole, 0.12):
        return None
    window(builder, rng, wall, hole, frame)
    if rng.uniform() < 0.5:
        cloth = builder.texture(t.wallpaper(rng) if rng.uniform() < 0.4 else t.carpet(rng))
        bottom = 0.05 if rng.uniform() < 0.6 else max(0.05, low - 0.15)
        for side in (hole[0] - 0.2, hole[1] - 0.15):
            curtain(builder, rng, wall, (side, side + 0.35, bottom, min(wall.height - 0.05, hole[3] + 0.15)), cloth)
    elif low > 0.6 and rng.uniform() < 0.6:
        radiator(builder, rng, wall, (hole[0] + hole[1]) / 2, min(width, 1.2))
    return hole


def curtain(builder: SoupBuilder, rng: Rng, wall: Wall, place: Hole, cloth: int) -> None:
    left, right, bottom, top = place
    us, ys = np.linspace(left, right, 15), np.linspace(bottom, top, 6)
    fold = 0.08 + 0.03 * np.sin((us - left) / (right - left) * 2 * np.pi * rng.integers(2, 5))
    points = np.array([[wall.at(u, y, off) for u, off in zip(us, fold, strict=True)] for y in ys])
    index = np.arange(points.shape[0] * points.shape[1]).reshape(points.shape[:2])
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    faces, flat = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]), points.reshape(-1, 3)
    u, y = np.meshgrid(us, ys)
    uv = np.stack([u.ravel(), -y.ravel()], 1) / 0.8
    builder.add(flat, faces, vertex_normals(flat, faces), (1, 1, 1), uv, cloth)


def radiator(builder: SoupBuilder, rng: Rng, wall: Wall, center: float, width: float) -> None:
    color, tall, yaw = t.tint(rng, (0, 0.08), (0.8, 1)), rng.uniform(0.4, 0.6), yaw_of(wall.normal)
    if not wall.clear(center - width / 2, center + width / 2, 0.1, 0.1 + tall, 0.0):
        return
    builder.box(wall.at(center, 0.12, 0.06), (width, tall, 0.05), color, yaw, skip=())
    for k in range(int(width / 0.12)):
        builder.box(wall.at(center - width / 2 + 0.06 + 0.12 * k, 0.14, 0.1), (0.06, tall - 0.04, 0.04), color, yaw)
    wall.take(center - width / 2, center + width / 2, 0.0, 0.1 + tall)


def door(builder: SoupBuilder, rng: Rng, wall: Wall, left: float, width: float, top: float) -> None:
    """A closed door with frame, fields and handle."""
    yaw, center = yaw_of(wall.normal), left + width / 2
    color, trim = t.tint(rng, (0, 0.5), (0.3, 1)), t.tint(rng, (0, 0.2), (0.5, 1))
    wall.take(left - 0.1, left + width + 0.1, 0.0, wall.height)
    builder.box(wall.at(center, 0, 0.015), (width, top, 0.03), color, yaw)
    for side in (-0.04, width + 0.04):
        builder.box(wall.at(left + side, 0, 0.03), (0.08, top + 0.08, 0.06), trim, yaw)
    builder.box(wall.at(center, top, 0.03), (width, 0.08, 0.06), trim, yaw, skip=())
    rows = int(rng.integers(1, 4))
    for k in range(rows):
        size = (width * 0.65, top * 0.76 / rows, 0.015)
        builder.box(wall.at(center, top * (k + 0.12) / rows, 0.037), size, color * 0.86, yaw, skip=())
    handle = left + (0.08 if rng.uniform() < 0.5 else width - 0.08)
    builder.box(wall.at(handle, 1.0, 0.07), (0.12, 0.03, 0.05), _METAL, yaw, skip=())


def place_door(builder: SoupBuilder, rng: Rng, wall: Wall) -> bool:
    width, top = rng.uniform(0.8, 1.0), min(rng.uniform(1.95, 2.1), wall.height - 0.1)
    left = rng.uniform(0.12, max(0.13, wall.length - width - 0.12))
    if not wall.clear(left - 0.1, left + width + 0.1, 0, top, 0.0):
        return False
    door(builder, rng, wall, left, width, top)
    return True


def skirting(builder: SoupBuilder, wall: Wall, color: np.ndarray, tall: float = 0.09) -> None:
    start, yaw = 0.0, yaw_of(wall.normal)
    gaps = sorted((left, right) for left, right, bottom, _ in wall.holes if bottom < 0.1)
    for left, right in [*gaps, (wall.length, wall.length)]:
        if left - start > 0.05:
            builder.box(
                wall.at((start + left) / 2, 0, 0.008), (left - start, tall, 0.016), color, yaw, skip=("-y", "-z")
            )
        start = right


def picture(builder: SoupBuilder, rng: Rng, wall: Wall) -> None:
    width, tall = rng.uniform(0.25, 1.2), rng.uniform(0.25, 0.9)
    left, bottom = rng.uniform(0.05, max(0.06, wall.length - width)), rng.uniform(1.15, 1.6)
    place = (left, left + width, bottom, bottom + tall)
    if place[3] > wall.height - 0.1 or not wall.clear(*place):
        return
    wall.take(*place)
    edge, yaw = rng.uniform(0.015, 0.06), yaw_of(wall.normal)
    builder.box(wall.at(left + width / 2, bottom, 0.012), (width, tall, 0.024), t.tint(rng, (0, 0.6), (0.05, 0.9)), yaw)
    image = builder.texture(t.painting(rng))
    corner = wall.at(left + edge, bottom + edge, 0.026)
    builder.panel(corner, wall.along, AXIS_Y, width - 2 * edge, tall - 2 * edge, 0.3, (1, 1, 1), image, fit=True)


def shelf_board(builder: SoupBuilder, rng: Rng, wall: Wall) -> Hole | None:
    """A board on the wall; returns its range along the wall, its height and its depth."""
    width, deep, y = rng.uniform(0.5, 1.4), rng.uniform(0.18, 0.3), rng.uniform(1.2, 1.7)
    left = rng.uniform(0.05, max(0.06, wall.length - width))
    if not wall.clear(left, left + width, y, y + 0.4):
        return None
    wall.take(left, left + width, y - 0.02, y + 0.4)
    color = t.tint(rng, (0.1, 0.6), (0.3, 0.95), 0.8)
    builder.box(wall.at(left + width / 2, y, deep / 2), (width, 0.03, deep), color, yaw_of(wall.normal), skip=())
    return left, left + width, y + 0.03, deep


def bookcase(builder: SoupBuilder, rng: Rng, wall: Wall, left: float, size: tuple[float, float, float]) -> None:
    """Open shelves with rows of books; ``size`` is width, height, depth."""
    (width, tall, deep), yaw, color = size, yaw_of(wall.normal), t.tint(rng, (0, 0.5), (0.2, 0.95))
    center, board, rows = left + width / 2, 0.02, max(2, int(size[1] / rng.uniform(0.3, 0.42)))
    spines = builder.texture(t.books(rng))
    for side in (-1, 1):
        builder.box(wall.at(center + side * (width - board) / 2, 0, deep / 2 + 0.02), (board, tall, deep), color, yaw)
    builder.box(wall.at(center, 0, 0.025), (width, tall, 0.01), color * 0.8, yaw)
    for k in range(rows + 1):
        y = (tall - board) * k / rows
        builder.box(wall.at(center, y, deep / 2 + 0.02), (width - 2 * board, board, deep), color, yaw, skip=())
        if k < rows and rng.uniform() < 0.85:
            full, side = rng.uniform(0.5, 1.0), rng.choice([-1, 1])
            books = ((width - 2 * board) * full, (tall / rows - board) * rng.uniform(0.65, 0.9), deep * 0.7)
            at = wall.at(center + side * (width - 2 * board) * (1 - full) / 2, y + board, deep * 0.4 + 0.02)
            builder.box(at, books, (1, 1, 1), yaw, 0.4, spines, 0.6, fit=("+z",) if full > 0.8 else ())
    wall.take(left, left + width, 0, tall)
