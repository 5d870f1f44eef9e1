"""Collects the surfaces of a scene: panels, boxes, meshes."""

import itertools
from collections.abc import Collection, Sequence

import numpy as np

from mvdiff.data.scenes.scene import Soup
from mvdiff.data.scenes.textures import Atlas, Image, to_linear

AXIS_X, AXIS_Y, AXIS_Z = np.eye(3)
Vector = np.ndarray
Hole = tuple[float, float, float, float]
"""Left, right, bottom, top on a panel, in meters."""

_WHITE = np.ones((128, 128, 3))


class SoupBuilder:
    """Grows by one surface after the other; lengths in meters, colors sRGB."""

    def __init__(self) -> None:
        self._parts: list[dict[str, np.ndarray]] = []
        self._textures: list[Image] = [_WHITE]
        self._count = 0

    def texture(self, image: Image) -> int:
        """Number of a new texture."""
        self._textures.append(np.clip(image, 0, 1))
        return len(self._textures) - 1

    def add(
        self,
        vertices: np.ndarray,
        faces: np.ndarray,
        normals: np.ndarray,
        color: np.ndarray | Sequence[float] = (1, 1, 1),
        uv: np.ndarray | None = None,
        material: int = 0,
        solid: bool = False,
        glowing: bool = False,
    ) -> None:
        k = len(vertices)
        self._parts.append(
            {
                "vertices": np.asarray(vertices, np.float32),
                "faces": np.asarray(faces, np.int32) + self._count,
                "normals": np.broadcast_to(np.asarray(normals, np.float32), (k, 3)),
                "albedo": np.broadcast_to(to_linear(color).astype(np.float32), (k, 3)),
                "uv": np.zeros((k, 2), np.float32) if uv is None else np.asarray(uv, np.float32),
                "material": np.full(len(faces), material),
                "solid": np.full(k, solid),
                "glowing": np.full(k, glowing),
            }
        )
        self._count += k

    def panel(
        self,
        corner: Vector,
        along: Vector,
        up: Vector,
        width: float,
        height: float,
        step: float = 0.3,
        color: Sequence[float] | np.ndarray = (1, 1, 1),
        material: int = 0,
        period: float = 1.0,
        holes: Sequence[Hole] = (),
        fit: bool = False,
        glowing: bool = False,
    ) -> None:
        """A rectangle from ``corner`` that faces ``along x up``, in triangles of about ``step``.

        The texture repeats every ``period`` meters, or covers the panel once (``fit``).
        """
        if width < 1e-6 or height < 1e-6:
            return
        us = _ticks(width, step, [u for hole in holes for u in hole[:2]])
        vs = _ticks(height, step, [v for hole in holes for v in hole[2:]])
        u, v = np.meshgrid(us, vs, indexing="ij")
        points = np.asarray(corner) + u[..., None] * along + v[..., None] * up
        faces = grid_faces(*u.shape, _outside((us[1:] + us[:-1]) / 2, (vs[1:] + vs[:-1]) / 2, holes))
        if len(faces):
            uv = np.stack([u / width, 1 - v / height] if fit else [u / period, 1 - v / period], -1)
            normal = np.cross(along, up)
            self.add(points.reshape(-1, 3), faces, normal, color, uv.reshape(-1, 2), material, True, glowing)

    def box(
        self,
        base: Vector | Sequence[float],
        size: Sequence[float],
        color: Sequence[float] | np.ndarray = (1, 1, 1),
        yaw: float = 0.0,
        step: float = 0.4,
        material: int = 0,
        period: float = 1.0,
        skip: Collection[str] = ("-y",),
        fit: Collection[str] = (),
        glowing: bool = False,
    ) -> None:
        """A box on the center ``base`` of its lower face; ``skip`` and ``fit`` name sides: +x -x +y -y +z -z."""
        sx, sy, sz = size
        right, ahead = turned(yaw)
        o = np.asarray(base, float)
        sides = {
            "+z": (o - right * sx / 2 + ahead * sz / 2, right, AXIS_Y, sx, sy),
            "-z": (o + right * sx / 2 - ahead * sz / 2, -right, AXIS_Y, sx, sy),
            "+x": (o + right * sx / 2 + ahead * sz / 2, -ahead, AXIS_Y, sz, sy),
            "-x": (o - right * sx / 2 - ahead * sz / 2, ahead, AXIS_Y, sz, sy),
            "+y": (o + AXIS_Y * sy - right * sx / 2 + ahead * sz / 2, right, -ahead, sx, sz),
            "-y": (o - right * sx / 2 - ahead * sz / 2, right, ahead, sx, sz),
        }
        for name, side in sides.items():
            if name not in skip:
                fitted = name in fit
                self.panel(*side, step, color, material, period, fit=fitted, glowing=glowing)

    def surface(
        self, points: np.ndarray, color=(1, 1, 1), material: int = 0, period: float = 1.0, solid: bool = True
    ) -> None:
        """A grid of points [a b 3], smooth; it faces (second axis) x (first axis)."""
        a, b = points.shape[:2]
        faces = grid_faces(a, b, np.ones((a - 1, b - 1), bool))[:, ::-1]
        vertices = points.reshape(-1, 3)
        uv = vertices[:, [0, 2]] / period
        self.add(vertices, faces, vertex_normals(vertices, faces), color, uv, material, solid)

    def soup(self) -> Soup:
        return Soup(**{name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]})

    def atlas(self) -> Atlas:
        return Atlas.of(self._textures)


def turned(yaw: float) -> tuple[Vector, Vector]:
    """Images of +X and +Z under a rotation by ``yaw`` radians from +Z towards +X."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([c, 0, -s]), np.array([s, 0, c])


def yaw_of(direction: Vector) -> float:
    """Turn that brings +Z to this horizontal direction."""
    return float(np.arctan2(direction[0], direction[2]))


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normal, corner = np.cross(b - a, c - a), faces.ravel()
    total = np.stack([np.bincount(corner, np.repeat(normal[:, k], 3), len(vertices)) for k in range(3)], -1)
    return total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-12)


def grid_faces(a: int, b: int, kept: np.ndarray) -> np.ndarray:
    """Two triangles for each kept cell of a grid of a x b vertices."""
    index = np.arange(a * b).reshape(a, b)
    p, q, r, s = (corner[kept] for corner in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    return np.concatenate([np.stack([p, q, r], -1), np.stack([p, r, s], -1)])


def _outside(u: np.ndarray, v: np.ndarray, holes: Sequence[Hole]) -> np.ndarray:
    kept = np.ones((len(u), len(v)), bool)
    for left, right, bottom, top in holes:
        kept &= ~(((u > left) & (u < right))[:, None] & ((v > bottom) & (v < top))[None])
    return kept


def _ticks(length: float, step: float, marks: Sequence[float]) -> np.ndarray:
    """From 0 to ``length`` through all marks, at most about ``step`` apart."""
    marks = np.unique(np.clip(np.round([0, length, *marks], 6), 0, round(length, 6)))
    parts = [
        np.linspace(low, high, max(1, int(np.ceil((high - low) / step - 1e-6))), endpoint=False)
        for low, high in itertools.pairwise(marks)
    ]
    return np.concatenate([*parts, marks[-1:]])
