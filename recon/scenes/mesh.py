"""Surfaces of a scene: open where nothing was observed, light enough to draw, and a coarse copy to collide with."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.scenes.field import SceneField
from recon.scenes.grid import SceneGrid
from recon.surface.cleanup import drop_unused_vertices, part_of_face
from recon.surface.decimate import simplify_quadric


@dataclass(frozen=True)
class SceneMeshConfig:
    """Size and cleaning of a scene's mesh."""

    faces: int = 150_000
    """Largest number of triangles of the mesh."""
    collider_faces: int = 20_000
    """Largest number of triangles of the collision mesh."""
    least_area: float = 30.0
    """Area in cell faces below which a loose part is dropped as a flying fragment."""


def scene_mesh(field: SceneField, config: SceneMeshConfig | None = None) -> TexturedMesh:
    """The surface of one hypothesis, between observed cells only: an open border is the border of what is known.

    Args:
        field: A field of one hypothesis.
        config: Triangle budget and cleaning.

    Returns:
        Triangles whose front sides face the free space; none where nothing was observed.
    """
    config = config or SceneMeshConfig()
    mesh = observed_surface(*backed(field.distance[0], field.weight[0] > 0, field.grid.cell), field.grid)
    mesh = without_fragments(mesh, config.least_area * field.grid.cell**2)
    return decimate_open(mesh, config.faces)


def collider(mesh: TexturedMesh, config: SceneMeshConfig | None = None) -> TexturedMesh:
    """A coarse copy of a scene's mesh to collide with, without colors."""
    bare = TexturedMesh(mesh.vertices, mesh.faces)
    return decimate_open(bare, (config or SceneMeshConfig()).collider_faces)


def backed(
    distance: Float[Tensor, "x y z"], observed: Bool[Tensor, "x y z"], cell: float
) -> tuple[Float[Tensor, "x y z"], Bool[Tensor, "x y z"]]:
    """Distances and observed cells with up to two layers more around what is measured to lie just behind a surface.

    Views measure only a little way behind a surface; where they disagree by a cell, that way ends unevenly and marching
    cubes would leave holes.
    """
    # Just behind: from further in, the sides of doors and windows would grow with every layer.
    behind = (observed & (distance < 0) & (distance > -cell)).float()[None, None]
    added = (torch.nn.functional.max_pool3d(behind, 5, 1, 2)[0, 0] > 0) & ~observed
    return torch.where(added, -cell, distance), observed | added


def observed_surface(
    distance: Float[Tensor, "x y z"], observed: Bool[Tensor, "x y z"], grid: SceneGrid
) -> TexturedMesh:
    """Zero level by marching cubes (Lorensen and Cline 1987) over the cubes whose eight corners are observed."""
    from skimage.measure import marching_cubes

    nothing = TexturedMesh(distance.new_zeros(0, 3), torch.zeros(0, 3, dtype=torch.long, device=distance.device))
    if min(grid.shape) < 2:
        return nothing
    # A level exactly at a cell's center would make triangles without area.
    least = 1e-3 * grid.cell
    values = torch.where(distance.abs() < least, least, distance)
    whole = _all_corners(observed)
    crossed = _all_corners(values > 0) | _all_corners(values <= 0)
    cubes = whole & ~crossed
    if not bool(cubes.any()):
        return nothing
    mask = torch.nn.functional.pad(cubes, (1, 0, 1, 0, 1, 0))  # a cube is asked for at its last corner
    vertices, faces, _, _ = marching_cubes(
        values.cpu().numpy(), 0.0, mask=mask.cpu().numpy(), gradient_direction="descent"
    )
    world = (torch.as_tensor(vertices.copy()).to(grid.origin) + 0.5) * grid.cell + grid.origin
    return TexturedMesh(world, torch.as_tensor(faces.copy()).long().to(world.device))


def _all_corners(mask: Bool[Tensor, "x y z"]) -> Bool[Tensor, "a b c"]:
    """Cubes between cell centers all of whose eight corners are marked."""
    for axis in range(3):
        length = mask.shape[axis] - 1
        mask = mask.narrow(axis, 0, length) & mask.narrow(axis, 1, length)
    return mask


