"""The sky of a scene: a dome painted from the pixels that show no surface, inpainted on the sphere."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.ops.panorama import from_views

#: Share of sky in a view's pixel below which its color is that of a surface.
_CLEAR = 0.9
#: Columns and rows of the dome's triangles.
_SLICES, _STACKS = 64, 32


@dataclass(frozen=True)
class Sky:
    """Backdrop of all surfaces, as an equirectangular image (see :mod:`recon.ops.panorama`)."""

    panorama: Float[Tensor, "3 h w"]
    """sRGB, filled everywhere."""
    seen: Float[Tensor, "1 h w"]
    """1 where some view shows sky, 0 where it is inpainted."""

    def dome(self, radius: float) -> TexturedMesh:
        """A sphere around the origin, seen from inside, with the panorama as its texture."""
        vertices, uv, faces = _dome_grid(_SLICES, _STACKS)
        return TexturedMesh(vertices * radius, faces, uv=uv[faces], texture=self.panorama)


def sky_of(views: ViewSet, height: int = 512, places: Float[Tensor, "v"] | None = None) -> Sky | None:
    """The sky of views [1 v], or None where no pixel shows any.

    Args:
        views: Views whose alpha is 0 on sky. Sky is infinitely far, so that stations anywhere add to it.
        height: Rows of the panorama.
        places: Weight of each view, such as more for the photo.

    Returns:
        The panorama; where surfaces hide the sky it is continued smoothly from around.
    """
    clear = (1 - views.alpha[0] >= _CLEAR).float() * (1 - views.alpha[0])
    # Beside a surface a pixel of sky is mixed with it: one pixel less on every side.
    clear = clear * (torch.nn.functional.max_pool2d(1 - clear.ceil(), 3, 1, 1) == 0)
    if not bool(clear.any()):
        return None
    clear = clear if places is None else clear * places[:, None, None, None].to(clear)
    image, weight = from_views(views.rgb[0], views.cameras[0], height, clear)
    seen = (weight > 1e-3).float()
    return Sky(inpaint_sphere(image, seen).clamp(0, 1), seen)


def inpaint_sphere(image: Float[Tensor, "c h w"], known: Float[Tensor, "1 h w"]) -> Float[Tensor, "c h w"]:
    """Fill an equirectangular image by pull and push (Gortler et al. 1996), weighted by solid angle.

    Each coarser level averages what is known; unknown pixels take the finest level at which something is known, blended
    smoothly. The date line is no border.
    """
    if min(image.shape[1:]) == 1:
        return image
    height = image.shape[1]
    latitude = (0.5 - (torch.arange(height, device=image.device) + 0.5) / height) * torch.pi
    weight = known * latitude.cos()[:, None].clamp_min(1e-3)
    pad = [image.shape[1] % 2, image.shape[2] % 2]
    padded = torch.nn.functional.pad(torch.cat([image * weight, weight, known]), (0, pad[1], 0, pad[0]))
    sums = torch.nn.functional.avg_pool2d(padded, 2)
    coarse = sums[:-2] / sums[-2:-1].clamp_min(1e-12)
    filled = inpaint_sphere(coarse, (sums[-1:] * 4).clamp_max(1))
    around = torch.cat([filled[..., -1:], filled, filled[..., :1]], -1)
    scale = (padded.shape[1], padded.shape[2] + 4)
    fine = torch.nn.functional.interpolate(around[None], scale, mode="bilinear", align_corners=False)[0]
    fine = fine[:, : image.shape[1], 2 : 2 + image.shape[2]]
    return torch.lerp(fine, image, known)


def _dome_grid(slices: int, stacks: int) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vertices, texture coordinates and faces that turn their front to the inside."""
    v, u = torch.meshgrid(torch.linspace(0, 1, stacks + 1), torch.linspace(0, 1, slices + 1), indexing="ij")
    yaw, latitude = (u - 0.5) * 2 * torch.pi, (0.5 - v) * torch.pi
    vertices = torch.stack([yaw.sin() * latitude.cos(), latitude.sin(), -yaw.cos() * latitude.cos()], -1)
    row, column = torch.meshgrid(torch.arange(stacks), torch.arange(slices), indexing="ij")
    a = (row * (slices + 1) + column).reshape(-1)
    b, c, d = a + slices + 1, a + slices + 2, a + 1
    # At the poles one of the two triangles of a cell has no area.
    upper, lower = torch.stack([a, c, d], -1)[slices:], torch.stack([a, b, c], -1)[:-slices]
    return vertices.reshape(-1, 3), torch.stack([u, v], -1).reshape(-1, 2), torch.cat([upper, lower])
