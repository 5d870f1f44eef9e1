"""Panoramas: equirectangular images from and to pinhole views, weighted by exact solid angles.

Column 0 of an equirectangular image begins at yaw -180 degrees; the middle looks along -Z, the right half towards +X,
and the first row is up. Yaw grows towards +X.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError

#: Samples along each side of a pixel.
_SAMPLES = 2


def equirect_directions(height: int, width: int, samples: int = 1) -> Float[Tensor, "hs ws 3"]:
    """Unit directions through pixels, ``samples`` along each side."""
    latitude = (0.5 - (torch.arange(height * samples) + 0.5) / (height * samples)) * math.pi
    yaw = ((torch.arange(width * samples) + 0.5) / (width * samples) - 0.5) * 2 * math.pi
    latitude, yaw = torch.meshgrid(latitude, yaw, indexing="ij")
    return torch.stack([yaw.sin() * latitude.cos(), latitude.sin(), -yaw.cos() * latitude.cos()], -1)


def equirect_places(directions: Float[Tensor, "*s 3"], height: int, width: int) -> Float[Tensor, "*s 2"]:
    """Pixel coordinates (x, y; centers at +.5) of directions of any length."""
    x, y, z = directions.unbind(-1)
    yaw, latitude = torch.atan2(x, -z), torch.atan2(y, torch.hypot(x, z))
    return torch.stack([(yaw / (2 * math.pi) + 0.5) * width, (0.5 - latitude / math.pi) * height], -1)


def equirect_solid_angles(height: int, width: int) -> Float[Tensor, "h 1"]:
    """Exact solid angle of a pixel in each row; all pixels together have 4 pi."""
    edges = (0.5 - torch.arange(height + 1, dtype=torch.float64) / height) * math.pi
    return ((edges[:-1].sin() - edges[1:].sin()) * (2 * math.pi / width)).float()[:, None]


def pinhole_solid_angles(cameras: Cameras) -> Float[Tensor, "*batch h w"]:
    """Exact solid angle of each pixel: that of a rectangle on the plane at depth 1 (Khadzhai 1983)."""
    k = cameras.intrinsics.double()
    x = (torch.arange(cameras.width + 1, device=k.device) - k[..., 0, 2, None]) / k[..., 0, 0, None]
    y = (torch.arange(cameras.height + 1, device=k.device) - k[..., 1, 2, None]) / k[..., 1, 1, None]
    x, y = x[..., None, :], y[..., :, None]
    corner = torch.atan2(x * y, torch.sqrt(1 + x * x + y * y))
    strips = corner[..., 1:, :] - corner[..., :-1, :]
    return (strips[..., 1:] - strips[..., :-1]).float()


def to_views(panorama: Float[Tensor, "c hp wp"], cameras: Cameras) -> Float[Tensor, "v c h w"]:
    """Pinhole images of an equirectangular one, by cameras [v] at its place; averaged over each pixel."""
    cameras.require_pinholes("A panorama")
    if panorama.shape[2] != 2 * panorama.shape[1]:
        size = f"{panorama.shape[2]} x {panorama.shape[1]}"
        raise InputError(f"A panorama is twice as wide as high, not {size}: crop or pad it to 2:1.")
    fine = cameras.resized(cameras.width * _SAMPLES, cameras.height * _SAMPLES)
    directions = fine.rays()[1].reshape(-1, fine.height, fine.width, 3)
    places = equirect_places(directions, *panorama.shape[1:])
    values = _sample_sphere(panorama, places)
    weights = pinhole_solid_angles(fine)[:, None]
    sums = torch.nn.functional.avg_pool2d(torch.cat([values * weights, weights], 1), _SAMPLES)
    return sums[:, :-1] / sums[:, -1:]


def from_views(
    images: Float[Tensor, "v c h w"],
    cameras: Cameras,
    height: int,
    weights: Float[Tensor, "v 1 h w"] | None = None,
    feather: float = 0.25,
) -> tuple[Float[Tensor, "c hp wp"], Float[Tensor, "1 hp wp"]]:
    """An equirectangular image of ``height`` rows from views at one place, by direction alone.

    Args:
        images: Images of any channels.
        cameras: Their cameras [v].
        height: Rows of the panorama; it has twice as many columns.
        weights: Weight of each pixel, such as its share of sky.
        feather: Share of an image's half width over which it fades out towards its border, where views overlap.

    Returns:
        The panorama, zero where no view looks, and the total weight of each of its pixels.
    """
    cameras.require_pinholes("A panorama")
    directions = equirect_directions(height, 2 * height, _SAMPLES).to(images).reshape(-1, 3)
    total = images.new_zeros(images.shape[1] + 1, len(directions))
    size = images.new_tensor([cameras.width, cameras.height])
    for number in range(len(images)):
        camera = cameras[number]
        local = directions @ camera.c2w[:3, :3] @ camera.intrinsics.T
        pixels = local[:, :2] / local[:, 2:].clamp_min(1e-6)
        # From 1 in the middle to 0 on the border; the least positive share still covers it.
        border = (torch.minimum(pixels, size - pixels) / (size / 2)).amin(-1)
        own = ((local[:, 2] > 1e-6) & (border > 0)).nonzero()[:, 0]
        if not len(own):
            continue
        share = (border[own] / feather).clamp(1e-3, 1)
        where = (pixels[own] / size * 2 - 1)[None, None]
        image, given = images[number], None if weights is None else weights[number]
        image = image if given is None else torch.cat([image * given, given])
        values = torch.nn.functional.grid_sample(
            image[None], where, mode="bicubic", padding_mode="border", align_corners=False
        )[0, :, 0]
        values = torch.cat([values, torch.ones_like(values[:1])]) if given is None else values
        total.index_add_(1, own, values * share)
    fine = total.reshape(-1, height * _SAMPLES, 2 * height * _SAMPLES)
    angles = equirect_solid_angles(height * _SAMPLES, 2 * height * _SAMPLES).to(fine).expand(fine.shape[1:])
    sums = torch.nn.functional.avg_pool2d(fine * angles, _SAMPLES)
    area = torch.nn.functional.avg_pool2d(angles[None], _SAMPLES)
    covered = sums[-1:] > 1e-9 * area
    return torch.where(covered, sums[:-1] / sums[-1:].clamp_min(1e-20), 0.0), (sums[-1:] / area).clamp_min(0)


def _sample_sphere(panorama: Float[Tensor, "c hp wp"], places: Float[Tensor, "v h w 2"]) -> Float[Tensor, "v c h w"]:
    """Bicubic values that go on around the sphere: across the date line, and over the poles to the other side."""
    height, width = panorama.shape[1:]
    pad = 2
    beyond = panorama.roll(width // 2, -1)
    tall = torch.cat([beyond[:, :pad].flip(1), panorama, beyond[:, -pad:].flip(1)], 1)
    wide = torch.cat([tall[..., -pad:], tall, tall[..., :pad]], -1)
    size = places.new_tensor([width + 2 * pad, height + 2 * pad])
    where = (places + pad) / size * 2 - 1
    return torch.nn.functional.grid_sample(
        wide.expand(len(places), -1, -1, -1), where.to(wide), mode="bicubic", padding_mode="border", align_corners=False
    )
