"""Meshes to delit views: albedo, alpha, normals and depth."""

import torch

from recon.cameras import Cameras
from recon.mesh import TexturedMesh
from recon.rendering.shade import Surface, average
from recon.views import ViewSet


def render_mesh(mesh: TexturedMesh, cameras: Cameras, supersample: int = 2, smooth_angle: float = 40.0) -> ViewSet:
    """Views [1 v] of ``mesh`` by ``cameras`` [v], antialiased by ``supersample`` squared samples a pixel."""
    fine = cameras.to(mesh.device).resized(cameras.width * supersample, cameras.height * supersample)
    points = Surface(mesh, smooth_angle).points(fine)
    channels = [points.albedo, points.normal, points.depth]
    rgb, normal, depth, alpha = average(channels, points, supersample).split([3, 3, 1, 1], 1)
    normal = torch.nn.functional.normalize(normal, dim=1)
    return ViewSet(rgb[None], alpha[None], cameras.to(mesh.device).reshape(1, -1), normal[None], depth[None])
