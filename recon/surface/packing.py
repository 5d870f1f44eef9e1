"""Charts laid flat, and side by side in one square atlas."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from recon.core.mesh import TexturedMesh
from recon.surface.charts import DIRECTIONS, Charts

#: Texels of the atlas to one that xatlas packs by: its time goes by their number, and no other thread works then.
_COARSE = 2
#: Such texels that stay free around each chart; xatlas makes the atlas up to half as large again as it is told.
_PADDING = 1
#: xatlas leaves out triangles that are small in absolute terms.
_SCALE = 1e4
#: Sides of the outlines that stand for charts: the time of xatlas goes by triangles, too.
_SIDES = 8
#: Charts that fill less than this share of their outline stand for themselves.
_HOLLOW = 0.5
#: How far an outline is from its chart, as a share of the whole: none is a mere line.
_MARGIN = 1e-3
#: Projections along the axes, right-handed: columns of a point that become u and v.
_ACROSS = np.array([[1, 2], [2, 0], [0, 1], [2, 1], [0, 2], [1, 0]])


@dataclass(frozen=True)
class Projection:
    """Every face as it looks along the direction that it is looked at from."""

    uv: Float[np.ndarray, "f 3 2"]
    """All around the same origin."""
    area: Float[np.ndarray, "f"]
    surface: Float[np.ndarray, "f"]
    """The area on the mesh."""
    height: Float[np.ndarray, "f 3"]
    """Height of the corners towards the viewer, as a share of the largest difference."""

    @staticmethod
    def of(mesh: TexturedMesh, direction: Int[np.ndarray, "f"]) -> "Projection":
        triangles = mesh.triangles.detach().cpu().numpy()
        uv = np.take_along_axis(triangles, _ACROSS[direction][:, None], 2)
        a, b, c = triangles.transpose(1, 0, 2)
        surface = np.linalg.norm(np.cross(b - a, c - a), axis=-1) / 2
        height = np.einsum("fic,fc->fi", triangles, DIRECTIONS[direction])
        height = (height - height.min()) / max(np.ptp(height), 1e-12)
        return Projection(uv, _area(uv), surface, height)

    def flat(self, cut: Charts) -> Float[np.ndarray, "f 3 2"]:
        """Each chart as large as it is on the surface."""
        surface, area = (np.bincount(cut.chart, each, cut.count) for each in (self.surface, self.area))
        scale = np.sqrt((surface / np.maximum(area, 1e-30)).clip(1, 9)).astype(np.float32)
        return self.uv * scale[cut.chart, None, None]


def in_rows(uv: Float[np.ndarray, "f 3 2"], cut: Charts) -> Float[np.ndarray, "f 3 2"]:
    """Charts side by side in rows of falling height, in 0…1: wasteful, but a hundred times as fast as xatlas."""
    order, first = cut.in_order
    ordered = uv[order]
    low, high = (extreme.reduceat(_over_corners(extreme, ordered), first) for extreme in (np.minimum, np.maximum))
    size = (high - low) * 1.01
    row = max(float(np.sqrt(size.prod(1).sum())) * 1.1, float(size[:, 0].max()))
    start, x, y, height = np.zeros_like(low), 0.0, 0.0, 0.0
    for chart in np.argsort(-size[:, 1], kind="stable"):
        if x + size[chart, 0] > row:
            x, y, height = 0.0, y + height, 0.0
        start[chart] = x, y
        x, height = x + size[chart, 0], max(height, size[chart, 1])
    return (uv - low[cut.chart, None] + start[cut.chart, None]) / max(row, y + height)


def pack_charts(
    uv: Float[np.ndarray, "f 3 2"], faces: Int[np.ndarray, "f 3"], cut: Charts, size: int
) -> Float[np.ndarray, "f 3 2"]:
    """Charts turned and moved by xatlas, which fit closely; in 0…1 of about ``size`` squared texels.

    ``faces`` tell which corners of a chart are one.
    """
    fan = np.array([[0, i, i + 1] for i in range(1, _SIDES - 1)])
    outline = _outlines(uv, cut)[:, fan]  # [c t 3 2]
    filled = np.bincount(cut.chart, _area(uv), cut.count) / _area(outline).sum(1)
    solid, hollow = np.flatnonzero(filled >= _HOLLOW), (filled < _HOLLOW)[cut.chart]
    triangles = np.concatenate([outline[solid].reshape(-1, 3, 2), uv[hollow]])
    chart = np.concatenate([np.repeat(solid, len(fan)), cut.chart[hollow]])
    place = [solid[:, None, None] * _SIDES + fan, cut.chart[hollow, None] * (faces.max() + 1) + faces[hollow]]
    place = np.concatenate([place[0].reshape(-1, 3), place[1] + cut.count * _SIDES])
    moved = _by_xatlas(triangles, chart, place, size)
    # Every chart moves as the largest triangle that stands for it, which xatlas has surely kept.
    order = np.lexsort((_area(triangles), chart))
    largest = order[np.searchsorted(chart[order], np.arange(cut.count), side="right") - 1]
    source = np.concatenate([triangles[largest], np.ones((cut.count, 3, 1))], 2)
    matrix = np.linalg.solve(source, moved[largest])[cut.chart]
    return (uv @ matrix[:, :2] + matrix[:, 2:]).clip(0, 1).astype(np.float32)


def _outlines(uv: Float[np.ndarray, "f 3 2"], cut: Charts) -> Float[np.ndarray, "c d 2"]:
    """Convex, around each chart: where lines of :data:`_SIDES` directions that touch it from outside cross."""
    angle = np.arange(_SIDES) * (2 * np.pi / _SIDES)
    normal = np.stack([np.cos(angle), np.sin(angle)], 1)
    order, first = cut.in_order
    furthest = _over_corners(np.maximum, uv @ normal.T.astype(np.float32))
    reach = np.maximum.reduceat(furthest[order], first) + _MARGIN * np.ptp(uv)
    following, onwards = np.roll(reach, -1, 1), np.roll(normal, -1, 0)
    x = reach * onwards[:, 1] - following * normal[:, 1]
    y = following * normal[:, 0] - reach * onwards[:, 0]
    return np.stack([x, y], -1) / np.sin(2 * np.pi / _SIDES)


def _by_xatlas(
    triangles: Float[np.ndarray, "t 3 2"], chart: Int[np.ndarray, "t"], place: Int[np.ndarray, "t 3"], size: int
) -> Float[np.ndarray, "t 3 2"]:
    """Corners of equal ``place`` are one vertex."""
    import xatlas

    # Vertices are shared within a chart only, and no two charts touch: xatlas separates charts by this.
    apart = triangles * _SCALE
    apart[..., 0] += 2 * np.abs(apart).max() * chart[:, None]
    _, first, corner = np.unique(place, return_index=True, return_inverse=True)
    atlas = xatlas.Atlas()
    atlas.add_uv_mesh(
        np.ascontiguousarray(apart.reshape(-1, 2)[first], np.float32),
        np.ascontiguousarray(corner.reshape(-1, 3), np.uint32),
    )
    options = xatlas.PackOptions()
    options.resolution, options.padding, options.bilinear = size // _COARSE, _PADDING, True
    atlas.generate(xatlas.ChartOptions(), options)
    _, corners, moved = atlas[0]
    return moved[corners].astype(np.float64)


def _over_corners(extreme: np.ufunc, values: Float[np.ndarray, "f 3 d"]) -> Float[np.ndarray, "f d"]:
    """``values.min(1)`` or ``.max(1)``, which numpy is slow at along a short axis."""
    a, b, c = values.transpose(1, 0, 2)
    return extreme(extreme(a, b), c)


def _area(triangles: Float[np.ndarray, "*t 3 2"]) -> Float[np.ndarray, "*t"]:
    (x1, y1), (x2, y2) = (np.moveaxis(triangles[..., i, :] - triangles[..., 0, :], -1, 0) for i in (1, 2))
    return np.abs(x1 * y2 - x2 * y1) / 2
