"""Meshes to delit views: albedo, alpha, normals and depth."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from recon.cameras import Cameras
from recon.mesh import TexturedMesh
from recon.rendering.shade import surface
from recon.rendering.visibility import visibility
from recon.views import ViewSet


def render_mesh(mesh: TexturedMesh, cameras: Cameras, supersample: int = 2, smooth_angle: float = 40.0) -> ViewSet:
    """Views [1 v] of ``mesh`` by ``cameras`` [v], antialiased by ``supersample`` squared samples a pixel."""
    fine = cameras.to(mesh.device).resized(cameras.width * supersample, cameras.height * supersample)
    samples = surface(mesh, fine, visibility(mesh, fine), smooth_angle)
    channels = torch.cat([samples.albedo, samples.normal, samples.depth, samples.alpha], -1)
    rgb, normal, depth, alpha = average(channels, supersample).split([3, 3, 1, 1], 1)
    normal = torch.nn.functional.normalize(normal, dim=1)
    return ViewSet(rgb[None], alpha[None], cameras.to(mesh.device).reshape(1, -1), normal[None], depth[None])


def average(premultiplied: Float[Tensor, "v hs ws c"], supersample: int) -> Float[Tensor, "v c h w"]:
    """Box-filtered pictures; the last channel is alpha, the others are means over the covered samples alone."""
    blocks = rearrange(premultiplied, "v (h p) (w q) c -> v h p w q c", p=supersample, q=supersample).mean((2, 4))
    blocks = rearrange(blocks, "v h w c -> v c h w")
    alpha = blocks[:, -1:]
    return torch.cat([blocks[:, :-1] / alpha.clamp_min(1e-6), alpha], 1)
