"""Texture of a mesh from the views that see it: the photo first, then the sampled views, then the neighbourhood."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.mesh import TexturedMesh
from recon.surface.baking import Witness, blended
from recon.surface.filling import carried_on
from recon.surface.unwrap import texels, unwrapped
from recon.views import ViewSet


@dataclass(frozen=True)
class TextureConfig:
    size: int = 512
    """Texels on each side: 512 to 2048 make sense."""
    sharpness: float = 4.0
    """Power of the views' weights for fine detail: high takes it from one view, low blends (and blurs)."""
    edge_pixels: float = 3.0
    """Pixels this near to a contour count less: they mix in what lies behind."""


#: A view's weight from which on it is believed alone; below, the neighbourhood's colour is mixed in.
_BELIEVED = 0.05


def textured(mesh: TexturedMesh, views: ViewSet, config: TextureConfig) -> TexturedMesh:
    """``mesh`` with an atlas painted from ``views`` [1 v]."""
    mesh = unwrapped(mesh, config.size)
    witness = Witness.of(mesh, views, config.edge_pixels)
    vertex_normals = mesh.vertex_normals()
    colors, confidence = blended(witness, mesh.vertices, vertex_normals, config.sharpness)
    colors = carried_on(mesh, colors, confidence > _BELIEVED)

    face, bary = texels(mesh, config.size)
    covered = face >= 0
    corners, weights = mesh.faces[face[covered]], bary[covered]
    points = _interpolated(mesh.vertices, corners, weights)
    normals = torch.nn.functional.normalize(_interpolated(vertex_normals, corners, weights), dim=-1)
    seen, confidence = blended(witness, points, normals, config.sharpness)
    share = (confidence / _BELIEVED).clamp(0, 1)[:, None]
    texture = torch.zeros(config.size, config.size, 3, device=mesh.device)
    texture[covered] = torch.lerp(_interpolated(colors, corners, weights), seen, share)
    return replace(mesh, colors=None, texture=_bled(texture, covered).movedim(-1, 0))


def _interpolated(
    values: Float[Tensor, "k c"], corners: Int[Tensor, "p 3"], weights: Float[Tensor, "p 3"]
) -> Float[Tensor, "p c"]:
    return sum(values[corners[:, i]] * weights[:, i : i + 1] for i in range(3))


def _bled(texture: Float[Tensor, "s s 3"], covered: Bool[Tensor, "s s"]) -> Float[Tensor, "s s 3"]:
    """Every free texel gets the nearest chart's colour, so that filtering and mipmaps show no seams."""
    from scipy.ndimage import distance_transform_edt

    if not bool(covered.any()):
        return texture
    row, column = distance_transform_edt(~covered.cpu().numpy(), return_distances=False, return_indices=True)
    return texture[torch.from_numpy(row).long(), torch.from_numpy(column).long()]
