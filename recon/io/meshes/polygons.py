"""Polygons as triangles: fans where they are convex, ear clipping (Meisters 1975) where they are not."""

import numpy as np
from jaxtyping import Float, Int

#: Larger polygons that are not convex are cut as fans: clipping ears takes quadratic time.
_MAX_EARS = 500


def triangulate(
    counts: Int[np.ndarray, "p"], corners: Int[np.ndarray, "c"], vertices: Float[np.ndarray, "k 3"]
) -> Int[np.ndarray, "f 3"]:
    """Places among ``corners`` of the triangles of polygons with ``counts`` corners each, in their order.

    Args:
        counts: Corners of each polygon; those with less than three make no triangle.
        corners: Vertex of each polygon's corners, one polygon after the other.
        vertices: Positions.
    """
    triangles = np.maximum(counts - 2, 0)
    polygons = np.repeat(np.arange(len(counts)), triangles)
    start = np.cumsum(counts) - counts
    step = np.arange(len(polygons)) - (np.cumsum(triangles) - triangles)[polygons]
    first = start[polygons]
    fans = np.stack([first, first + step + 1, first + step + 2], 1)
    for polygon in _not_convex(fans, polygons, corners, vertices, counts).tolist():
        size, begin = int(counts[polygon]), int(start[polygon])
        ears = _ears(vertices[corners[begin : begin + size]].astype(np.float64))
        if ears is not None:
            at = int((np.cumsum(triangles) - triangles)[polygon])
            fans[at : at + size - 2] = ears + begin
    return fans


def _not_convex(
    fans: np.ndarray, polygons: np.ndarray, corners: np.ndarray, vertices: np.ndarray, counts: np.ndarray
) -> Int[np.ndarray, "q"]:
    """Polygons whose fan has triangles that face against each other."""
    many = counts[polygons] > 3
    if not many.any():
        return np.zeros(0, np.int64)
    chosen, own = fans[many], polygons[many]
    a, b, c = np.moveaxis(vertices[corners[chosen]].astype(np.float64), 1, 0)
    normal = np.cross(b - a, c - a)
    total = np.zeros((len(counts), 3))
    np.add.at(total, own, normal)
    against = (normal * total[own]).sum(1) < 0
    return np.setdiff1d(np.unique(own[against]), np.flatnonzero(counts > _MAX_EARS))


def _ears(points: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, "n-2 3"] | None:
    """Triangles of one simple polygon; None where no ear is left to cut."""
    flat = _in_plane(points)
    left, found = list(range(len(points))), []
    while len(left) > 3:
        for i in range(len(left)):
            a, b, c = left[i - 1], left[i], left[(i + 1) % len(left)]
            others = [k for k in left if k not in (a, b, c)]
            if _turn(flat[a], flat[b], flat[c]) > 0 and not _inside(flat[others], flat[a], flat[b], flat[c]).any():
                found.append((a, b, c))
                left.pop(i)
                break
        else:
            return None
    return np.array([*found, tuple(left)], np.int64)


def _in_plane(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """Coordinates in the polygon's plane, in which it turns counter-clockwise."""
    centered = points - points.mean(0)
    normal = np.cross(centered, np.roll(centered, -1, 0)).sum(0)  # Newell's
    along = np.eye(3)[np.abs(normal).argmin()]
    x = np.cross(along, normal)
    x /= max(np.linalg.norm(x), 1e-30)
    y = np.cross(normal / max(np.linalg.norm(normal), 1e-30), x)
    return np.stack([centered @ x, centered @ y], 1)


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray | np.floating:
    """Twice the signed area of triangles, positive where they turn counter-clockwise."""
    return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])


def _inside(points: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Whether points lie in a triangle that turns counter-clockwise, its edges left out."""
    return (_turn(a, b, points) > 0) & (_turn(b, c, points) > 0) & (_turn(c, a, points) > 0)
