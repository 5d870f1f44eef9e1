"""Surfaces out of which objects are put together: closed, outward facing, with surface coordinates for patterns.

Every function returns a :class:`Part` around its own origin, +Y up, sizes in any one unit.
"""

from dataclasses import dataclass, replace

import numpy as np

TAU = 2 * np.pi


@dataclass(frozen=True)
class Part:
    """Triangles [f 3] over vertices [k 3], with surface coordinates uv [k 2]: u around in turns, v along in [0, 1]."""

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray

    def moved(self, at=(0, 0, 0), rotate=(0, 0, 0), scale=1.0) -> "Part":
        """Scaled, turned by degrees about x, then y, then z, then moved; a mirroring scale turns the faces round."""
        scale = np.broadcast_to(np.asarray(scale, float), 3)
        vertices = self.vertices * scale
        if any(rotate):
            vertices = vertices @ rotation(*rotate).T
        faces = self.faces[:, ::-1] if scale.prod() < 0 else self.faces
        return replace(self, vertices=vertices + np.asarray(at, float), faces=faces)


def rotation(x: float, y: float, z: float) -> np.ndarray:
    """Matrix of turns in degrees about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians([x, y, z])), np.sin(np.radians([x, y, z]))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def join(*parts: Part) -> Part:
    """Several surfaces as one part."""
    start = np.cumsum([0, *(len(part.vertices) for part in parts)])
    return Part(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + first for part, first in zip(parts, start, strict=False)]),
        np.concatenate([part.uv for part in parts]),
    )


def sheet(points: np.ndarray, outward: bool = True) -> Part:
    """A grid of points [a b 3] as triangles without the empty ones (poles); closed sheets are turned outwards."""
    a, b = points.shape[:2]
    index = np.arange(a * b).reshape(a, b)
    corners = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    p, q, r, s = (corner.reshape(-1) for corner in corners)
    faces = np.concatenate([np.stack([p, q, r], 1), np.stack([p, r, s], 1)])
    vertices = points.reshape(-1, 3)
    x, y, z = vertices[faces[:, 0]], vertices[faces[:, 1]], vertices[faces[:, 2]]
    normal = np.cross(y - x, z - x)
    size = np.abs(normal).max(1)
    if outward and (normal * (x - vertices.mean(0))).sum() < 0:
        faces = faces[:, ::-1]
    v, u = np.meshgrid(np.linspace(0, 1, a), np.linspace(0, 1, b), indexing="ij")
    return Part(vertices, faces[size > 1e-9 * max(size.max(), 1e-30)], np.stack([u, v], -1).reshape(-1, 2))


def lathe(profile, segments: int = 28, squash: tuple[float, float] = (1.0, 1.0)) -> Part:
    """The closed surface of a profile [(radius, height), …] turned about +Y; ends are closed towards the axis."""
    profile = np.asarray(profile, float)
    if profile[0, 0] > 0:
        profile = np.concatenate([[[0, profile[0, 1]]], profile])
    if profile[-1, 0] > 0:
        profile = np.concatenate([profile, [[0, profile[-1, 1]]]])
    angle = np.linspace(-np.pi, np.pi, segments + 1)  # the seam is at the back
    ring = np.stack([np.sin(angle) * squash[0], np.zeros_like(angle), np.cos(angle) * squash[1]], -1)
    points = profile[:, None, :1] * ring[None] + profile[:, None, 1:] * np.array([0, 1, 0])
    return sheet(points)


def cylinder(radius: float, height: float, top: float | None = None, segments: int = 24, rows: int = 6) -> Part:
    """A (truncated) cone standing on the origin."""
    top = radius if top is None else top
    t = np.linspace(0, 1, rows + 1)
    return lathe(np.stack([radius + (top - radius) * t, height * t], 1), segments)


def superquadric(size, roundness=(1.0, 1.0), rows: int = 16, segments: int = 24) -> Part:
    """Barr's superellipsoid with full extents ``size``; exponents 1 give an ellipsoid, towards 0 a box."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)[:, None]
    longitude = np.linspace(-np.pi, np.pi, segments + 1)[None]

    def power(value: np.ndarray, exponent: float) -> np.ndarray:
        value = np.where(np.abs(value) < 1e-9, 0, value)
        return np.sign(value) * np.abs(value) ** exponent

    around = power(np.cos(latitude), roundness[0])
    points = np.stack(
        [
            around * power(np.sin(longitude), roundness[1]),
            power(np.sin(latitude), roundness[0]) + 0 * longitude,
            around * power(np.cos(longitude), roundness[1]),
        ],
        -1,
    )
    return sheet(points * np.asarray(size, float) / 2)


def ball(radius, rows: int = 14, segments: int = 20) -> Part:
    """An ellipsoid of semi-axes ``radius`` (number or three)."""
    return superquadric(2 * np.broadcast_to(np.asarray(radius, float), 3), (1, 1), rows, segments)


def blob(rng: np.random.Generator, size, roughness: float = 0.2, rows: int = 22, segments: int = 30) -> Part:
    """An ellipsoid pushed in and out by a few smooth waves."""
    part = ball(1.0, rows, segments)
    waves = rng.normal(size=(6, 3)) * 2.2
    phase = rng.uniform(0, TAU, 6)
    push = np.sin(part.vertices @ waves.T + phase).mean(1)
    return replace(part, vertices=part.vertices * (1 + 1.6 * roughness * push)[:, None] * np.asarray(size) / 2)


