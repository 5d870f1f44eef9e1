"""Residuals between the views of a hypothesis and its finished mesh: the uncertainty *within* the hypothesis."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.fusion.observations import ObservationMaps, showing
from recon.metrics.shape import nearest
from recon.ops.windows import max_pool_window
from recon.rendering.visibility import unoccluded, visibility

#: What a pixel of a contradicting silhouette counts, in world units; depth errors count up to this.
_MISMATCH = 0.1


@dataclass(frozen=True)
class Residuals:
    views: Float[Tensor, "v"]
    """Mean error of each view over its own silhouette and the mesh's, in world units."""
    vertices: Float[Tensor, "k"]
    """At each vertex: mean over the views that see it, in world units; the nearest seen vertex' where none does."""

    @staticmethod
    def of(mesh: TexturedMesh, views: ViewSet) -> "Residuals":
        """Residuals of one hypothesis' ``views`` [1 v]."""
        cameras = views.cameras[0]
        own = visibility(mesh, cameras).depth
        there, here = own > 0, views.alpha[0, :, 0] > 0.5
        error = torch.where(there == here, 0.0, _MISMATCH)
        if views.depth is not None:
            both = there & here & (views.depth[0, :, 0] > 0)
            error = torch.where(both, (own - views.depth[0, :, 0]).abs().clamp_max(_MISMATCH), error)
        union = (there | here).float().sum((-1, -2)).clamp_min(1)
        return Residuals(error.sum((-1, -2)) / union, _at_vertices(mesh, views, own))


def _at_vertices(mesh: TexturedMesh, views: ViewSet, own: Float[Tensor, "v h w"]) -> Float[Tensor, "k"]:
    shown = showing(views)[0]
    if len(mesh) == 0 or not bool(shown.any()):
        return own.new_zeros(len(mesh.vertices))
    maps, own = ObservationMaps.of(views, 0.5 * _MISMATCH), own[shown]
    cameras, said = maps.cameras, maps.read(mesh.vertices[None])
    pixels, depth = cameras.project(mesh.vertices[None])
    # The deepest first surface about the pixel: depth changes within it where the surface is slanted.
    sees = unoccluded(max_pool_window(own), pixels, depth, cameras.length(1.5, depth)).float()
    error = torch.where(said.covered, said.ahead.abs(), said.outside.clamp_min(0)).clamp_max(_MISMATCH)
    value = (error * sees).sum(0) / sees.sum(0).clamp_min(1)
    seen = sees.sum(0) > 0
    if bool(seen.any()) and not bool(seen.all()):
        value[~seen] = value[seen][nearest(mesh.vertices[~seen], mesh.vertices[seen])[1]]
    return value
