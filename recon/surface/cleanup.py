"""From a raw iso-surface to one that people can use: significant parts, closed, decimated."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.surface.decimate import simplify_quadric

#: Of a triangle, as a share of the mesh's size: lower ones have no direction to speak of in single precision.
_LEAST_HEIGHT = 1e-5
_RELAXATIONS = 30
#: Cells along each side where a surface has to be made anew.
_REMESH = 128


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
    return drop_unused_vertices(replace(mesh, faces=mesh.faces[keep[part].to(mesh.device)]))


def part_of_face(mesh: TexturedMesh) -> Int[Tensor, "f"]:
    """Number of the connected part that each face belongs to."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    faces, k = mesh.faces.cpu().numpy(), len(mesh.vertices)
    rows, columns = faces[:, [0, 1]].reshape(-1), faces[:, [1, 2]].reshape(-1)
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(k, k))
    return torch.from_numpy(connected_components(graph, directed=False)[1][faces[:, 0]]).long()


def drop_unused_vertices(mesh: TexturedMesh) -> TexturedMesh:
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


def decimate(mesh: TexturedMesh, faces: int) -> TexturedMesh:
    """At most ``faces`` triangles, none degenerate; still watertight where ``mesh`` is."""
    return remove_degenerate(mesh if len(mesh) <= faces else _fewer(mesh, faces))


def _fewer(mesh: TexturedMesh, faces: int) -> TexturedMesh:
    source = mesh.vertices.cpu().numpy(), mesh.faces.cpu().numpy()
    # Collapses may fold a thin part onto itself; a gentler run folds less, and what it folds can be parted.
    for aggressiveness in (7.0, 3.0):
        small = drop_unused_vertices(TexturedMesh.from_arrays(*simplify_quadric(*source, faces, aggressiveness)))
        if len(small) <= faces and is_watertight(small):
            return small.to(mesh.device)
    parted = _parted(small)
    if parted is not None and len(parted) <= faces and is_watertight(parted):
        return parted.to(mesh.device)
    # manifold3d never leaves the set of manifolds; its tolerance grows until it is coarse enough.
    solid, tolerance = _solid(mesh), _size(mesh) * 1e-4
    while solid.num_tri() > faces and tolerance < _size(mesh):
        solid, tolerance = solid.simplify(tolerance), tolerance * 1.5
    return _from_solid(solid).to(mesh.device)


def remove_degenerate(mesh: TexturedMesh) -> TexturedMesh:
    """No triangle lower than :data:`_LEAST_HEIGHT` and no two vertices at one place: such vertices move towards their
    neighbours' mean.

    Sheets that merely touch would grow together in files, which tell vertices by their places. Only places change:
    what is watertight stays so.
    """
    if len(mesh) == 0:
        return mesh
    least = _LEAST_HEIGHT * _size(mesh)
    for _ in range(_RELAXATIONS):
        low = heights(mesh) < least
        moves = torch.cat([mesh.faces[low].flatten(), _twice(mesh.vertices)]).unique()
        if len(moves) == 0:
            break
        edges = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
        total = torch.zeros_like(mesh.vertices).index_add_(0, edges[:, 0], mesh.vertices[edges[:, 1]])
        degree = torch.bincount(edges[:, 0], minlength=len(mesh.vertices)).clamp_min(1)[:, None]
        vertices = mesh.vertices.clone()
        vertices[moves] = 0.5 * (vertices[moves] + (total / degree)[moves])
        mesh = replace(mesh, vertices=vertices)
    return mesh


def _twice(vertices: Float[Tensor, "k 3"]) -> Int[Tensor, "t"]:
    """Those that lie where another one lies."""
    places = vertices.detach().cpu().numpy()
    order = np.lexsort(places.T)  # many times as fast as torch's unique rows
    same = (places[order[1:]] == places[order[:-1]]).all(1)
    return torch.from_numpy(order[np.append(same, False) | np.append(False, same)]).to(vertices.device)


def heights(mesh: TexturedMesh) -> Float[Tensor, "f"]:
    """Smallest height of each triangle; 0 where it is degenerate."""
    a, b, c = mesh.triangles.double().unbind(1)
    longest = torch.stack([(b - a).norm(dim=-1), (c - b).norm(dim=-1), (a - c).norm(dim=-1)]).amax(0)
    return torch.linalg.cross(b - a, c - a).norm(dim=-1) / longest.clamp_min(1e-300)


def _size(mesh: TexturedMesh) -> float:
    low, high = mesh.bounds
    return float((high - low).max())


def make_watertight(mesh: TexturedMesh) -> TexturedMesh:
    """A watertight mesh as it is. Else sheets that share vertices are parted by manifold3d; where that is not enough
    (holes, open sheets), the surface is made anew around what its winding number calls inside."""
    if len(mesh) == 0 or is_watertight(mesh):
        return mesh
    parted = _parted(mesh)
    return _remeshed(mesh) if parted is None else parted


def _parted(mesh: TexturedMesh) -> TexturedMesh | None:
    """Sheets that share vertices have their own; None where that makes no solid."""
    solid = _solid(mesh)
    return _from_solid(solid).to(mesh.device) if is_solid(solid) else None


def is_manifold(mesh: TexturedMesh) -> bool:
    """Whether manifold3d takes the mesh as the boundary of a solid: an independent word on :func:`is_watertight`."""
    return len(mesh) > 0 and is_solid(_solid(mesh, merge=False))


def is_solid(solid) -> bool:
    import manifold3d

    return solid.status() == manifold3d.Error.NoError and solid.num_tri() > 0


def _remeshed(mesh: TexturedMesh) -> TexturedMesh:
    from recon.core.grid import VoxelGrid
    from recon.ops.voxelize import mesh_distance

    grid = VoxelGrid.around([mesh.to("cpu")], _REMESH)
    return grid.surface(mesh_distance(mesh.to("cpu"), grid).float()).to(mesh.device)


def _solid(mesh: TexturedMesh, merge: bool = True):
    import manifold3d

    vertices = mesh.vertices.detach().cpu().numpy().astype(np.float32)
    raw = manifold3d.Mesh(vertices, mesh.faces.cpu().numpy().astype(np.uint32))
    if merge:
        raw.merge()
    return manifold3d.Manifold(raw)


def _from_solid(solid) -> TexturedMesh:
    raw = solid.to_mesh()
    faces = np.asarray(raw.tri_verts).astype(np.int64)
    # Vertices that carry several properties come back doubled; the merge vectors say which are one.
    index = np.arange(len(raw.vert_properties))
    index[np.asarray(raw.merge_from_vert, dtype=np.int64)] = np.asarray(raw.merge_to_vert, dtype=np.int64)
    return drop_unused_vertices(TexturedMesh.from_arrays(np.asarray(raw.vert_properties)[:, :3], index[faces]))
