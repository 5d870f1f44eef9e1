"""Smoothing: of a mesh without shrinking it, and of the fields that meshes are cut from."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.mesh import TexturedMesh

#: Pass band of the filter (Taubin 1995): ripples shorter than about five edges go, thin parts keep their thickness.
_SHRINK, _SWELL = 0.5, -0.53


def smooth_surface(mesh: TexturedMesh, rounds: int) -> TexturedMesh:
    """Vertices moved by ``rounds`` of shrinking and swelling towards the means of their neighbors."""
    if rounds == 0 or len(mesh) == 0:
        return mesh
    from scipy.sparse import csr_array

    vertices, faces = mesh.vertices.detach().cpu().numpy(), mesh.faces.cpu().numpy()
    start, end = faces.reshape(-1), np.roll(faces, -1, 1).reshape(-1)  # a closed surface has each edge twice
    order, count = np.argsort(start, kind="stable"), np.bincount(start, minlength=len(vertices))
    ends = np.append(0, count.cumsum())
    neighbors = csr_array((np.ones(len(end), np.float32), end[order], ends), shape=(len(vertices),) * 2)
    count = np.maximum(count, 1).astype(np.float32)[:, None]
    for _ in range(rounds):
        for step in (_SHRINK, _SWELL):
            vertices = vertices + np.float32(step) * (neighbors @ vertices / count - vertices)
    return replace(mesh, vertices=torch.from_numpy(vertices).to(mesh.vertices))


def smooth_fields(
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
