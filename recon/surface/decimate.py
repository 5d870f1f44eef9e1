"""Fewer triangles for the same surface."""

import threading

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.core.mesh import TexturedMesh

#: fast-simplification works in global variables: one mesh at a time in each process.
_ONE_AT_A_TIME = threading.Lock()


def simplify_quadric(
    vertices: Float[np.ndarray, "k 3"], faces: Int[np.ndarray, "f 3"], target: int, aggressiveness: float = 7.0
) -> tuple[Float[np.ndarray, "j 3"], Int[np.ndarray, "t 3"]]:
    """About ``target`` triangles by quadric error (Garland and Heckbert 1997); may be called from any thread."""
    import fast_simplification

    with _ONE_AT_A_TIME:
        fewer, triangles = fast_simplification.simplify(
            vertices, faces.astype(np.int32), target_count=target, agg=aggressiveness
        )
    return fewer, triangles.astype(np.int64)


def decimate_with_index(mesh: TexturedMesh, faces: int) -> tuple[TexturedMesh, Int[Tensor, "k"]]:
    """A surface of at most about ``faces`` triangles, bare of colors, and for each of its vertices the nearest vertex
    of ``mesh``: whatever lives on vertices is carried over by that index.
    """
    from scipy.spatial import cKDTree

    if len(mesh) <= faces:
        return TexturedMesh(mesh.vertices, mesh.faces), torch.arange(len(mesh.vertices), device=mesh.device)
    vertices = mesh.vertices.detach().cpu().numpy()
    fewer, triangles = simplify_quadric(vertices, mesh.faces.cpu().numpy(), faces)
    _, source = cKDTree(vertices).query(fewer)
    return TexturedMesh.from_arrays(fewer, triangles).to(mesh.device), torch.as_tensor(source, device=mesh.device)
