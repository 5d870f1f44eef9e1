"""What each pixel sees: the nearest triangle and where on it, from a ray caster (CPU) or a rasteriser (CUDA)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
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
    v, h, w = face.shape
    pixel = (face.flatten() >= 0).nonzero()[:, 0]  # the background is about half of a picture
    view = pixel // (h * w)
    a, b, c = (mesh.vertices[corner] for corner in mesh.faces[face.flatten()[pixel]].unbind(-1))
    edge1, edge2, from_a = b - a, c - a, cameras.position[view] - a
    directions = _directions(cameras, pixel)
    normal = torch.linalg.cross(directions, edge2)
    determinant = (edge1 * normal).sum(-1)
    scale = torch.where(determinant.abs() < 1e-20, 0.0, 1 / determinant)
    side = torch.linalg.cross(from_a, edge1)
    s = ((from_a * normal).sum(-1) * scale).clamp(0, 1)
    t = ((directions * side).sum(-1) * scale).clamp(0, 1).minimum(1 - s)
    # Not the distance along the ray: that runs away on triangles seen edge-on, a point of the triangle does not.
    from_camera = s[:, None] * edge1 + t[:, None] * edge2 - from_a
    depth = (from_camera * cameras.c2w[view, :3, 2]).sum(-1)
    found = depth.new_zeros(v * h * w, 4)
    found[pixel] = torch.stack([1 - s - t, s, t, depth], -1)
    found = found.reshape(v, h, w, 4)
    return Visibility(face, found[..., :3], found[..., 3])


def _directions(cameras: Cameras, pixel: Int[Tensor, "p"]) -> Float[Tensor, "p 3"]:
    """Of the rays through the centres of ``pixel``, counted through all pictures."""
    if len(cameras) > 1:
        return cameras.rays()[1].reshape(-1, 3)[pixel]
    centres = torch.stack([pixel % cameras.width, pixel // cameras.width], -1).to(cameras.c2w.dtype) + 0.5
    return cameras.rays(centres[None])[1][0]


def sees(
    mesh: TexturedMesh, cameras: Cameras, points: Float[Tensor, "p 3"], tolerance: float, supersample: int = 1
) -> Bool[Tensor, "v p"]:
    """Which ``points`` on or near ``mesh`` each camera sees: at most ``tolerance`` behind its first surface."""
    fine = cameras.resized(cameras.width * supersample, cameras.height * supersample)
    depth_maps = visibility(mesh, fine).depth
    pixels, depth = fine.project(points[None])
    column, row = pixels.floor().long().unbind(-1)
    inside = (column >= 0) & (column < fine.width) & (row >= 0) & (row < fine.height) & (depth > 0)
    cell = row.clamp(0, fine.height - 1) * fine.width + column.clamp(0, fine.width - 1)
    # The deepest first surface of the pixel and its neighbours: depth changes within a pixel where it is slanted.
    first = torch.nn.functional.max_pool2d(depth_maps[:, None], 3, stride=1, padding=1).flatten(1)
    return inside & (depth <= first.gather(1, cell) + tolerance)