def box(size, bevel: float = 0.0, divisions: int = 2) -> Part:
    """A box with full extents ``size``, its edges rounded by ``bevel`` (same unit)."""
    half = np.asarray(size, float) / 2
    bevel = min(bevel, 0.95 * half.min())
    sides = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        ticks = [_ticks(half[k], bevel, divisions) for k in (u, v)]
        grid = np.stack(np.meshgrid(*ticks, indexing="ij"), -1)
        for sign in (1, -1):
            points = np.empty((*grid.shape[:2], 3))
            points[..., u], points[..., v], points[..., axis] = grid[..., 0], grid[..., 1], sign * half[axis]
            if bevel > 0:
                core = points.clip(-(half - bevel), half - bevel)
                out = points - core
                points = core + bevel * out / np.linalg.norm(out, axis=-1, keepdims=True)
            side = sheet(points, outward=False)
            sides.append(replace(side, faces=side.faces if sign > 0 else side.faces[:, ::-1]))
    return join(*sides)


def _ticks(half: float, bevel: float, divisions: int) -> np.ndarray:
    inner = np.linspace(-half + bevel, half - bevel, divisions + 1)
    if bevel <= 0:
        return inner
    return np.concatenate([[-half], inner, [half]])


def tube(path, radius, segments: int = 12, closed: bool = False, flat: float = 1.0) -> Part:
    """A round (or ``flat``) tube of one or many radii along points [m 3], its frame carried along without twist."""
    path = np.asarray(path, float)
    radius = np.broadcast_to(np.asarray(radius, float), len(path))
    tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True).clip(1e-9)
    side = np.cross(tangent[0], np.eye(3)[np.abs(tangent[0]).argmin()])
    sides = []
    for direction in tangent:
        side = side - direction * (side @ direction)
        side = side / max(np.linalg.norm(side), 1e-9)
        sides.append(side)
    sides = np.array(sides)
    ups = np.cross(tangent, sides)
    angle = np.linspace(0, TAU, segments + 1)
    ring = np.cos(angle)[None, :, None] * sides[:, None] + flat * np.sin(angle)[None, :, None] * ups[:, None]
    points = path[:, None] + radius[:, None, None] * ring
    if closed:
        points = np.concatenate([points, points[:1]])
        return _outward(sheet(points, outward=False))
    ends = [np.broadcast_to(path[k], (1, segments + 1, 3)) for k in (0, -1)]
    return _outward(sheet(np.concatenate([ends[0], points, ends[1]]), outward=False))


def _outward(part: Part) -> Part:
    a, b, c = part.vertices[part.faces].swapaxes(0, 1) - part.vertices.mean(0)
    volume = (a * np.cross(b, c)).sum()
    return part if volume >= 0 else replace(part, faces=part.faces[:, ::-1])


def curve(*points, count: int = 14) -> np.ndarray:
    """A Catmull-Rom curve [count 3] through the points."""
    p = np.asarray(points, float)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, len(points) - 1 - 1e-9, count)
    k, s = t.astype(int), (t % 1)[:, None]
    a, b, c, d = p[k], p[k + 1], p[k + 2], p[k + 3]
    return 0.5 * (2 * b + (c - a) * s + (2 * a - 5 * b + 4 * c - d) * s**2 + (3 * b - a - 3 * c + d) * s**3)


def torus(radius: float, thickness: float, segments: int = 28, sides: int = 12) -> Part:
    """A ring around +Y."""
    angle = np.linspace(0, TAU, segments, endpoint=False)
    path = radius * np.stack([np.sin(angle), 0 * angle, np.cos(angle)], 1)
    return tube(path, thickness, sides, closed=True)


def extrude(outline, depth: float, rings: int = 4, rows: int = 2, bevel: float = 0.0) -> Part:
    """A plate: a star-shaped outline [m 2] in x and y, swept from z = -depth/2 to depth/2."""
    outline = np.asarray(outline, float)
    outline = np.concatenate([outline, outline[:1]])
    center = (outline.max(0) + outline.min(0)) / 2
    t = np.linspace(0, 1, rings + 1)
    shrink = 1 - bevel
    scale = np.concatenate([t * shrink, np.ones(rows + 1), t[::-1] * shrink])
    z = (
        depth
        / 2
        * np.concatenate([-np.ones(rings + 1), np.linspace(-1, 1, rows + 1) * (1 - bevel), np.ones(rings + 1)])
    )
    flat = center + scale[:, None, None] * (outline - center)[None]
    part = sheet(np.concatenate([flat, np.broadcast_to(z[:, None, None], (*flat.shape[:2], 1))], -1))
    return part


def polygon(sides: int | np.integer, radius: float = 1.0, inner: float | None = None, turn: float = 0.0) -> np.ndarray:
    """The outline [m 2] of a regular polygon, or of a star with radius ``inner`` between its points."""
    count = sides if inner is None else 2 * sides
    angle = np.linspace(0, TAU, count, endpoint=False) + np.radians(turn) + np.pi / 2
    r = np.where(np.arange(count) % 2 == 0, radius, radius if inner is None else inner)
    return np.stack([r * np.cos(angle), r * np.sin(angle)], 1)
