"""Texture of a mesh from the views that see it: the photo first, then the sampled views, then the neighbourhood."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.ops.distance_transform import at_cells, distance_transform
from recon.surface.baking import Witness, blend_views
from recon.surface.delight import delit
from recon.surface.filling import Links, extend_colors, fade_offsets
from recon.surface.unwrap import texels, unwrap


@dataclass(frozen=True)
class TextureConfig:
    size: int = 512
    """Texels on each side: 512 to 2048 make sense."""
    sharpness: float = 4.0
    """Power of the views' weights for fine detail: high takes it from one view, low blends (and blurs)."""
    edge_pixels: float = 3.0
    """Pixels this near to a contour count less: they mix in what lies behind."""


#: Weight above which a texel uses its views alone; below, the neighborhood's color is mixed in.
_BELIEVED = 0.05
#: The photo's weights between which it takes over from the views.
_PHOTO_FROM, _PHOTO_TO = 0.15, 0.45
#: How far the photo's tone reaches beyond what it shows, as a share of the object's size.
_TONE_REACH = 0.4


def bake_texture(
    mesh: TexturedMesh, views: ViewSet, config: TextureConfig, photo: ViewSet | None = None
) -> TexturedMesh:
    """``mesh`` with an atlas painted from ``views`` [1 v].

    Where ``photo`` [1 1] (with its light, of any size) sees the surface, its own pixels win once they are delit. Colors
    that the mesh has already are predictions: they show where no view looks, in the tone of what is seen beside them.
    """
    mesh = unwrap(mesh, config.size)
    sites = _Sites.of(mesh, config.size)
    vertices, texels = sites.read(Witness.of(mesh, views, config.edge_pixels), config)
    painted = sites.painted(mesh, vertices, texels)
    if photo is None:
        return painted
    photo = photo.to(mesh.device)
    edge = config.edge_pixels * photo.cameras.height / views.cameras.height
    own_vertices, own_texels = sites.read(Witness.of(mesh, delit(photo, painted), edge), config)
    # Beside the photo the views follow its tone, or its border would show.
    sure, size = _share(own_vertices) > 0.99, float((mesh.bounds[1] - mesh.bounds[0]).max())
    tone = fade_offsets(sites.links, own_vertices.colors - vertices.colors, sure, _TONE_REACH * size)
    vertices = _with_photo(vertices, own_vertices, tone)
    texels = _with_photo(texels, own_texels, _interpolated(tone, sites.corners, sites.weights))
    return sites.painted(mesh, vertices, texels)


@dataclass(frozen=True)
class _Colored:
    """Observed colors of ``p`` points."""

    colors: Float[Tensor, "p 3"]
    weight: Float[Tensor, "p"]
    """Confidence of the colors; 0 where nothing was observed."""


def _with_photo(views: _Colored, own: _Colored, tone: Float[Tensor, "p 3"]) -> _Colored:
    """Colors of the photo by its confidence, elsewhere of the views, shifted by ``tone``."""
    share = _share(own)
    colors = torch.lerp((views.colors + tone).clamp(0, 1), own.colors, share[:, None])
    return _Colored(colors, torch.maximum(views.weight, share))


def _share(own: _Colored) -> Float[Tensor, "p"]:
    """Confidence of the photo's colors, in [0, 1]."""
    share = ((own.weight - _PHOTO_FROM) / (_PHOTO_TO - _PHOTO_FROM)).clamp(0, 1)
    return share * share * (3 - 2 * share)


@dataclass(frozen=True)
class _Sites:
    """Points that need colors: the mesh's ``k`` vertices and the atlas' ``p`` covered texels."""

    shown: Int[Tensor, "s s"]
    """For each texel, the covered texel whose color it takes: free texels take the nearest chart's, so that filtering
    and mipmaps show no seams."""
    corners: Int[Tensor, "p 3"]
    weights: Float[Tensor, "p 3"]
    points: Float[Tensor, "q 3"]
    """The vertices, then the texels."""
    normals: Float[Tensor, "q 3"]
    links: Links

    @staticmethod
    def of(mesh: TexturedMesh, size: int) -> "_Sites":
        face, bary = texels(mesh, size)
        covered, normals = face >= 0, mesh.vertex_normals()
        corners, weights = mesh.faces[face[covered]], bary[covered]
        points = torch.cat([mesh.vertices, _interpolated(mesh.vertices, corners, weights)])
        between = torch.nn.functional.normalize(_interpolated(normals, corners, weights), dim=-1)
        number = covered.flatten().cumsum(0).reshape_as(face) - 1
        shown = at_cells(number, distance_transform(covered[None])[1][0])
        return _Sites(shown, corners, weights, points, torch.cat([normals, between]), Links.of(mesh))

    def read(self, witness: Witness, config: TextureConfig) -> tuple[_Colored, _Colored]:
        """Colors of the vertices and of the texels."""
        texels = len(self.corners)
        sizes = [len(self.points) - texels, texels]
        colors, weight = blend_views(witness, self.points, self.normals, config.sharpness)
        return tuple(map(_Colored, colors.split(sizes), weight.split(sizes)))

    def around(self, mesh: TexturedMesh, vertices: _Colored) -> Float[Tensor, "k 3"]:
        """Colors of the vertices, extended or predicted where none was observed."""
        known = vertices.weight > _BELIEVED
        if mesh.colors is None:
            return extend_colors(self.links, vertices.colors, known)
        size = float((mesh.bounds[1] - mesh.bounds[0]).max())
        tone = fade_offsets(self.links, vertices.colors - mesh.colors, known, _TONE_REACH * size)
        return torch.where(known[:, None], vertices.colors, (mesh.colors + tone).clamp(0, 1))

    def painted(self, mesh: TexturedMesh, vertices: _Colored, texels: _Colored) -> TexturedMesh:
        """Bake the texture: observed colors by their confidence, the neighborhood's elsewhere."""
        around = self.around(mesh, vertices)
        share = (texels.weight / _BELIEVED).clamp(0, 1)[:, None]
        colors = torch.lerp(_interpolated(around, self.corners, self.weights), texels.colors, share)
        return replace(mesh, colors=None, texture=colors[self.shown].movedim(-1, 0))


def _interpolated(
    values: Float[Tensor, "k c"], corners: Int[Tensor, "p 3"], weights: Float[Tensor, "p 3"]
) -> Float[Tensor, "p c"]:
    return torch.nn.functional.embedding_bag(corners, values, mode="sum", per_sample_weights=weights)
