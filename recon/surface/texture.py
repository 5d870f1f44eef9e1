"""Texture of a mesh from the views that see it: the photo first, then the sampled views, then the neighbourhood."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.mesh import TexturedMesh
from recon.surface.baking import Witness, blended
from recon.surface.delight import delit
from recon.surface.filling import carried_on, faded
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
#: The photo's weights between which it takes over from the views.
_PHOTO_FROM, _PHOTO_TO = 0.15, 0.45
#: How far the photo's tone reaches beyond what it shows, as a share of the object's size.
_TONE_REACH = 0.4


def textured(mesh: TexturedMesh, views: ViewSet, config: TextureConfig, photo: ViewSet | None = None) -> TexturedMesh:
    """``mesh`` with an atlas painted from ``views`` [1 v].

    Where ``photo`` [1 1] (with its light, of any size) sees the surface, its own pixels win once they are delit.
    """
    mesh = unwrapped(mesh, config.size)
    sites = _Sites.of(mesh, config.size)
    witness = Witness.of(mesh, views, config.edge_pixels)
    vertex_colors, vertex_weight = blended(witness, mesh.vertices, mesh.vertex_normals(), config.sharpness)
    texel_colors, texel_weight = blended(witness, sites.points, sites.normals, config.sharpness)
    painted = sites.painted(mesh, vertex_colors, vertex_weight, texel_colors, texel_weight)
    if photo is None:
        return painted
    photo = photo.to(mesh.device)
    edge = config.edge_pixels * photo.cameras.height / views.cameras.height
    witness = Witness.of(mesh, delit(photo, painted), edge)
    own, share = _of_photo(witness, mesh.vertices, mesh.vertex_normals(), config)
    # Beside the photo the views follow its tone, or its border would show.
    tone = faded(mesh, own - vertex_colors, share > 0.99, _TONE_REACH * float((mesh.bounds[1] - mesh.bounds[0]).max()))
    vertex_colors = torch.lerp((vertex_colors + tone).clamp(0, 1), own, share[:, None])
    vertex_weight = torch.maximum(vertex_weight, share)
    own, share = _of_photo(witness, sites.points, sites.normals, config)
    tone = _interpolated(tone, sites.corners, sites.weights)
    texel_colors = torch.lerp((texel_colors + tone).clamp(0, 1), own, share[:, None])
    return sites.painted(mesh, vertex_colors, vertex_weight, texel_colors, torch.maximum(texel_weight, share))


def _of_photo(
    witness: Witness, points: Float[Tensor, "p 3"], normals: Float[Tensor, "p 3"], config: TextureConfig
) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p"]]:
    """The photo's colour and how far it is believed, in 0…1."""
    own, weight = blended(witness, points, normals, config.sharpness)
    share = ((weight - _PHOTO_FROM) / (_PHOTO_TO - _PHOTO_FROM)).clamp(0, 1)
    return own, share * share * (3 - 2 * share)


@dataclass(frozen=True)
class _Sites:
    """Where the atlas' ``p`` covered texels lie on the surface."""

    covered: Bool[Tensor, "s s"]
    corners: Int[Tensor, "p 3"]
    weights: Float[Tensor, "p 3"]
    points: Float[Tensor, "p 3"]
    normals: Float[Tensor, "p 3"]

    @staticmethod
    def of(mesh: TexturedMesh, size: int) -> "_Sites":
        face, bary = texels(mesh, size)
        covered = face >= 0
        corners, weights = mesh.faces[face[covered]], bary[covered]
        points = _interpolated(mesh.vertices, corners, weights)
        normals = torch.nn.functional.normalize(_interpolated(mesh.vertex_normals(), corners, weights), dim=-1)
        return _Sites(covered, corners, weights, points, normals)

    def painted(
        self,
        mesh: TexturedMesh,
        vertex_colors: Float[Tensor, "k 3"],
        vertex_weight: Float[Tensor, "k"],
        colors: Float[Tensor, "p 3"],
        weight: Float[Tensor, "p"],
    ) -> TexturedMesh:
        """The mesh with its texture: ``colors`` where they are believed, the neighbourhood's elsewhere."""
        around = carried_on(mesh, vertex_colors, vertex_weight > _BELIEVED)
        share = (weight / _BELIEVED).clamp(0, 1)[:, None]
        texture = torch.zeros(*self.covered.shape, 3, device=mesh.device)
        texture[self.covered] = torch.lerp(_interpolated(around, self.corners, self.weights), colors, share)
        return replace(mesh, colors=None, texture=_bled(texture, self.covered).movedim(-1, 0))


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
