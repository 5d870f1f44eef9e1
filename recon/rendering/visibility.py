"""Visibility: the nearest triangle of each pixel, by ray casting (CPU) or rasterization (CUDA)."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.ops.windows import max_pool_window
from recon.rendering import raycast
from recon.rendering.hits import Hits, planes


@dataclass(frozen=True)
class Visibility:
    """First hits through the pixel centers of ``v`` cameras."""

    face: Int[Tensor, "v h w"]
    """Index of the triangle, -1 where there is none."""
    bary: Float[Tensor, "v h w 3"]
    """Barycentric coordinates on the triangle (perspective-correct), zero where there is none."""
    depth: Float[Tensor, "v h w"]
    """z-depth in world units, zero where there is none."""


def first_hits(mesh: TexturedMesh, cameras: Cameras) -> Hits:
    """First hits of the rays through all pixel centers of ``cameras`` [v]; on the mesh's device."""
    if len(mesh) == 0:
        return Hits.none(mesh.device)
    if mesh.device.type == "cuda":
        from recon.rendering.rasterize import crosses, nearest_faces

        if crosses(mesh, cameras):
            return raycast.first_hits(mesh, cameras).to(mesh.device)
        return locate(mesh, cameras, nearest_faces(mesh, cameras))
    return raycast.first_hits(mesh, cameras)


def visibility(mesh: TexturedMesh, cameras: Cameras) -> Visibility:
    """First hits of ``cameras`` [v] on ``mesh``; on the mesh's device."""
    hits, shape = first_hits(mesh, cameras), (len(cameras), cameras.height, cameras.width)
    depth = hits.from_cameras(hits.on(planes(mesh.triangles)), cameras)[1][:, 0]
    face = torch.full((math.prod(shape),), -1, dtype=torch.long, device=mesh.device)
    found = depth.new_zeros(math.prod(shape), 4)
    face[hits.pixel] = hits.face
    found[hits.pixel] = torch.stack([1 - hits.second - hits.third, hits.second, hits.third, depth], -1)
    found = found.reshape(*shape, 4)
    return Visibility(face.reshape(shape), found[..., :3], found[..., 3])


def locate(mesh: TexturedMesh, cameras: Cameras, face: Int[Tensor, "v h w"]) -> Hits:
    """Barycentric intersection of pixel-center rays with triangle planes (Moeller and Trumbore 1997); index -1 is none.

    Not how far along the ray: that runs away on triangles seen edge-on, a point of the triangle does not.
    """
    h, w = face.shape[1:]
    pixel = (face.flatten() >= 0).nonzero()[:, 0]
    view, face = pixel // (h * w), face.flatten()[pixel]
    a, b, c = (mesh.vertices[corner] for corner in mesh.faces[face].unbind(-1))
    origins, directions = (rays[view, pixel % (h * w)] for rays in cameras.rays())
    edge1, edge2, from_a = b - a, c - a, origins - a
    normal = torch.linalg.cross(directions, edge2)
    determinant = (edge1 * normal).sum(-1)
    scale = torch.where(determinant.abs() < 1e-20, 0.0, 1 / determinant)
    side = torch.linalg.cross(from_a, edge1)
    s = ((from_a * normal).sum(-1) * scale).clamp(0, 1)
    t = ((directions * side).sum(-1) * scale).clamp(0, 1).minimum(1 - s)
    return Hits(pixel, face, s, t)


def sees(
    mesh: TexturedMesh, cameras: Cameras, points: Float[Tensor, "p 3"], tolerance: float, supersample: int = 1
) -> Bool[Tensor, "v p"]:
    """Mask of ``points`` on or near ``mesh`` that each camera sees, at most ``tolerance`` behind its first surface."""
    fine = cameras.resized(cameras.width * supersample, cameras.height * supersample)
    depth_maps = visibility(mesh, fine).depth
    pixels, depth = fine.project(points[None])
    # The deepest first surface of the pixel and its neighbors: depth changes within a pixel where it is slanted.
    return unoccluded(max_pool_window(depth_maps), pixels, depth, tolerance)


def unoccluded(
    maps: Float[Tensor, "v h w"],
    pixels: Float[Tensor, "v p 2"],
    depth: Float[Tensor, "v p"],
    slack: float | Float[Tensor, "v p"] = 0.0,
) -> Bool[Tensor, "v p"]:
    """Mask of projected points (``pixels``, ``depth``) inside the image and at most ``slack`` behind ``maps``."""
    height, width = maps.shape[1:]
    column, row = pixels.floor().long().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (depth > 0)
    cell = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    return inside & (depth <= maps.flatten(1).gather(1, cell) + slack)
