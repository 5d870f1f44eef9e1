"""Comparison of a photo with renderings of a mesh: silhouette and color as one vector of residuals."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.registration.poses import Poses
from recon.rendering.shade import Surface, average

#: Turns premultiplied colors with alpha into one vector of features for each picture. Any network serves, such as
#: DINOv2; the features are compared by their cosine.
Encoder = Callable[[Float[Tensor, "c 4 h w"]], Float[Tensor, "c d"]]


@dataclass(frozen=True)
class MatchConfig:
    """Noise of a photo given the mesh that it shows; wide, as a photo carries light and a mesh does not."""

    silhouette: float = 0.12
    """Standard deviation of a pixel's coverage."""
    color: float = 0.2
    """Standard deviation of sRGB values after the exposure is matched."""
    detail: float = 0.1
    """The same of what is left of colors without their local mean, which light changes most."""
    local: float = 0.1
    """Standard deviation of the window of the local mean, as a share of the picture's side."""
    feature: float = 0.1
    """Standard deviation of 1 - cosine of an encoder's features."""
    correlation: float = 0.125
    """Share of the picture's side within which errors are one and the same."""
    exposures: tuple[float, float] = (0.5, 2.0)
    """Range of the factor between the photo's colors and the mesh's."""


class Matcher:
    """A mesh (centered, radius 0.5) and a cut-out photo, compared at any size."""

    def __init__(
        self,
        mesh: TexturedMesh,
        rgba: Float[Tensor, "4 s s"],
        config: MatchConfig | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self.surface = Surface(mesh)
        self.config = config or MatchConfig()
        self.encoder = encoder
        self._photo = torch.cat([rgba[:3] * rgba[3:], rgba[3:]])

    def photo(self, size: int) -> Float[Tensor, "4 {size} {size}"]:
        """The photo with premultiplied colors, averaged to ``size``."""
        mode = "area" if self._photo.shape[-1] >= size else "bilinear"
        return torch.nn.functional.interpolate(self._photo[None], size=(size, size), mode=mode)[0]

    def pictures(self, poses: Poses, size: int, supersample: int = 2) -> Float[Tensor, "c 4 {size} {size}"]:
        """Renderings with premultiplied colors."""
        points = self.surface.points(poses.cameras(size * supersample))
        rgba = average([points.albedo], points, supersample)
        return torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], 1)

    def residuals(self, pictures: Float[Tensor, "c 4 s s"], blur: float = 1.0) -> Float[Tensor, "c d"]:
        """Differences to the photo in standard deviations; half their squared sum is -log of the likelihood."""
        size, config = pictures.shape[-1], self.config
        own, photo = blurred(torch.cat([pictures, self.photo(size)[None]]), blur).split([len(pictures), 1])
        alpha, alpha0 = own[:, 3:], photo[:, 3:]
        color, color0 = own[:, :3] / alpha.clamp_min(1e-3), photo[:, :3] / alpha0.clamp_min(1e-3)
        both = torch.minimum(alpha, alpha0)
        gain = (both * color * color0).sum((1, 2, 3)) / (both * color**2).sum((1, 2, 3)).clamp_min(1e-6)
        gain = gain.clamp(*config.exposures)[:, None, None, None]
        low, low0 = local_mean(own, config.local * size), local_mean(photo, config.local * size)
        parts = [
            (alpha - alpha0) / config.silhouette,
            both * (gain * color - color0) / (math.sqrt(3) * config.color),
            both * (gain * (color - low) - (color0 - low0)) / (math.sqrt(3) * config.detail),
        ]
        return torch.cat([part.flatten(1) for part in parts], 1) / (config.correlation * size)

    def misfits(self, poses: Poses, size: int, supersample: int = 2) -> Float[Tensor, "c"]:
        """-log of the likelihood of the photo by each pose, features included."""
        pictures = self.pictures(poses, size, supersample)
        found = 0.5 * self.residuals(pictures).square().sum(1)
        if self.encoder is not None:
            own, photo = self.encoder(pictures), self.encoder(self.photo(size)[None])
            cosine = torch.nn.functional.cosine_similarity(own, photo)
            found = found + 0.5 * ((1 - cosine) / self.config.feature).square()
        return found

    def overlap(self, pictures: Float[Tensor, "c 4 s s"]) -> Float[Tensor, "c"]:
        """Soft intersection over union of the silhouettes."""
        alpha, alpha0 = pictures[:, 3], self.photo(pictures.shape[-1])[3]
        both, either = torch.minimum(alpha, alpha0).sum((1, 2)), torch.maximum(alpha, alpha0).sum((1, 2))
        return both / either.clamp_min(1e-6)


def local_mean(pictures: Float[Tensor, "c 4 h w"], sigma: float) -> Float[Tensor, "c 3 h w"]:
    """Colors averaged over the object by a Gaussian window with ``sigma`` in pixels, at a quarter of the size."""
    coarse = blurred(torch.nn.functional.avg_pool2d(pictures, 4), sigma / 4)
    mean = coarse[:, :3] / coarse[:, 3:].clamp_min(1e-3)
    return torch.nn.functional.interpolate(mean, size=pictures.shape[-2:], mode="bilinear", align_corners=False)


def blurred(pictures: Float[Tensor, "c k h w"], sigma: float) -> Float[Tensor, "c k h w"]:
    """Gaussian blur with ``sigma`` in pixels, zero beyond the border."""
    if sigma <= 0:
        return pictures
    radius = math.ceil(2.5 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel, channels = kernel / kernel.sum(), pictures.shape[1]
    across = kernel.expand(channels, 1, 1, -1)
    rows = torch.nn.functional.conv2d(pictures, across, padding=(0, radius), groups=channels)
    return torch.nn.functional.conv2d(rows, across.mT, padding=(radius, 0), groups=channels)
