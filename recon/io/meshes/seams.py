"""Splitting a watertight surface for a file: at creases of the normals and at texture seams, nowhere else."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from recon.core.mesh import TexturedMesh

#: Faces that meet at more than this many degrees keep a sharp edge.
CREASE_ANGLE = 40.0


@dataclass(frozen=True)
class SplitMesh:
    """One vertex per combination of position, normal and texture coordinate."""

    positions: Float[np.ndarray, "k 3"]
    normals: Float[np.ndarray, "k 3"]
    uv: Float[np.ndarray, "k 2"] | None
    faces: Int[np.ndarray, "f 3"]
    source: Int[np.ndarray, "k"]
    """Index of the mesh's own vertex, for per-vertex values."""


def split(mesh: TexturedMesh, crease_angle: float = CREASE_ANGLE) -> SplitMesh:
    """The mesh as file formats want it. Faces that use a vertex twice are left out."""
    vertices = mesh.vertices.detach().cpu().double().numpy()
    faces = mesh.faces.cpu().long().numpy()
    proper = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces = faces[proper]
    group, normals = crease_normals(vertices, faces, crease_angle)
    if mesh.uv is None:
        key, uv = group, None
    else:
        uv = np.ascontiguousarray(mesh.uv.detach().cpu().float().numpy()[proper]).reshape(-1, 2)
        _, coordinate = np.unique((uv + np.float32(0)).view(np.int64).reshape(-1), return_inverse=True)
        key = group.astype(np.int64) * (coordinate.max() + 1) + coordinate
    _, first, corner = np.unique(key, return_index=True, return_inverse=True)
    source = faces.reshape(-1)[first]
    return SplitMesh(
        vertices[source].astype(np.float32),
        normals[group[first]].astype(np.float32),
        None if uv is None else uv[first],
        corner.reshape(-1, 3).astype(np.int64),
        source,
    )


def crease_normals(
    vertices: Float[np.ndarray, "k 3"], faces: Int[np.ndarray, "f 3"], angle: float
) -> tuple[Int[np.ndarray, "3*f"], Float[np.ndarray, "g 3"]]:
    """Group of each face corner, and the groups' unit normals.

    Corners of a vertex share a group where their faces are joined by edges flatter than ``angle`` degrees. Normals are
    weighted by the corner's angle (Thürmer and Wüthrich 1998).
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = normal / np.maximum(length, 1e-30)
    # Half-edges from each corner to the next; those of one edge lie side by side once sorted.
    start, end = faces.reshape(-1), np.roll(faces, -1, 1).reshape(-1)
    following = (np.arange(len(start)).reshape(-1, 3)[:, [1, 2, 0]]).reshape(-1)
    forward = start < end
    edge = np.where(forward, start, end) * np.int64(len(vertices)) + np.where(forward, end, start)
    order = np.argsort(edge, kind="stable")
    one, two = order[:-1], order[1:]
    joined = (edge[one] == edge[two]) & (forward[one] != forward[two])
    one, two = one[joined], two[joined]
    # A face without area has no normal of its own and joins its neighbors.
    flat = length[:, 0] <= 1e-30
    smooth = (normal[one // 3] * normal[two // 3]).sum(-1) > np.cos(np.radians(angle))
    smooth |= flat[one // 3] | flat[two // 3]
    one, two = one[smooth], two[smooth]
    rows = np.concatenate([one, following[one]])
    columns = np.concatenate([following[two], two])
    links = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(start), len(start)))
    count, group = connected_components(links, directed=False)
    weighted = normal[:, None] * _corner_angles(corners)[..., None]
    total = np.zeros((count, 3))
    np.add.at(total, group, weighted.reshape(-1, 3))
    size = np.linalg.norm(total, axis=-1, keepdims=True)
    # Only corners of faces without area end up without a direction.
    return group.astype(np.int64), np.where(size > 1e-12, total / np.maximum(size, 1e-12), [0.0, 1.0, 0.0])


def _corner_angles(corners: Float[np.ndarray, "f 3 3"]) -> Float[np.ndarray, "f 3"]:
    """Interior angles in radians."""
    ahead, behind = np.roll(corners, -1, 1) - corners, np.roll(corners, 1, 1) - corners
    return np.arctan2(np.linalg.norm(np.cross(ahead, behind), axis=-1), (ahead * behind).sum(-1))
