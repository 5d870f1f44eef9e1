"""A surface as points: colored point clouds, and Gaussians for splat viewers and as a start of splat training."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.splats import Splats
from recon.io.meshes.ply import write_ply
from recon.io.splats.ply import SplatAxes, columns, save_splat_ply
from recon.rendering.shade import sample_texture

_GRAY = 0.7  # sRGB of meshes without color
_OPACITY = 0.98
#: A disc's standard deviation as a share of the points' spacing: neighbors overlap to a closed surface.
_SPREAD = 0.75
#: A disc's thickness as a share of its width.
_THIN = 0.05


@dataclass(frozen=True)
class PointSamples:
    """Points spread evenly by area, with what the surface is there."""

    position: Float[Tensor, "p 3"]
    normal: Float[Tensor, "p 3"]
    color: Float[Tensor, "p 3"]
    """sRGB."""
    spacing: float
    """Root of the area for each point."""

    @staticmethod
    def of(mesh: TexturedMesh, count: int, seed: int = 0) -> "PointSamples":
        if not len(mesh):
            raise InputError("A mesh without faces has no points on it.")
        mesh = mesh.to("cpu")
        a, b, c = mesh.triangles.unbind(1)
        area = torch.linalg.cross(b - a, c - a).norm(dim=-1).double() / 2
        generator = torch.Generator().manual_seed(seed)
        # One point in each of ``count`` equal shares of the area: more even than independent draws.
        where = (torch.arange(count) + torch.rand(count, generator=generator, dtype=torch.float64)) / count
        face = torch.searchsorted(area.cumsum(0) / area.sum(), where).clamp_max(len(mesh) - 1)
        root, along = torch.rand(2, count, 1, generator=generator).unbind(0)
        root = root.sqrt()
        bary = torch.cat([1 - root, root * (1 - along), root * along], 1)

        def at(corners: Float[Tensor, "p 3 c"]) -> Float[Tensor, "p c"]:
            return (corners * bary[..., None]).sum(1)

        if mesh.uv is not None and mesh.texture is not None:
            color = sample_texture(mesh.texture, at(mesh.uv[face]))
        elif mesh.colors is not None:
            color = at(mesh.colors[mesh.faces[face]])
        else:
            color = torch.full((count, 3), _GRAY)
        normal = torch.nn.functional.normalize(at(mesh.vertex_normals()[mesh.faces[face]]), dim=-1)
        return PointSamples(at(mesh.triangles[face]), normal, color, math.sqrt(float(area.sum()) / count))


def save_points(mesh: TexturedMesh, path: str | os.PathLike, count: int = 100_000) -> Path:
    """A PLY of ``count`` points with normals and sRGB colors."""
    points = PointSamples.of(mesh, count)
    color = (points.color.clamp(0, 1) * 255).round().byte().numpy()
    table = columns("xyz", points.position) | columns(("nx", "ny", "nz"), points.normal)
    return write_ply(path, table | {name: color[:, i] for i, name in enumerate(("red", "green", "blue"))})


def splats_on(mesh: TexturedMesh, count: int) -> Splats:
    """``count`` flat discs that lie on the surface."""
    points = PointSamples.of(mesh, count)
    scale = torch.tensor([1.0, 1.0, _THIN]).expand(count, 3) * (_SPREAD * points.spacing)
    return Splats(points.position, scale, turn_to(points.normal), torch.full((count,), _OPACITY), points.color)


def save_splats(
    mesh: TexturedMesh,
    path: str | os.PathLike,
    count: int = 100_000,
    axes: SplatAxes = "gltf",
    *,
    sh_degree: int = 3,
) -> Path:
    """A PLY of ``count`` 3D Gaussians on the surface, in the mesh's own +Y-up world unless ``axes`` says otherwise.

    Spherical harmonics above the constant are zero up to ``sh_degree``: the reference trainer insists on degree 3.
    """
    return save_splat_ply(splats_on(mesh, count), path, axes, sh_degree=sh_degree)


def turn_to(normal: Float[Tensor, "p 3"]) -> Float[Tensor, "p 4"]:
    """Unit quaternions w, x, y, z of the shortest turns that carry +Z to ``normal``."""
    x, y, z = normal.unbind(-1)
    quaternion = torch.stack([1 + z, -y, x, torch.zeros_like(x)], -1)
    # Straight down, every axis across is as short; a disc does not mind which.
    half_turn = torch.tensor([0.0, 1.0, 0.0, 0.0]).expand_as(quaternion)
    quaternion = torch.where((z < -1 + 1e-6)[:, None], half_turn, quaternion)
    return torch.nn.functional.normalize(quaternion, dim=-1)
