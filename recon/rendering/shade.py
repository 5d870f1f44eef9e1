"""From first hits to the channels of a picture, in pure torch on any device."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.rendering import raycast
from recon.rendering.hits import Hits, planes
from recon.rendering.visibility import first_hits

_GRAY = 0.7  # meshes without color


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


class Surface:
    """A mesh as pictures see it: position, normal and color at every first hit."""

    def __init__(self, mesh: TexturedMesh, smooth_angle: float = 40.0) -> None:
        self.mesh = mesh
        # One gather for all that lives on corners.
        corners = [mesh.triangles, corner_normals(mesh, smooth_angle), _corner_colors(mesh)]
        self._planes = planes(torch.cat(corners, -1))
        # Laid out once: pictures from files have their channels last, and every reading would turn them.
        self._texture = None if mesh.uv is None or mesh.texture is None else mesh.texture.contiguous()

    def parts(self, cameras: Cameras) -> Iterator[tuple[slice, SurfacePoints]]:
        """Ranges of the pictures with what they see.

        On a processor few pixels at a time: all that is worked on then stays in its cache.
        """
        v = len(cameras)
        if self.mesh.device.type == "cuda" or len(self.mesh) == 0:
            yield slice(0, v), self._points(cameras, first_hits(self.mesh, cameras))
            return
        for own in raycast.batches(cameras):
            few = cameras[own]
            yield own, self._points(few, raycast.first_hits(self.mesh, few, self._casting))

    def points(self, cameras: Cameras) -> SurfacePoints:
        """Surface points of all images together."""
        size, parts = cameras.height * cameras.width, list(self.parts(cameras))
        columns = {
            name: torch.cat([getattr(points, name) for _, points in parts])
            for name in ("position", "normal", "albedo", "depth")
        }
        pixel = torch.cat([points.pixel + own.start * size for own, points in parts])
        return SurfacePoints(pixel, **columns, shape=(len(cameras), cameras.height, cameras.width))

    @cached_property
    def _casting(self):
        return raycast.scene(self.mesh)

    def _points(self, cameras: Cameras, hits: Hits) -> SurfacePoints:
        shape = (len(cameras), cameras.height, cameras.width)
        values = hits.on(self._planes)
        position, normal, albedo = values.split([3, 3, values.shape[-1] - 6], -1)
        if self._texture is not None:
            albedo = sample_texture(self._texture, albedo)
        ways, depth = hits.from_cameras(position, cameras)
        facing = -(ways * normal).sum(-1, keepdim=True)  # where it is negative we see the inside
        length = torch.linalg.vector_norm(normal, dim=-1, keepdim=True).clamp_min(1e-12)
        return SurfacePoints(hits.pixel, position, normal / torch.copysign(length, facing), albedo, depth, shape)


def covered(
    values: Sequence[Float[Tensor, "p _"]], points: SurfacePoints, supersample: int
) -> tuple[Int[Tensor, "q"], Float[Tensor, "q d"]]:
    """Pixels that see a surface, in pictures ``supersample`` times smaller: mean ``values`` of points, and their alpha.

    Pixels are counted through all pictures. A box filter: values are means over the covered samples of a pixel, alpha
    is the share of samples that are.
    """
    samples = torch.cat([*values, torch.ones_like(points.depth)], -1)
    total = (_laid_out if samples.is_cuda else _added)(samples, points, supersample)
    pixel = total[:, -1].nonzero()[:, 0]
    total = total.index_select(0, pixel)
    return pixel, torch.cat([total[:, :-1] / total[:, -1:], total[:, -1:] / supersample**2], -1)


def _added(samples: Float[Tensor, "p d"], points: SurfacePoints, supersample: int) -> Float[Tensor, "s d"]:
    """Sums over the pixels of the smaller pictures, sample by sample."""
    (v, h, w), pixel = points.shape, points.pixel
    if v == 1:
        pixel = _pixel_of_sample(h, w, supersample).to(pixel.device).index_select(0, pixel)
    else:  # rows go on through all pictures, whose height is a multiple
        pixel = pixel // w // supersample * (w // supersample) + pixel % w // supersample
    return samples.new_zeros(v * h * w // supersample**2, samples.shape[-1]).index_add_(0, pixel, samples)


def _laid_out(samples: Float[Tensor, "p d"], points: SurfacePoints, supersample: int) -> Float[Tensor, "s d"]:
    """The same by way of whole pictures: on a GPU, where adding sample by sample takes any order, or a sort."""
    v, h, w = points.shape
    every = samples.new_zeros(v * h * w, samples.shape[-1]).index_copy_(0, points.pixel, samples)
    blocks = every.reshape(v, h // supersample, supersample, w // supersample, supersample, -1)
    return blocks.sum((2, 4)).flatten(0, 2)


@cache
def _pixel_of_sample(height: int, width: int, supersample: int) -> Int[Tensor, "s"]:
    row, column = torch.arange(height) // supersample, torch.arange(width) // supersample
    return (row[:, None] * (width // supersample) + column).flatten()


def as_pictures(
    pixel: Int[Tensor, "q"], values: Shaped[Tensor, "q c"], shape: tuple[int, int, int]
) -> Shaped[Tensor, "v c h w"]:
    """Pictures of what :func:`covered` gives, zero elsewhere; ``shape``: pictures, rows, columns."""
    v, h, w = shape
    pictures = values.new_zeros(v * h * w, values.shape[-1])
    pictures[pixel] = values
    return pictures.reshape(v, h, w, values.shape[-1]).permute(0, 3, 1, 2)


def average(
    values: Sequence[Float[Tensor, "p _"]], points: SurfacePoints, supersample: int
) -> Float[Tensor, "v d h w"]:
    """:func:`covered` as pictures."""
    v, h, w = points.shape
    return as_pictures(*covered(values, points, supersample), (v, h // supersample, w // supersample))


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
    return torch.full_like(mesh.triangles, _GRAY)


def sample_texture(texture: Float[Tensor, "3 th tw"], uv: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3"]:
    """Bilinear, repeating, (0, 0) at the upper left corner as in glTF."""
    height, width = texture.shape[-2:]
    x, y = uv[..., 0] * width - 0.5, uv[..., 1] * height - 0.5
    left, top = x.floor(), y.floor()
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    left, top = left.long() % width, top.long() % height
    right, bottom = (left + 1) % width, (top + 1) % height
    texels = texture.flatten(1)

    def at(row: Int[Tensor, "*batch"], column: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch 3"]:
        # One index for a place, channel by channel: three times as fast as rows and columns into [th tw 3].
        return texels.index_select(1, (row * width + column).flatten()).T.unflatten(0, row.shape)

    upper = at(top, left) * (1 - fx) + at(top, right) * fx
    lower = at(bottom, left) * (1 - fx) + at(bottom, right) * fx
    return upper * (1 - fy) + lower * fy
