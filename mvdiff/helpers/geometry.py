"""Monocular geometry of a whole photo, and its part in the crop of one object."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mvdiff.sampling.photo_camera import RADIUS, PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from recon.core.cameras import DEFAULT_FOV, Cameras, pixel_centers
from recon.fusion.photo_geometry import PhotoGeometry

#: Distances of the photo's camera that a lens prior may give, in radii of the object.
_NEAREST, _FARTHEST = 2.2, 20.0


@dataclass(frozen=True)
class ImageGeometry:
    """An estimate of the geometry at every pixel of a photo."""

    kind: Literal["depth", "disparity"]
    """Whether ``values`` are an affine function of z-depth or of its inverse."""
    values: Float[Tensor, "h w"] | None
    normal: Float[Tensor, "3 h w"] | None
    """Unit normals in OpenCV camera axes."""
    confidence: Float[Tensor, "h w"]
    """In [0, 1]; 0 where nothing is said."""
    fov: float | None = None
    """Vertical field of view in degrees, where it is estimated."""
    metric: bool = False
    """Whether ``values`` are z-depth itself up to a factor, so that points can be made of them."""


@runtime_checkable
class GeometryEstimator(Protocol):
    """A network that sees geometry in one photo."""

    @property
    def record(self) -> Mapping[str, Any]:
        """Name and SHA-256 of the weights, for manifests."""
        ...

    def __call__(self, rgb: UInt8[np.ndarray, "h w 3"]) -> ImageGeometry: ...


def in_crop(geometry: ImageGeometry, reference: ReferenceImage, size: int) -> PhotoGeometry:
    """Geometry [s s] of a reference's square, seen by a camera that is turned towards its middle without roll.

    Hypotheses take the photo's camera to aim at the object. Depth that is known up to a factor and normals are turned
    into that camera's axes; other depth is taken as it is, which errs for objects far from the photo's middle.
    """
    height, width = geometry.confidence.shape
    left, top, side = (float(value * width / reference.source_size[0]) for value in reference.crop)
    pixels = pixel_centers(size, size) * (side / size) + torch.tensor([left, top])
    lens = 0.5 * height / math.tan(math.radians(geometry.fov or DEFAULT_FOV) / 2)
    middle = torch.tensor([left + side / 2 - width / 2, top + side / 2 - height / 2, lens])
    turn = _towards(middle)
    channels = [geometry.confidence[None]]
    if geometry.values is not None:
        channels.append(geometry.values[None])
    if geometry.normal is not None:
        channels.append(geometry.normal)
    taken = _sampled(torch.cat(channels), geometry.confidence, pixels, size)
    confidence, rest = taken[0], taken[1:]
    values = None
    if geometry.values is not None:
        values, rest = rest[0], rest[1:]
        if geometry.metric:
            rays = torch.cat([pixels - torch.tensor([width / 2, height / 2]), torch.full((len(pixels), 1), lens)], 1)
            values = values * (rays @ turn[2] / lens).reshape(size, size)
    normal = None
    if geometry.normal is not None:
        normal = torch.nn.functional.normalize(torch.einsum("ij,jhw->ihw", turn, rest), dim=0)
    focal = float(middle.norm()) * size / side if geometry.metric else None
    return PhotoGeometry(geometry.kind, values, normal, confidence, focal)


def _sampled(
    channels: Float[Tensor, "c h w"], weight: Float[Tensor, "h w"], pixels: Float[Tensor, "p 2"], size: int
) -> Float[Tensor, "c {size} {size}"]:
    """Bilinear means over the pixels that count; the first channel is that weight itself, 0 outside of the photo."""
    height, width = weight.shape
    used = (weight > 0).float()
    where = (pixels / torch.tensor([width, height]) * 2 - 1).reshape(1, size, size, 2)
    stacked = torch.cat([channels * used, used[None]])[None]
    taken = torch.nn.functional.grid_sample(stacked, where, align_corners=False)[0]
    share = taken[-1].clamp_min(1e-6)
    return torch.cat([taken[:1], taken[1:-1] / share]) * (taken[-1:] > 0.5)


def _towards(direction: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """Rows are the axes, in the photo's camera, of a camera turned towards ``direction`` without roll."""
    forward = torch.nn.functional.normalize(direction, dim=0)
    right = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), forward), dim=0)
    return torch.stack([right, torch.linalg.cross(forward, right), forward])


def with_lens(cameras: PhotoCamera, reference: ReferenceImage, fov: float) -> PhotoCamera:
    """Cameras [n] at the distance that a vertical field of view of ``fov`` degrees implies for the object's size.

    The projected radius stays; the perspective changes.
    """
    lens = 0.5 * reference.source_size[1] / math.tan(math.radians(fov) / 2)
    radius = cameras.log_scale.exp() * (reference.crop[2] / 2)
    return replace(cameras, distance=(lens * RADIUS / radius).clamp(_NEAREST * RADIUS, _FARTHEST * RADIUS))


def normals_of_points(points: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 h w"]:
    """Normals of a point map in the axes of its points, towards the viewer."""
    padded = torch.nn.functional.pad(points[None], (1, 1, 1, 1), mode="replicate")[0]
    right, down = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2], padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    return torch.nn.functional.normalize(torch.linalg.cross(down, right, dim=0), dim=0)


def camera_of(fov: float, width: int, height: int) -> Cameras:
    """A camera [1] at the origin with OpenCV axes."""
    from recon.core.cameras import pinhole

    return Cameras(torch.eye(4)[None], pinhole(fov, width, height)[None], width, height)
