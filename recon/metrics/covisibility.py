"""Covisibility: surfaces that two cameras both see, exactly, from true depth maps."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.cameras import Cameras

#: Relative difference of depth below which two cameras see the same surface.
TOLERANCE = 0.04
_NEAR = 1e-4
_FAR = 1e5  # distance at which the sky stands, in world units
_SMOOTH = 1.5  # neighboring depths within this ratio are one surface


def seen_from(
    points: Float[Tensor, "*s 3"], camera: Cameras, depth: Float[Tensor, "h w"], tolerance: float = TOLERANCE
) -> Bool[Tensor, "*s"]:
    """Test world points against one camera's z-depth map.

    A point is seen where it falls inside the picture and its depth is within ``tolerance`` of the map, read at the
    nearest pixel or, on smooth surfaces, interpolated in 1 / depth, which is exact on planes however steep.

    Args:
        points: World points.
        camera: The camera that may see them, without batch axes.
        depth: Its z-depth, 0 for sky.
        tolerance: Relative difference of depth that still counts as seen.
    """
    pixel, z = camera.project(points.reshape(-1, 3))
    inside = _inside(pixel, z, camera)
    nearest = _read(depth, pixel, "nearest")
    known = torch.where(depth > 0, 1 / depth.clamp_min(_NEAR), 0.0)
    around = torch.nn.functional.pad(known[None, None], (1, 1, 1, 1), mode="replicate")
    high = torch.nn.functional.max_pool2d(around, 3, 1)[0, 0]
    low = -torch.nn.functional.max_pool2d(-around, 3, 1)[0, 0]
    smooth = _read(low, pixel, "nearest") * _SMOOTH > _read(high, pixel, "nearest")
    between = 1 / _read(known, pixel, "bilinear").clamp_min(1 / _FAR)
    agrees = ((nearest - z).abs() < tolerance * z) | (smooth & ((between - z).abs() < tolerance * z))
    return (inside & (nearest > 0) & agrees).reshape(points.shape[:-1])


def pixels_seen_from(
    cameras: Cameras,
    depth: Float[Tensor, "v h w"],
    other: Cameras,
    other_depth: Float[Tensor, "h2 w2"],
    tolerance: float = TOLERANCE,
) -> Bool[Tensor, "v h w"]:
    """Mark the pixels of views [v] whose surface, or sky, the ``other`` camera sees as well.

    Depths are z-depths with 0 for sky, which is seen wherever the other camera sees sky in the same direction.
    """
    points = cameras.unproject(depth)
    surface = seen_from(points, other, other_depth, tolerance)
    _, directions = cameras.rays()
    far = (other.position + directions * _FAR).reshape(-1, 3)
    pixel, z = other.project(far)
    sky = (_inside(pixel, z, other) & (_read(other_depth, pixel, "nearest") <= 0)).reshape(depth.shape)
    return torch.where(depth > 0, surface, sky)


def _inside(pixel: Float[Tensor, "p 2"], z: Float[Tensor, "p"], camera: Cameras) -> Bool[Tensor, "p"]:
    x, y = pixel.unbind(-1)
    return (z > _NEAR) & (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)


def _read(image: Float[Tensor, "h w"], pixel: Float[Tensor, "p 2"], mode: str) -> Float[Tensor, "p"]:
    height, width = image.shape
    at = pixel / pixel.new_tensor([width, height]) * 2 - 1
    at = at.nan_to_num(2.0).clamp(-2, 2)
    values = torch.nn.functional.grid_sample(
        image[None, None], at[None, None], mode=mode, padding_mode="border", align_corners=False
    )
    return values[0, 0, 0]
