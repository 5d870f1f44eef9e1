"""Texture coordinates: charts are projected along their own direction, freed of overlaps and packed by xatlas."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.cameras import Cameras
from recon.mesh import TexturedMesh
from recon.rendering.visibility import Visibility, visibility
from recon.surface import charts
from recon.surface.charts import Charts

#: Free texels around each chart; xatlas makes the atlas up to half as large again as it is told.
_PADDING = 3
#: Texels across the picture in which overlaps are looked for.
_SEARCH = 256
_ROUNDS = 4
#: xatlas leaves out triangles that are small in absolute terms.
_SCALE = 1e4
#: Projections along the axes, right-handed: columns of a point that become u and v.
_ACROSS = np.array([[1, 2], [2, 0], [0, 1], [2, 1], [0, 2], [1, 0]])


def unwrapped(mesh: TexturedMesh, size: int) -> TexturedMesh:
    """The mesh with texture coordinates, per corner, in an atlas of ``size`` squared texels; no texel belongs twice.

    xatlas alone (charts by its own growing and conformal maps) takes a hundred times as long for 20,000 faces and cuts
    a rough surface into ten times as many charts.
    """
    cut = charts.cut(mesh)
    neighbour = charts.neighbours(mesh.faces.cpu().numpy())
    layer = np.zeros(len(mesh), np.int64)
    for attempt in range(1, _ROUNDS):
        hidden = _hidden(mesh, cut)
        if not hidden.any():
            break
        # One ring more, so that the border of what moves is less ragged.
        ring = (neighbour >= 0) & hidden[neighbour] & (cut.chart[neighbour] == cut.chart[:, None])
        # A number of its own: it must not join what an earlier round took away.
        layer[hidden | ring.any(1)] = attempt
        label = layer * len(charts.DIRECTIONS) + cut.direction
        cut = Charts(charts.components(neighbour, label), cut.direction)
    return replace(mesh, uv=_packed(mesh, cut, size))


def texels(mesh: TexturedMesh, size: int) -> tuple[Int[Tensor, "s s"], Float[Tensor, "s s 3"]]:
    """Face (-1: none) and barycentric coordinates at each texel's centre."""
    seen = _lookup(mesh, torch.zeros_like(mesh.uv[..., 0]), size)
    return seen.face[0], seen.bary[0]


def _flat(mesh: TexturedMesh, cut: Charts) -> Float[np.ndarray, "f 3 2"]:
    """Each chart projected along its direction, as large as it is on the surface; all around the same origin."""
    triangles = mesh.triangles.detach().cpu().numpy()
    uv = np.take_along_axis(triangles, _ACROSS[cut.direction][:, None], 2)
    area = np.bincount(cut.chart, _area3(triangles), cut.count) / np.maximum(
        np.bincount(cut.chart, np.abs(_area2(uv)), cut.count), 1e-30
    )
    return uv * np.sqrt(area.clip(1, 9)).astype(np.float32)[cut.chart, None, None]


def _in_rows(uv: Float[np.ndarray, "f 3 2"], cut: Charts) -> Float[np.ndarray, "f 3 2"]:
    """Charts side by side in rows of falling height, in 0…1: wasteful, but a hundred times as fast as xatlas."""
    low, high = np.full((cut.count, 2), np.inf, np.float32), np.full((cut.count, 2), -np.inf, np.float32)
    np.minimum.at(low, cut.chart, uv.min(1))
    np.maximum.at(high, cut.chart, uv.max(1))
    size = (high - low) * 1.01
    row = max(float(np.sqrt(size.prod(1).sum())) * 1.1, float(size[:, 0].max()))
    start, x, y, height = np.zeros_like(low), 0.0, 0.0, 0.0
    for chart in np.argsort(-size[:, 1], kind="stable"):
        if x + size[chart, 0] > row:
            x, y, height = 0.0, y + height, 0.0
        start[chart] = x, y
        x, height = x + size[chart, 0], max(height, size[chart, 1])
    return (uv - low[cut.chart, None] + start[cut.chart, None]) / max(row, y + height)


def _packed(mesh: TexturedMesh, cut: Charts, size: int) -> Float[Tensor, "f 3 2"]:
    import xatlas

    uv = _flat(mesh, cut) * _SCALE
    # Vertices are shared within a chart only, and no two charts touch: that is how xatlas tells them apart.
    uv[..., 0] += 2 * np.abs(uv).max() * cut.chart[:, None]
    key = cut.chart[:, None] * len(mesh.vertices) + mesh.faces.cpu().numpy()
    _, first, corner = np.unique(key, return_index=True, return_inverse=True)
    atlas = xatlas.Atlas()
    atlas.add_uv_mesh(
        np.ascontiguousarray(uv.reshape(-1, 2)[first], np.float32),
        np.ascontiguousarray(corner.reshape(-1, 3), np.uint32),
    )
    options = xatlas.PackOptions()
    options.resolution, options.padding, options.bilinear = size, _PADDING, True
    atlas.generate(xatlas.ChartOptions(), options)
    _, corners, packed = atlas[0]
    return torch.from_numpy(packed[corners].astype(np.float32)).clamp(0, 1).to(mesh.device)


def _hidden(mesh: TexturedMesh, cut: Charts) -> Bool[np.ndarray, "f"]:
    """Faces that lie under another one in the atlas: looked at from above and from below, their texels differ."""
    mesh = replace(mesh, uv=torch.from_numpy(_in_rows(_flat(mesh, cut), cut)).to(mesh.device))
    axis = torch.from_numpy(charts.DIRECTIONS[cut.direction]).to(mesh.device)
    height = (mesh.triangles * axis[:, None]).sum(-1)
    height = (height - height.min()) / (height.max() - height.min()).clamp_min(1e-12)
    below, above = _lookup(mesh, height, _SEARCH), _lookup(mesh, 1 - height, _SEARCH)
    # The depths add up to the same where both sides show the same point.
    apart = (below.face >= 0) & (above.face >= 0) & (below.face != above.face)
    apart &= below.depth + above.depth < 2 * _NEAR + 1 - 1e-3
    hidden = np.zeros(len(mesh), bool)
    hidden[above.face[apart].cpu().numpy()] = True
    return hidden


_NEAR = 1.0


def _lookup(mesh: TexturedMesh, height: Float[Tensor, "f 3"], size: int) -> Visibility:
    """What a camera that looks onto the atlas sees; of faces that overlap, the one with the smaller ``height``.

    Corners are moved along their lines of sight, which changes nothing in the picture.
    """
    depth = _NEAR + height[..., None]
    corners = torch.cat([mesh.uv * depth, depth], -1)
    sheet = TexturedMesh(corners.reshape(-1, 3), torch.arange(3 * len(mesh), device=mesh.device).reshape(-1, 3))
    lens = torch.diag(torch.tensor([size, size, 1.0], device=mesh.device))
    return visibility(sheet, Cameras(torch.eye(4, device=mesh.device)[None], lens[None], size, size))


def _area3(triangles: Float[np.ndarray, "f 3 3"]) -> Float[np.ndarray, "f"]:
    a, b, c = triangles.transpose(1, 0, 2)
    return np.linalg.norm(np.cross(b - a, c - a), axis=-1) / 2


def _area2(uv: Float[np.ndarray, "f 3 2"]) -> Float[np.ndarray, "f"]:
    (x1, y1), (x2, y2) = (uv[:, 1] - uv[:, 0]).T, (uv[:, 2] - uv[:, 0]).T
    return (x1 * y2 - x2 * y1) / 2
