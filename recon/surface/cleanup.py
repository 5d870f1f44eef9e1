"""From a raw iso-surface to one that people can use: significant parts, closed, decimated."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from recon.mesh import TexturedMesh


def significant_parts(mesh: TexturedMesh, share: float) -> TexturedMesh:
    """Without cavities and without parts of less than ``share`` of the largest part's volume."""
    if len(mesh) == 0:
        return mesh
    part = part_of_face(mesh)
    a, b, c = mesh.triangles.double().unbind(1)
    volume = torch.zeros(int(part.max()) + 1, dtype=torch.float64)
    # Signed tetrahedra: an inner surface, turned the other way, has a negative volume.
    volume.index_add_(0, part, (torch.linalg.cross(a, b) * c).sum(-1).cpu() / 6)
    keep = volume >= max(share * float(volume.max()), 1e-12)
    return compacted(replace(mesh, faces=mesh.faces[keep[part].to(mesh.device)]))


def part_of_face(mesh: TexturedMesh) -> Int[Tensor, "f"]:
    """Number of the connected part that each face belongs to."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    faces, k = mesh.faces.cpu().numpy(), len(mesh.vertices)
    rows, columns = faces[:, [0, 1]].reshape(-1), faces[:, [1, 2]].reshape(-1)
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(k, k))
    return torch.from_numpy(connected_components(graph, directed=False)[1][faces[:, 0]]).long()


def compacted(mesh: TexturedMesh) -> TexturedMesh:
    """Without vertices that no face uses."""
    used, faces = torch.unique(mesh.faces, return_inverse=True)
    colors = None if mesh.colors is None else mesh.colors[used]
    attributes = {name: value[used] for name, value in mesh.attributes.items()}
    return replace(mesh, vertices=mesh.vertices[used], faces=faces, colors=colors, attributes=attributes)


def is_watertight(mesh: TexturedMesh) -> bool:
    """Every edge is used exactly once in each direction."""
    faces = mesh.faces.cpu().numpy().astype(np.int64)
    if len(faces) == 0:
        return False
    a, b = faces.reshape(-1), faces[:, [1, 2, 0]].reshape(-1)
    k = len(mesh.vertices)
    edges, back = np.sort(a * k + b), np.sort(b * k + a)
    return bool((a != b).all() and (np.diff(edges) > 0).all() and (edges == back).all())


def decimated(mesh: TexturedMesh, faces: int) -> TexturedMesh:
    """About ``faces`` triangles (Garland and Heckbert 1997), still watertight where ``mesh`` is."""
    import fast_simplification

    if len(mesh) <= faces:
        return mesh
    source = mesh.vertices.cpu().numpy(), mesh.faces.cpu().numpy().astype(np.int32)
    # Lossless collapses may fold a thin part onto itself; a gentler run is tried before the exact but slower library.
    for aggressiveness in (7.0, 3.0):
        vertices, triangles = fast_simplification.simplify(*source, target_count=faces, agg=aggressiveness)
        small = compacted(TexturedMesh.from_arrays(vertices, triangles))
        if is_watertight(small):
            return small.to(mesh.device)
    return _manifold_decimated(mesh, faces)


def _manifold_decimated(mesh: TexturedMesh, faces: int) -> TexturedMesh:
    """By manifold3d, which never leaves the set of manifolds; the tolerance is doubled until it is coarse enough."""
    solid, tolerance = _solid(mesh), float((mesh.bounds[1] - mesh.bounds[0]).max()) * 1e-4
    for _ in range(8):
        if solid.num_tri() <= faces:
            break
        solid = solid.simplify(tolerance)
        tolerance *= 2
    return _from_solid(solid).to(mesh.device)


def closed(mesh: TexturedMesh) -> TexturedMesh:
    """A watertight mesh as it is; else vertices that several sheets share are split by manifold3d's merging."""
    if len(mesh) == 0 or is_watertight(mesh):
        return mesh
    return _from_solid(_solid(mesh)).to(mesh.device)


def _solid(mesh: TexturedMesh):
    import manifold3d

    vertices = mesh.vertices.detach().cpu().numpy().astype(np.float32)
    raw = manifold3d.Mesh(vertices, mesh.faces.cpu().numpy().astype(np.uint32))
    raw.merge()
    return manifold3d.Manifold(raw)


def _from_solid(solid) -> TexturedMesh:
    raw = solid.to_mesh()
    faces = np.asarray(raw.tri_verts).astype(np.int64)
    # Vertices that carry several properties come back doubled; the merge vectors say which are one.
    index = np.arange(len(raw.vert_properties))
    index[np.asarray(raw.merge_from_vert, dtype=np.int64)] = np.asarray(raw.merge_to_vert, dtype=np.int64)
    return compacted(TexturedMesh.from_arrays(np.asarray(raw.vert_properties)[:, :3], index[faces]))
