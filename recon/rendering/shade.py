"""From first hits to the channels of a picture, in pure torch on any device."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.cameras import Cameras
from recon.mesh import TexturedMesh
from recon.rendering.visibility import Visibility, locate, visibility

_GREY = 0.7  # meshes without colour


@dataclass(frozen=True)
class SurfacePoints:
    """The surface at the pixels that see it, in the order of the pictures ``v h w``."""

    pixel: Int[Tensor, "p"]
    """Counted through all pictures."""
    position: Float[Tensor, "p 3"]
    normal: Float[Tensor, "p 3"]
    albedo: Float[Tensor, "p 3"]
    depth: Float[Tensor, "p 1"]
    shape: tuple[int, int, int]
    """Pictures, rows, columns."""

    @property
    def picture(self) -> Int[Tensor, "p"]:
        return self.pixel // (self.shape[1] * self.shape[2])

    def pictures(self, own: slice) -> "SurfacePoints":
        """Those of a range of pictures, counted from its first."""
        v, h, w = self.shape
        first, last, _ = own.indices(v)
        bounds = torch.tensor([first, last], device=self.pixel.device) * h * w
        start, end = torch.searchsorted(self.pixel, bounds).tolist()
        kept = {name: getattr(self, name)[start:end] for name in ("pixel", "position", "normal", "albedo", "depth")}
        return SurfacePoints(**(kept | {"pixel": kept["pixel"] - first * h * w}), shape=(last - first, h, w))


def surface_points(mesh: TexturedMesh, cameras: Cameras, smooth_angle: float = 40.0) -> SurfacePoints:
    """Interpolated position, normal and colour at every first hit."""
    # One gather for all that lives on corners.
    corners = torch.cat([mesh.triangles, corner_normals(mesh, smooth_angle), _corner_colors(mesh)], -1)
    shape = (len(cameras), cameras.height, cameras.width)
    if mesh.device.type == "cuda" or len(mesh) == 0:
        return _points(mesh, cameras, visibility(mesh, cameras), corners, shape)
    from recon.rendering.raycast import nearest_faces, scene

    # One picture at a time: all that is worked on then stays in the processor's cache.
    casting, parts = scene(mesh), []
    for index in range(len(cameras)):
        camera = cameras[index : index + 1]
        seen = locate(mesh, camera, nearest_faces(mesh, camera, casting))
        parts.append(_points(mesh, camera, seen, corners, shape))
        parts[-1] = replace(parts[-1], pixel=parts[-1].pixel + index * shape[1] * shape[2])
    names = ("pixel", "position", "normal", "albedo", "depth")
    return SurfacePoints(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names}, shape=shape)


def _points(
    mesh: TexturedMesh,
    cameras: Cameras,
    seen: Visibility,
    corners: Float[Tensor, "f 3 c"],
    shape: tuple[int, int, int],
) -> SurfacePoints:
    pixel = (seen.face.flatten() >= 0).nonzero()[:, 0]  # the background is about half of a picture
    face, bary = seen.face.flatten()[pixel], seen.bary.reshape(-1, 3)[pixel]
    values = sum(corners[:, i].index_select(0, face) * bary[:, i : i + 1] for i in range(3))
    position, normal, albedo = values.split([3, 3, values.shape[-1] - 6], -1)
    if mesh.uv is not None and mesh.texture is not None:
        albedo = sample_texture(mesh.texture, albedo)
    normal = torch.nn.functional.normalize(normal, dim=-1)
    eye = cameras.position[pixel // (shape[1] * shape[2])]
    away = ((eye - position) * normal).sum(-1, keepdim=True) < 0
    normal = torch.where(away, -normal, normal)
    return SurfacePoints(pixel, position, normal, albedo, seen.depth.reshape(-1, 1)[pixel], shape)


def average(values: Float[Tensor, "p c"], points: SurfacePoints, supersample: int) -> Float[Tensor, "v c+1 h w"]:
    """Pictures of the ``values`` of points, ``supersample`` times smaller, and last their alpha.

    A box filter: values are means over the covered samples of a pixel, alpha is the share of samples that are.
    """
    v, h, w = points.shape
    rows, columns = h // supersample, w // supersample
    row, column = points.pixel // w, points.pixel % w  # rows go on through all pictures, whose height is a multiple
    pixel = (row // supersample) * columns + column // supersample
    values = torch.cat([values, torch.ones_like(values[:, :1])], -1)
    total = values.new_zeros(v * rows * columns, values.shape[-1])
    if values.is_cuda:  # where index_add_ would add in any order
        total.index_put_((pixel,), values, accumulate=True)
    else:
        total.index_add_(0, pixel, values)
    total = total.reshape(v, rows, columns, values.shape[-1]).permute(0, 3, 1, 2)
    count = total[:, -1:]
    return torch.cat([total[:, :-1] / count.clamp_min(1e-6), count / supersample**2], 1)


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
