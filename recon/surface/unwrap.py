"""Texture coordinates: a surface is cut into charts that are freed of overlaps and packed, and looked up again."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.surface import charts
from recon.surface.packing import Projection, in_rows, pack_charts
from recon.surface.scanning import scan_convert

#: Texels across the picture in which overlaps are looked for.
_SEARCH = 256
_ROUNDS = 4
#: Sheets that are less apart than this share of the mesh's height are one.
_APART = 1e-3


def unwrap(mesh: TexturedMesh, size: int) -> TexturedMesh:
    """The mesh with texture coordinates, per corner, in an atlas of ``size`` squared texels; no texel belongs twice.

    xatlas alone (charts by its own growing and conformal maps) takes a hundred times as long for 20,000 faces and cuts
    a rough surface into ten times as many charts.
    """
    cut = charts.cut(mesh)
    neighbor, projection = cut.neighbor, Projection.of(mesh, cut.direction)
    flat, height = projection.flat(cut), torch.from_numpy(projection.height).to(mesh.device)
    layer = np.zeros(len(mesh), np.int64)
    for attempt in range(1, _ROUNDS):
        hidden = _hidden(torch.from_numpy(in_rows(flat, cut)).to(mesh.device), height)
        if not hidden.any():
            break
        # One ring more, so that the border of what moves is less ragged.
        ring = (neighbor >= 0) & hidden[neighbor] & (cut.chart[neighbor] == cut.chart[:, None])
        # A number of its own: it must not join what an earlier round took away.
        layer[hidden | ring.any(1)] = attempt
        label = layer * len(charts.DIRECTIONS) + cut.direction
        cut = replace(cut, chart=charts.components(neighbor, label))
        flat = projection.flat(cut)
    return replace(mesh, uv=torch.from_numpy(pack_charts(flat, mesh.faces.cpu().numpy(), cut, size)).to(mesh.device))


def texels(mesh: TexturedMesh, size: int) -> tuple[Int[Tensor, "s s"], Float[Tensor, "s s 3"]]:
    """Face (-1: none) and barycentric coordinates at each texel's center."""
    scan = scan_convert(mesh.uv, size)
    count = len(scan.face)
    number = torch.arange(count, device=mesh.device)
    # Of the faces along an edge the first.
    number = torch.full_like(number[:1], count).expand(size**2).scatter_reduce(0, scan.texel, number, "amin")
    covered = number < count
    face, bary = torch.full_like(number, -1), scan.bary.new_zeros(size**2, 3)
    face[covered], bary[covered] = scan.face[number[covered]], scan.bary[number[covered]]
    return face.reshape(size, size), bary.reshape(size, size, 3)


def _hidden(flat: Float[Tensor, "f 3 2"], height: Float[Tensor, "f 3"]) -> Bool[np.ndarray, "f"]:
    """Faces that lie over another one in the atlas, and are the uppermost there."""
    scan = scan_convert(flat, _SEARCH)
    height = (height[scan.face] * scan.bary).sum(-1)
    least, most = (
        height.new_zeros(_SEARCH**2).scatter_reduce(0, scan.texel, height, kind, include_self=False)
        for kind in ("amin", "amax")
    )
    over = (height == most[scan.texel]) & ((most - least)[scan.texel] > _APART)
    hidden = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    return hidden.index_fill_(0, scan.face[over], True).cpu().numpy()
