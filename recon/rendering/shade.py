"""From first hits to the channels of a picture, in pure torch on any device."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from recon.cameras import Cameras
from recon.mesh import TexturedMesh
from recon.rendering.visibility import Visibility

_GREY = 0.7  # meshes without colour


@dataclass(frozen=True)
class SurfaceSamples:
    """The surface at each pixel; everything is zero where there is none."""

    position: Float[Tensor, "v h w 3"]
    normal: Float[Tensor, "v h w 3"]
    """Unit, world axes, turned towards the camera."""
    albedo: Float[Tensor, "v h w 3"]
    """sRGB."""
    depth: Float[Tensor, "v h w 1"]
    alpha: Float[Tensor, "v h w 1"]


def surface(mesh: TexturedMesh, cameras: Cameras, seen: Visibility, smooth_angle: float = 40.0) -> SurfaceSamples:
    """Interpolated position, normal and colour at every first hit."""
    v, h, w = seen.face.shape
    pixel = (seen.face.flatten() >= 0).nonzero()[:, 0]  # the background is about half of a picture
    face, bary = seen.face.flatten()[pixel], seen.bary.reshape(-1, 3)[pixel]
    # One gather for all that lives on corners.
    corners = torch.cat([mesh.triangles, corner_normals(mesh, smooth_angle), _corner_colors(mesh)], -1)
    values = sum(corners[:, i].index_select(0, face) * bary[:, i : i + 1] for i in range(3))
    position, normal, albedo = values.split([3, 3, values.shape[-1] - 6], -1)
    if mesh.uv is not None and mesh.texture is not None:
        albedo = sample_texture(mesh.texture, albedo)
    normal = torch.nn.functional.normalize(normal, dim=-1)
    away = ((cameras.position[pixel // (h * w)] - position) * normal).sum(-1, keepdim=True) < 0
    normal = torch.where(away, -normal, normal)
    samples = values.new_zeros(v * h * w, 10)
    samples[pixel] = torch.cat([position, normal, albedo, torch.ones_like(bary[:, :1])], -1)
    position, normal, albedo, alpha = samples.reshape(v, h, w, 10).split([3, 3, 3, 1], -1)
    return SurfaceSamples(position, normal, albedo, seen.depth[..., None], alpha)


def corner_normals(mesh: TexturedMesh, smooth_angle: float) -> Float[Tensor, "f 3 3"]:
    """A vertex's normal where the face is within ``smooth_angle`` degrees of it, else the face's own: keeps creases."""
    face = mesh.face_normals()[:, None]
    vertex = mesh.vertex_normals()[mesh.faces]
    smooth = (face * vertex).sum(-1, keepdim=True) > math.cos(math.radians(smooth_angle))
    return torch.where(smooth, vertex, face.expand_as(vertex))


def _corner_colors(mesh: TexturedMesh) -> Float[Tensor, "f 3 c"]:
    """Colours at corners, or texture coordinates where there is a texture."""
    if mesh.uv is not None and mesh.texture is not None:
        return mesh.uv
    if mesh.colors is not None:
        return mesh.colors[mesh.faces]
    return torch.full_like(mesh.triangles, _GREY)


def sample_texture(texture: Float[Tensor, "3 th tw"], uv: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3"]:
    """Bilinear, repeating, (0, 0) at the upper left corner as in glTF."""
    height, width = texture.shape[-2:]
    x, y = uv[..., 0] * width - 0.5, uv[..., 1] * height - 0.5
    left, top = x.floor(), y.floor()
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    left, top = left.long() % width, top.long() % height
    right, bottom = (left + 1) % width, (top + 1) % height
    texels = texture.permute(1, 2, 0)
    upper = texels[top, left] * (1 - fx) + texels[top, right] * fx
    lower = texels[bottom, left] * (1 - fx) + texels[bottom, right] * fx
    return upper * (1 - fy) + lower * fy
