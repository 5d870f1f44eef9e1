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
    from scipy.sparse import coo_array, diags_array
    from scipy.sparse.linalg import splu

    if bool(known.all()):
        return colors
    if not bool(known.any()):
        return torch.full_like(colors, 0.5)
    vertices, faces = mesh.vertices.detach().cpu().double().numpy(), mesh.faces.cpu().numpy()
    start, end = faces.reshape(-1), np.roll(faces, -1, 1).reshape(-1)
    weight = 1 / (np.linalg.norm(vertices[start] - vertices[end], axis=-1) + 1e-6)
    k = len(vertices)
    links = coo_array((weight / weight.mean(), (start, end)), shape=(k, k)).tocsr()
    links = links + links.T
    laplacian = diags_array(links.sum(1) + _PULL, format="csr") - links
    fixed = known.cpu().numpy()
    values = colors.detach().cpu().double().numpy()
    right = _PULL * values[fixed].mean(0) + links[~fixed][:, fixed] @ values[fixed]
    result = values.copy()
    result[~fixed] = splu(laplacian[~fixed][:, ~fixed].tocsc()).solve(right)
    return torch.from_numpy(result).to(colors).clamp(0, 1)
