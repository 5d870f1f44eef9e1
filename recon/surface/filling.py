"""Colours where no view looks: carried on along the surface from where they are known."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.mesh import TexturedMesh

#: How strongly an unknown vertex is drawn to the mean colour; it decides only where nothing known is connected.
_PULL = 1e-4


def carried_on(mesh: TexturedMesh, colors: Float[Tensor, "k 3"], known: Bool[Tensor, "k"]) -> Float[Tensor, "k 3"]:
    """Vertex colours that keep the ``known`` ones and are the weighted mean of their neighbours elsewhere.

    The way is along the surface, not through it: the inside of a cup does not take the colour of its outside.
    """
    if not bool(known.any()):
        return torch.full_like(colors, 0.5)
    return _solved(mesh, colors, known, _PULL, colors[known].mean(0)).clamp(0, 1)


def faded(
    mesh: TexturedMesh, offsets: Float[Tensor, "k 3"], known: Bool[Tensor, "k"], reach: float
) -> Float[Tensor, "k 3"]:
    """Offsets that keep the ``known`` ones and fade along the surface, to a third within about ``reach``.

    Added to what lies beside a patch, they take away the step at its edge (Pérez et al. 2003, here with a limit).
    """
    if not bool(known.any()):
        return torch.zeros_like(offsets)
    a, b, c = mesh.triangles.unbind(1)
    edge = float(torch.cat([b - a, c - b, a - c]).norm(dim=-1).mean())
    # A vertex with six neighbours of weight two: the screened Laplacian's length in units of the edges.
    return _solved(mesh, offsets, known, 3 * (edge / reach) ** 2, torch.zeros_like(offsets[0]))


def _solved(
    mesh: TexturedMesh, values: Float[Tensor, "k 3"], known: Bool[Tensor, "k"], pull: float, rest: Float[Tensor, "3"]
) -> Float[Tensor, "k 3"]:
    """Balance between neighbours, which weigh by their nearness, and ``rest``, which pulls with ``pull``."""
    from scipy.sparse import coo_array, diags_array
    from scipy.sparse.linalg import splu

    fixed = known.cpu().numpy()
    if fixed.all():
        return values
    vertices, faces = mesh.vertices.detach().cpu().double().numpy(), mesh.faces.cpu().numpy()
    start, end = faces.reshape(-1), np.roll(faces, -1, 1).reshape(-1)
    weight = 1 / (np.linalg.norm(vertices[start] - vertices[end], axis=-1) + 1e-6)
    k = len(vertices)
    links = coo_array((weight / weight.mean(), (start, end)), shape=(k, k)).tocsr()
    links = links + links.T
    laplacian = diags_array(links.sum(1) + pull, format="csr") - links
    given = values.detach().cpu().double().numpy()
    right = pull * rest.cpu().double().numpy() + links[~fixed][:, fixed] @ given[fixed]
    result = given.copy()
    result[~fixed] = splu(laplacian[~fixed][:, ~fixed].tocsc()).solve(right)
    return torch.from_numpy(result).to(values)
