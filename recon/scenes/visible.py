"""Visibility of a scene's vertices: which views see them, at which pixels, and how well their depths agree."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.ops.windows import max_pool_window
from recon.rendering.visibility import unoccluded, visibility
from recon.scenes.strata import OUTSIDE, point_strata

PHOTO, IMPLIED, GUESSED = 0, 1, 2
#: Relative difference in depth up to which a view confirms a vertex.
_AGREES = 0.05
#: Cosine between surface and ray below which a view does not show a vertex.
_GRAZING = 0.08
#: Depth behind a view's first surface that is still that surface, as a share of it.
_SLACK = 0.01


@dataclass(frozen=True)
class Sight:
    """Visibility of ``k`` vertices of one mesh in ``v`` views."""

    seen: Bool[Tensor, "v k"]
    """The vertex lies in the view, nothing of the mesh is before it, and its front is towards the view."""
    pixels: Float[Tensor, "v k 2"]
    depth: Float[Tensor, "v k"]
    cosine: Float[Tensor, "v k"]
    agrees: Bool[Tensor, "v k"]
    """The view sees the vertex and its own depth is that of the vertex."""

    @staticmethod
    def of(mesh: TexturedMesh, views: ViewSet) -> "Sight":
        """Views [1 v] on their own mesh."""
        cameras, normals = views.cameras[0], mesh.vertex_normals()
        fine = cameras.resized(2 * cameras.width, 2 * cameras.height)
        first = max_pool_window(visibility(mesh, fine).depth)
        pixels, depth = cameras.project(mesh.vertices[None])
        seen = unoccluded(first, 2 * pixels, depth, _SLACK * depth.clamp_min(0))
        toward = torch.nn.functional.normalize(cameras.position[:, None] - mesh.vertices, dim=-1)
        cosine = (toward * normals).sum(-1)
        seen = seen & (cosine > _GRAZING)
        agrees = seen & (_read(views.depth[0], pixels, cameras)[:, 0] / depth - 1).abs().le(_AGREES)
        return Sight(seen, pixels, depth, cosine, agrees)

    @property
    def agreement(self) -> Float[Tensor, "k"]:
        """Share of the views that see a vertex whose own depth confirms it; 0 where no view sees it."""
        return self.agrees.float().sum(0) / self.seen.float().sum(0).clamp_min(1)


def provenance(
    mesh: TexturedMesh, seen_by_photo: Bool[Tensor, "k"], photo: Cameras, depth: Float[Tensor, "h w"]
) -> UInt8[Tensor, "k"]:
    """PHOTO where the photo shows a vertex, IMPLIED in its frustum but hidden, GUESSED outside it."""
    outside = point_strata(mesh.vertices, photo, depth) == OUTSIDE
    kind = torch.where(outside, GUESSED, IMPLIED)
    return torch.where(seen_by_photo, PHOTO, kind).to(torch.uint8)


def read_views(images: Float[Tensor, "v c h w"], sight: Sight, cameras: Cameras) -> Float[Tensor, "v c k"]:
    """Values of images at all vertices, whether seen or not."""
    return _read(images, sight.pixels, cameras)


def _read(images: Float[Tensor, "v c h w"], pixels: Float[Tensor, "v k 2"], cameras: Cameras) -> Float[Tensor, "v c k"]:
    size = pixels.new_tensor([cameras.width, cameras.height])
    where = (pixels / size * 2 - 1).clamp(-2, 2)[:, None]
    return torch.nn.functional.grid_sample(images, where, padding_mode="border", align_corners=False)[:, :, 0]
