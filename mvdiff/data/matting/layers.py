"""Layers of a photo of one object that stands on the ground: object, cast shadow, reflection, ground."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mvdiff.data.render.lighting import Light
from mvdiff.data.render.record import to_bytes
from mvdiff.data.warp import SeededRandom
from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.rendering import render_mesh
from recon.rendering.shade import Surface, as_pictures, covered

_LIGHTS = 5


@dataclass(frozen=True)
class PhotoLayers:
    """Layers of r photos, 8 bit."""

    object: UInt8[Tensor, "r 4 h w"]
    """Lit object, straight alpha."""
    shadow: UInt8[Tensor, "r 1 h w"]
    """Share of the light's samples that the object hides from the ground."""
    reflection: UInt8[Tensor, "r 4 h w"]
    """The object mirrored in the ground."""
    ground: Float[Tensor, "r 2 h w"]
    """Coordinates (x, z) on the ground plane, NaN above the horizon."""

    @staticmethod
    def cat(parts: "list[PhotoLayers]") -> "PhotoLayers":
        return PhotoLayers(*(torch.cat(values) for values in zip(*(vars(p).values() for p in parts), strict=True)))

    def __getitem__(self, index: Tensor) -> "PhotoLayers":
        return PhotoLayers(**{name: value[index] for name, value in vars(self).items()})


def photo_layers(mesh: TexturedMesh, seed: int, count: int, size: int) -> PhotoLayers:
    """Photograph ``mesh`` (radius 0.5) from ``count`` directions, on its own device.

    The shadow is cast exactly: the mesh is flattened onto the ground along directions around the lamp's, and the
    coverages are averaged. The object fills a quarter to nearly all of the picture, and may be cut by its edge.
    """
    dice = SeededRandom(seed)
    cameras = _draw_cameras(dice, count, size).to(mesh.device)
    floor = float(mesh.vertices[:, 1].amin())
    shadow = torch.stack([_shadow(mesh, cameras[k : k + 1], floor, dice)[0] for k in range(count)])
    flipped = mesh.vertices * mesh.vertices.new_tensor([1.0, -1.0, 1.0]) + mesh.vertices.new_tensor([0, 2 * floor, 0])
    uv = None if mesh.uv is None else mesh.uv.flip(1)
    mirrored = replace(mesh, vertices=flipped, faces=mesh.faces.flip(1), uv=uv)
    return PhotoLayers(
        _lit(mesh, cameras, dice), to_bytes(shadow), _lit(mirrored, cameras, dice), _ground(cameras, floor)
    )


def _draw_cameras(dice: SeededRandom, count: int, size: int) -> Cameras:
    elevation = torch.where(dice.uniform(0, 1, count) < 0.85, dice.uniform(2, 40, count), dice.uniform(40, 80, count))
    cameras = Cameras.orbit(dice.uniform(0, 360, count), elevation, dice.uniform(1.3, 3.0, count), size=size)
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, :2, :2] *= torch.exp(dice.uniform(-0.1, 0.6, count, 1, 1))
    intrinsics[:, :2, 2] += dice.uniform(-0.12, 0.12, count, 2) * size
    return replace(cameras, intrinsics=intrinsics)


def _lit(mesh: TexturedMesh, cameras: Cameras, dice: SeededRandom) -> UInt8[Tensor, "r 4 h w"]:
    fine = cameras.resized(2 * cameras.width, 2 * cameras.height)
    light, surface, parts = Light.draw(fine, dice), Surface(mesh), []
    for own, points in surface.parts(fine):
        pixel, means = covered([light[own](points, fine[own])], points, 2)
        parts.append(as_pictures(pixel, to_bytes(means), (points.shape[0], cameras.height, cameras.width)))
    return torch.cat(parts)


def _shadow(mesh: TexturedMesh, camera: Cameras, floor: float, dice: SeededRandom) -> Float[Tensor, "1 1 h w"]:
    """Coverage of the ground by the flattened mesh, averaged over the directions of one soft lamp."""
    towards = torch.cat([dice.normal(2), dice.uniform(0.7, 2.5, 1)])
    softness, total = dice.number(0.02, 0.35), 0.0
    for _ in range(_LIGHTS):
        x, z, y = (towards + softness * dice.normal(3) * torch.tensor([1.0, 1.0, 0.0])).tolist()
        height = mesh.vertices[:, 1] - floor
        flat = torch.stack(
            [
                mesh.vertices[:, 0] - height * x / y,
                torch.full_like(height, floor),
                mesh.vertices[:, 2] - height * z / y,
            ],
            -1,
        )
        total = total + render_mesh(replace(mesh, vertices=flat), camera, supersample=1).alpha[0]
    return total / _LIGHTS


def _ground(cameras: Cameras, floor: float) -> Float[Tensor, "r 2 h w"]:
    """Intersection of each pixel's ray with the plane y = ``floor``; NaN if there is none."""
    v, u = torch.meshgrid(torch.arange(cameras.height) + 0.5, torch.arange(cameras.width) + 0.5, indexing="ij")
    pixel = torch.stack([u, v, torch.ones_like(u)], -1).to(cameras.c2w)
    ways = torch.einsum("rij,rjk,hwk->rhwi", cameras.c2w[:, :3, :3], torch.linalg.inv(cameras.intrinsics), pixel)
    origin = cameras.position[:, None, None]
    t = (floor - origin[..., 1]) / ways[..., 1]
    meets = (t > 0) & (t < 60)
    place = (origin + t[..., None] * ways)[..., [0, 2]]
    return torch.where(meets[..., None], place, math.nan).permute(0, 3, 1, 2)
