"""Projection of a photo onto a mesh that has no colors of its own."""

from dataclasses import replace

import torch

from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.surface.baking import Witness, blend_views
from recon.surface.texture import TextureConfig, bake_texture

#: Vertex attribute: 1 where the photo shows nothing.
UNSEEN = "unseen"
#: Weight of the photo below which a vertex counts as unseen.
_SEEN = 0.05


def project_photo(
    mesh: TexturedMesh, photo: ViewSet, config: TextureConfig | None = None, views: ViewSet | None = None
) -> TexturedMesh:
    """``mesh`` painted from a photo [1 1] of known camera.

    Colors run on along the surface where the photo shows nothing, unless ``views`` [1 v] of another source show it. The
    attribute ``unseen`` is 1 at the vertices that the photo does not show and 0 at those that it shows, so that nobody
    takes a continued or invented color for an observed one.
    """
    config = config or TextureConfig()
    photo = photo.to(mesh.device)
    witness = Witness.of(mesh, photo, config.edge_pixels)
    _, weight = blend_views(witness, mesh.vertices, mesh.vertex_normals(), config.sharpness)
    unseen = (weight < _SEEN).to(mesh.vertices.dtype)
    bare = replace(mesh, colors=None, uv=None, texture=None, attributes=mesh.attributes | {UNSEEN: unseen})
    if views is None:
        return bake_texture(bare, photo, config)
    return bake_texture(bare, views.to(mesh.device), config, photo)


def unseen_share(mesh: TexturedMesh) -> float | None:
    """Share of the surface's area that the photo does not show; None for a mesh that was not painted from one."""
    if UNSEEN not in mesh.attributes:
        return None
    a, b, c = mesh.triangles.unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=-1)
    return float((area * mesh.attributes[UNSEEN][mesh.faces].mean(1)).sum() / area.sum().clamp_min(1e-12))
