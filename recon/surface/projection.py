"""Projection of a photo onto a mesh that has no colors of its own."""

from dataclasses import replace

from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.surface.baking import Witness, blend_views
from recon.surface.texture import TextureConfig, bake_texture

#: Weight of the photo below which a vertex counts as unseen.
_SEEN = 0.05


def project_photo(mesh: TexturedMesh, photo: ViewSet, config: TextureConfig | None = None) -> TexturedMesh:
    """``mesh`` painted from a photo [1 1] of known camera.

    Colors run on along the surface where the photo shows nothing. The attribute ``unseen`` is 1 at those vertices and 0
    at those that the photo shows, so that nobody takes a continued color for an observed one.
    """
    config = config or TextureConfig()
    photo = photo.to(mesh.device)
    witness = Witness.of(mesh, photo, config.edge_pixels)
    _, weight = blend_views(witness, mesh.vertices, mesh.vertex_normals(), config.sharpness)
    unseen = (weight < _SEEN).to(mesh.vertices.dtype)
    return bake_texture(replace(mesh, colors=None, attributes=mesh.attributes | {"unseen": unseen}), photo, config)
