"""What each pixel sees: the nearest triangle and where on it, from a ray caster (CPU) or a rasteriser (CUDA)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.ops.windows import greatest_around


@dataclass(frozen=True)
class Visibility:
    """First hits through the pixel centres of ``v`` cameras."""

    face: Int[Tensor, "v h w"]
    """Index of the triangle, -1 where there is none."""
    bary: Float[Tensor, "v h w 3"]
    """Barycentric coordinates on the triangle (perspective-correct), zero where there is none."""
    depth: Float[Tensor, "v h w"]
    """z-depth in world units, zero where there is none."""


@dataclass(frozen=True)
class Hits:
    """The pixels that see a surface, in the order of the pictures, and which place on it."""

    pixel: Int[Tensor, "p"]
    """Counted through all pictures."""
    face: Int[Tensor, "p"]
    second: Float[Tensor, "p"]
    third: Float[Tensor, "p"]
    """Barycentric coordinates of the triangle's second and third corner."""

    @staticmethod
    def none(device: torch.device | str = "cpu") -> "Hits":
        index, share = torch.zeros(0, dtype=torch.long, device=device), torch.zeros(0, device=device)
        return Hits(index, index, share, share)

    @staticmethod
    def cat(parts: Sequence[tuple[int, "Hits"]], cameras: Cameras) -> "Hits":
        """Those of ranges of pictures by ``cameras``, each with the number of its first picture."""
        if len(parts) < 2:
            return parts[0][1] if parts else Hits.none()
        size = cameras.width * cameras.height
        moved = [replace(hits, pixel=hits.pixel + first * size) for first, hits in parts]
        return Hits(*(torch.cat([getattr(hits, f.name) for hits in moved]) for f in fields(Hits)))

    def on(self, planes: Float[Tensor, "3 f c"]) -> Float[Tensor, "p c"]:
        """Values at the hits, of :func:`planes`."""
        first, to_second, to_third = planes
        values = first.index_select(0, self.face)
        values.addcmul_(to_second.index_select(0, self.face), self.second[:, None])
        return values.addcmul_(to_third.index_select(0, self.face), self.third[:, None])

    def from_cameras(
        self, positions: Float[Tensor, "p 3"], cameras: Cameras
    ) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 1"]]:
        """The ways from the cameras to the hits, which are at ``positions`` in the world, and their z-depths."""
        eye, forward = cameras.position, cameras.c2w[:, :3, 2]
        if len(cameras) != 1:
            view = self.pixel // (cameras.width * cameras.height)
            eye, forward = eye[view], forward[view]
        ways = positions - eye
        return ways, (ways * forward).sum(-1, keepdim=True)


def planes(corners: Float[Tensor, "f 3 c"]) -> Float[Tensor, "3 f c"]:
    """Values at the triangles' first corners, and what they differ by at the second and third."""
    first, second, third = corners.unbind(1)
    return torch.stack([first, second - first, third - first])


def first_hits(mesh: TexturedMesh, cameras: Cameras) -> Hits:
    """Of ``cameras`` [v] on ``mesh``; on the mesh's device."""
    if len(mesh) == 0:
        return Hits.none(mesh.device)
    if mesh.device.type == "cuda":
        from recon.rendering.rasterize import nearest_faces

        return locate(mesh, cameras, nearest_faces(mesh, cameras))
    from recon.rendering import raycast

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
    """Where the rays through the pixel centres meet the planes of triangles (Moeller and Trumbore 1997); -1 is none.

    Not how far along the ray: that runs away on triangles seen edge-on, a point of the triangle does not.
    """
    h, w = face.shape[1:]
    pixel = (face.flatten() >= 0).nonzero()[:, 0]
    view, face = pixel // (h * w), face.flatten()[pixel]
    a, b, c = (mesh.vertices[corner] for corner in mesh.faces[face].unbind(-1))
    edge1, edge2, from_a = b - a, c - a, cameras.position[view] - a
    directions = cameras.rays()[1].reshape(-1, 3)[pixel]
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
    """Which ``points`` on or near ``mesh`` each camera sees: at most ``tolerance`` behind its first surface."""
    fine = cameras.resized(cameras.width * supersample, cameras.height * supersample)
    depth_maps = visibility(mesh, fine).depth
    pixels, depth = fine.project(points[None])
    # The deepest first surface of the pixel and its neighbours: depth changes within a pixel where it is slanted.
    return reached(greatest_around(depth_maps), pixels, depth, tolerance)


def reached(
    maps: Float[Tensor, "v h w"],
    pixels: Float[Tensor, "v p 2"],
    depth: Float[Tensor, "v p"],
    slack: float | Float[Tensor, "v p"] = 0.0,
) -> Bool[Tensor, "v p"]:
    """Which points, projected to ``pixels`` and ``depth``, lie in the picture, at most ``slack`` behind ``maps``."""
    height, width = maps.shape[1:]
    column, row = pixels.floor().long().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (depth > 0)
    cell = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    return inside & (depth <= maps.flatten(1).gather(1, cell) + slack)
