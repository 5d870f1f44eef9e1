"""Texture coordinates: a surface is cut into charts that are freed of overlaps and packed, and looked up again."""

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
from recon.surface.packing import flat, in_rows, packed

#: Texels across the picture in which overlaps are looked for.
_SEARCH = 256
_ROUNDS = 4


def unwrapped(mesh: TexturedMesh, size: int) -> TexturedMesh:
    """The mesh with texture coordinates, per corner, in an atlas of ``size`` squared texels; no texel belongs twice.

    xatlas alone (charts by its own growing and conformal maps) takes a hundred times as long for 20,000 faces and cuts
    a rough surface into ten times as many charts.
    """
    cut, faces = charts.cut(mesh), mesh.faces.cpu().numpy()
    neighbour = charts.neighbours(faces)
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
    return replace(mesh, uv=torch.from_numpy(packed(flat(mesh, cut), faces, cut, size)).to(mesh.device))


def texels(mesh: TexturedMesh, size: int) -> tuple[Int[Tensor, "s s"], Float[Tensor, "s s 3"]]:
    """Face (-1: none) and barycentric coordinates at each texel's centre."""
    seen = _lookup(mesh, torch.zeros_like(mesh.uv[..., 0]), size)
    return seen.face[0], seen.bary[0]


def _hidden(mesh: TexturedMesh, cut: Charts) -> Bool[np.ndarray, "f"]:
    """Faces that lie under another one in the atlas: looked at from above and from below, their texels differ."""
    mesh = replace(mesh, uv=torch.from_numpy(in_rows(flat(mesh, cut), cut)).to(mesh.device))
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
