"""Colors of surface points, observed by posed views."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.fusion.observations import silhouette_distance
from recon.ops.windows import max_pool_window, min_pool_window
from recon.rendering.visibility import unoccluded, visibility

#: Surfaces seen at a flatter angle than this cosine are not read: a pixel is too long on them.
_GRAZING = 0.05
#: A view's own surface is found at this many times the picture's resolution.
_SUPERSAMPLE = 2
#: Width of the Gaussian between broad and fine, as a share of the picture's height.
_BROAD = 0.02
#: Points at a time: bounds the memory.
_CHUNK = 2**18


@dataclass(frozen=True)
class Witness:
    """One hypothesis' views, prepared for being asked about points on one mesh."""

    views: ViewSet
    maps: Float[Tensor, "v c h w"]
    """Premultiplied color, premultiplied broad color, alpha, and how far inside a pixel lies, in 0…1."""
    reach: Float[Tensor, "v hs ws"]
    """Visibility tolerance: a pixel and a half behind the mesh's first surface."""

    @staticmethod
    def of(mesh: TexturedMesh, views: ViewSet, edge_pixels: float) -> "Witness":
        """``views`` [1 v]; pixels nearer than ``edge_pixels`` to a contour of the object or the mesh count less."""
        rgb, alpha = views.rgb[0], views.alpha[0]
        cameras = views.cameras[0]
        fine = cameras.resized(cameras.width * _SUPERSAMPLE, cameras.height * _SUPERSAMPLE)
        depth = visibility(mesh, fine).depth
        # The surfaces of the pixel and its neighbors: depth changes within a pixel where it is slanted.
        near, far = min_pool_window(torch.where(depth > 0, depth, torch.inf)), max_pool_window(depth)
        # Next to a contour a pixel mixes two surfaces, and small errors of the shape paint one with the other's color:
        # beside a jump of the depth within the object, more than a surface at a grazing angle explains.
        torn = (depth > 0) & (far - near > 10 * _pixel(views))
        torn = torch.nn.functional.max_pool2d(torn[:, None].float(), _SUPERSAMPLE)
        solid = alpha * (1 - torn)
        inside = (-silhouette_distance(solid) / edge_pixels).clamp(0, 1)
        mean, weight = blur_maps(torch.cat([rgb * alpha, alpha], 1), _BROAD * cameras.height).split([3, 1], 1)
        broad = mean / weight.clamp_min(1e-4)
        maps = torch.cat([rgb * alpha, broad * alpha, alpha, inside], 1)
        return Witness(views, maps, far + 1.5 * _pixel(views))

    def asked(
        self, points: Float[Tensor, "p 3"], normals: Float[Tensor, "p 3"]
    ) -> tuple[Float[Tensor, "v 3 p"], Float[Tensor, "v 3 p"], Float[Tensor, "v p"]]:
        """Colour, its broad part, and the weight (0: unseen) that each view gives to each point."""
        cameras = self.views.cameras[0]
        pixels, depth = cameras.project(points[None])
        size = pixels.new_tensor([cameras.width, cameras.height])
        values = torch.nn.functional.grid_sample(
            self.maps, (pixels / size * 2 - 1)[:, None], padding_mode="zeros", align_corners=False
        )[:, :, 0]
        cosine = (cameras.towards(points[None]) * normals).sum(-1)
        alpha, inside = values[:, 6].clamp(0, 1), values[:, 7].clamp(0, 1)
        seen = unoccluded(self.reach, pixels * _SUPERSAMPLE, depth) & (cosine > _GRAZING)
        weight = seen * cosine.clamp(0, 1) * alpha * (0.02 + inside)
        color, broad = (values[:, :6] / alpha.clamp_min(1e-3)[:, None]).split([3, 3], 1)
        return color, broad, weight


def blend_views(
    witness: Witness, points: Float[Tensor, "p 3"], normals: Float[Tensor, "p 3"], sharpness: float
) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p"]]:
    """sRGB of points and the largest weight that a view has there (0: nothing is known).

    Broad color is a mean over the views, so that no seam shows where the best view changes; fine detail comes from
    the best view nearly alone, so that views that disagree by a pixel do not blur each other (two of the bands of Burt
    and Adelson 1983; for textures Baumberg 2002).
    """
    colors, confidences = [], []
    for place, normal in zip(points.split(_CHUNK), normals.split(_CHUNK), strict=True):
        color, broad, weight = witness.asked(place, normal)
        best = weight.amax(0)
        share = weight / best.clamp_min(1e-9)
        colors.append(_mean(broad, share**2) + _mean(color - broad, share**sharpness))
        confidences.append(best)
    return torch.cat(colors, 1).T.clamp(0, 1), torch.cat(confidences)


def _mean(values: Float[Tensor, "v 3 p"], weights: Float[Tensor, "v p"]) -> Float[Tensor, "3 p"]:
    return (weights[:, None] * values).sum(0) / weights.sum(0).clamp_min(1e-9)


def blur_maps(maps: Float[Tensor, "v c h w"], sigma: float) -> Float[Tensor, "v c h w"]:
    """Gaussian of ``sigma`` pixels, nothing beyond the border."""
    radius = max(1, round(3 * sigma))
    kernel = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(radius + 1)]
    kernel = torch.tensor([*kernel, 0.0]).to(maps) / (2 * sum(kernel) - 1)
    # As products of matrices: a convolution of one channel is slow on a processor.
    for _ in range(2):
        place = torch.arange(maps.shape[-1], device=maps.device)
        maps = (maps @ kernel[(place[:, None] - place).abs().clamp_max(radius + 1)]).transpose(-1, -2)
    return maps


def _pixel(views: ViewSet) -> float:
    """Size of an image's pixel at unit distance; of orthographic images, at any."""
    return 1 / float(views.cameras.intrinsics[..., 1, 1].mean())