def without_fragments(mesh: TexturedMesh, least_area: float) -> TexturedMesh:
    """The mesh without connected parts of less than ``least_area``."""
    if len(mesh) == 0:
        return mesh
    part = part_of_face(mesh)
    a, b, c = mesh.triangles.unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=-1).cpu() / 2
    total = torch.zeros(int(part.max()) + 1).index_add_(0, part, area)
    keep = (total >= min(least_area, float(total.max())))[part]
    return drop_unused_vertices(replace(mesh, faces=mesh.faces[keep.to(mesh.device)]))


def decimate_open(mesh: TexturedMesh, faces: int) -> TexturedMesh:
    """At most about ``faces`` triangles by quadric error; open borders stay where they are."""
    if len(mesh) <= faces:
        return mesh
    fewer, triangles = simplify_quadric(mesh.vertices.cpu().numpy(), mesh.faces.cpu().numpy(), faces, 5.0)
    corners = fewer[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1)
    return drop_unused_vertices(TexturedMesh.from_arrays(fewer, triangles[area > 0])).to(mesh.device)


def split_long_edges(
    mesh: TexturedMesh, limit: Float[Tensor, "k"], rounds: int = 6
) -> tuple[TexturedMesh, Int[Tensor, "f"]]:
    """Split edges longer than the smaller ``limit`` of their two ends, without cracks.

    Args:
        mesh: Triangles without texture.
        limit: Longest edge at each vertex; midpoints take the mean of their ends.
        rounds: Largest number of halvings.

    Returns:
        The finer mesh, and for each of its faces the face of ``mesh`` that it lies in.
    """
    vertices, faces = mesh.vertices, mesh.faces.long()
    source = torch.arange(len(faces), device=faces.device)
    for _ in range(rounds):
        low, high = torch.minimum(faces, faces.roll(-1, 1)), torch.maximum(faces, faces.roll(-1, 1))
        keys, number = torch.unique((low * len(vertices) + high).flatten(), return_inverse=True)
        edges = torch.stack([keys // len(vertices), keys % len(vertices)], -1)  # the edge after each corner
        length = (vertices[edges[:, 0]] - vertices[edges[:, 1]]).norm(dim=-1)
        long = length > limit[edges].amin(-1)
        if not bool(long.any()):
            break
        middle = torch.where(long, long.cumsum(0) - 1 + len(vertices), -1)
        vertices = torch.cat([vertices, vertices[edges[long]].mean(1)])
        limit = torch.cat([limit, limit[edges[long]].mean(1)])
        faces, parent = _split(faces, middle[number].reshape(-1, 3))
        source = source[parent]
    return TexturedMesh(vertices, faces), source


def _split(faces: Int[Tensor, "f 3"], middle: Int[Tensor, "f 3"]) -> tuple[Int[Tensor, "g 3"], Int[Tensor, "g"]]:
    """Triangles cut at the midpoints of their marked edges (-1: unmarked), and the face that each comes from."""
    count = (middle >= 0).sum(1)
    index = torch.arange(len(faces), device=faces.device)
    pieces, parents = [faces[count == 0]], [index[count == 0]]
    for marked in (1, 2, 3):
        own = index[count == marked]
        if not len(own):
            continue
        # Turned so that the first edge is marked, and with two the last one is not.
        hit = middle[own] >= 0
        start = (hit & ~hit.roll(1, 1)).int().argmax(1) if marked < 3 else torch.zeros_like(own)
        turn = (start[:, None] + torch.arange(3, device=faces.device)) % 3
        (a, b, c), (ab, bc, ca) = faces[own].gather(1, turn).unbind(1), middle[own].gather(1, turn).unbind(1)
        cuts = {
            1: [(a, ab, c), (ab, b, c)],
            2: [(a, ab, c), (ab, bc, c), (ab, b, bc)],
            3: [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)],
        }[marked]
        pieces += [torch.stack(corners, 1) for corners in cuts]
        parents += [own] * len(cuts)
    return torch.cat(pieces), torch.cat(parents)
