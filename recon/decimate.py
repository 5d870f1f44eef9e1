"""Fewer triangles for the same surface."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from recon.mesh import TexturedMesh


def decimated(mesh: TexturedMesh, faces: int) -> tuple[TexturedMesh, Int[Tensor, "k"]]:
    """A surface of at most about ``faces`` triangles, bare of colours, and for each of its vertices the nearest vertex
    of ``mesh``: whatever lives on vertices is carried over by that index. (Quadric error, Garland and Heckbert 1997.)
    """
    import fast_simplification
    from scipy.spatial import cKDTree

    if len(mesh) <= faces:
        return TexturedMesh(mesh.vertices, mesh.faces), torch.arange(len(mesh.vertices), device=mesh.device)
    vertices = mesh.vertices.detach().cpu().numpy()
    fewer, triangles = fast_simplification.simplify(
        vertices, mesh.faces.cpu().numpy().astype(np.int32), target_count=faces
    )
    _, source = cKDTree(vertices).query(fewer)
    return TexturedMesh.from_arrays(fewer, triangles).to(mesh.device), torch.as_tensor(source, device=mesh.device)
