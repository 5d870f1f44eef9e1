"""Meshes to delit views: albedo, alpha, normals and depth."""

import torch

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.rendering.shade import Surface, average


def render_mesh(mesh: TexturedMesh | Surface, cameras: Cameras, supersample: int = 2) -> ViewSet:
    """Views [1 v] of ``mesh`` by ``cameras`` [v], antialiased by ``supersample`` squared samples a pixel.

    A :class:`Surface` in its place is made ready once for all pictures of it.
    """
    surface = mesh if isinstance(mesh, Surface) else Surface(mesh)
    cameras = cameras.to(surface.mesh.device)
    points = surface.points(cameras.resized(cameras.width * supersample, cameras.height * supersample))
    channels = [points.albedo, points.normal, points.depth]
    rgb, normal, depth, alpha = average(channels, points, supersample).split([3, 3, 1, 1], 1)
    normal = torch.nn.functional.normalize(normal, dim=1)
    return ViewSet(rgb[None], alpha[None], cameras.reshape(1, -1), normal[None], depth[None])
