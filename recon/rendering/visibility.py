"""What each pixel sees: the nearest triangle and where on it, from a ray caster (CPU) or a rasteriser (CUDA)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.cameras import Cameras
from recon.mesh import TexturedMesh


@dataclass(frozen=True)
class Visibility:
    """First hits through the pixel centres of ``v`` cameras."""

    face: Int[Tensor, "v h w"]
    """Index of the triangle, -1 where there is none."""
    bary: Float[Tensor, "v h w 3"]
    """Barycentric coordinates on the triangle (perspective-correct), zero where there is none."""
    depth: Float[Tensor, "v h w"]
    """z-depth in world units, zero where there is none."""


def visibility(mesh: TexturedMesh, cameras: Cameras) -> Visibility:
    """First hits of ``cameras`` [v] on ``mesh``; on the mesh's device."""
    if mesh.device.type == "cuda":
        from recon.rendering.rasterize import nearest_faces
    else:
        from recon.rendering.raycast import nearest_faces
    if len(mesh) == 0:
        empty = torch.zeros(len(cameras), cameras.height, cameras.width, device=mesh.device)
        return Visibility(empty.long() - 1, empty[..., None].expand(-1, -1, -1, 3), empty)
    face = nearest_faces(mesh, cameras)
    return locate(mesh, cameras, face)


def locate(mesh: TexturedMesh, cameras: Cameras, face: Int[Tensor, "v h w"]) -> Visibility:
    """Where the rays through the pixel centres meet their triangles' planes (Moeller and Trumbore 1997)."""
    hit = face >= 0
    v, h, w = face.shape
    a, b, c = mesh.triangles[face.clamp_min(0)].unbind(-2)  # each [v h w 3]
    edge1, edge2 = b - a, c - a
    origins, directions = cameras.rays()
    origins, directions = origins.reshape(v, h, w, 3), directions.reshape(v, h, w, 3)
    normal = torch.linalg.cross(directions, edge2)
    determinant = (edge1 * normal).sum(-1)
    scale = torch.where(determinant.abs() < 1e-20, 0.0, 1 / determinant)
    from_a = origins - a
    u = ((from_a * normal).sum(-1) * scale).clamp(0, 1)
    side = torch.linalg.cross(from_a, edge1)
    t = ((directions * side).sum(-1) * scale).clamp(0, 1).minimum(1 - u)
    distance = (edge2 * side).sum(-1) * scale
    depth = distance * (directions * cameras.c2w[:, None, None, :3, 2]).sum(-1)
    bary = torch.stack([1 - u - t, u, t], -1)
    return Visibility(face, bary * hit[..., None], depth * hit)
