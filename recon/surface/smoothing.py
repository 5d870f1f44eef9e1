"""Smoothing: of a mesh without shrinking it, and of the field that it is cut from."""

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


def smoothed_field(field: Float[Tensor, "g g g"], sigma: float) -> Float[Tensor, "g g g"]:
    """Convolved with a Gaussian of ``sigma`` cells: takes away crumbs and pits, which no smoothing of a mesh can."""
    if sigma <= 0:
        return field
    from scipy.ndimage import gaussian_filter

    return torch.from_numpy(gaussian_filter(field.detach().cpu().numpy(), sigma, mode="nearest")).to(field)
