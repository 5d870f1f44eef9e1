"""Smoothing: of a mesh without shrinking it, and of the fields that meshes are cut from."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.mesh import TexturedMesh

#: Pass band of the filter (Taubin 1995): ripples shorter than about five edges go, thin parts keep their thickness.
_SHRINK, _SWELL = 0.5, -0.53


def smoothed_surface(mesh: TexturedMesh, rounds: int) -> TexturedMesh:
    """Vertices moved by ``rounds`` of shrinking and swelling towards the means of their neighbours."""
    if rounds == 0 or len(mesh) == 0:
        return mesh
    start, end = mesh.faces.reshape(-1), mesh.faces[:, [1, 2, 0]].reshape(-1)  # a closed surface has each edge twice
    count = torch.zeros_like(mesh.vertices[:, :1]).index_add_(0, start, torch.ones_like(mesh.vertices[start, :1]))
    vertices = mesh.vertices
    for _ in range(rounds):
        for step in (_SHRINK, _SWELL):
            mean = torch.zeros_like(vertices).index_add_(0, start, vertices[end]) / count.clamp_min(1)
            vertices = vertices + step * (mean - vertices)
    return replace(mesh, vertices=vertices)


def smoothed_fields(
    fields: Float[Tensor, "n g g g"], sigma: Float[Tensor, "n"], limit: float
) -> Float[Tensor, "n g g g"]:
    """Each convolved with its own Gaussian of ``sigma`` cells, at most ``limit``: takes away crumbs and pits, which no
    smoothing of a mesh can. The border continues outwards."""
    radius = round(4 * limit)
    if not bool((sigma > 0).any()):
        return fields
    offset = torch.arange(-radius, radius + 1, device=fields.device)
    weight = torch.exp(-0.5 * (offset / sigma.to(fields)[:, None].clamp_min(1e-3)) ** 2)
    weight = (weight / weight.sum(1, keepdim=True))[..., None, None, None]  # [n 2r+1 1 1 1]
    g = fields.shape[-1]
    border = torch.arange(-radius, g + radius, device=fields.device).clamp(0, g - 1)
    for axis in (1, 2, 3):
        wide = fields.index_select(axis, border)
        fields = fields * weight[:, radius]
        for step in range(radius):
            pair = wide.narrow(axis, step, g) + wide.narrow(axis, 2 * radius - step, g)
            fields = fields.addcmul_(pair, weight[:, step])
    return fields
