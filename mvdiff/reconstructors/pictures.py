"""Views as the large reconstruction model expects them: few, square, on white."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.views import ViewSet


def spread_views(cameras: Cameras, count: int) -> list[int]:
    """At most ``count`` of the cameras [v], far from each other in direction; the first one is always kept.

    Farthest-point sampling (Gonzalez 1985).
    """
    directions = torch.nn.functional.normalize(cameras.position, dim=-1)
    chosen = [0]
    while len(chosen) < min(count, len(cameras)):
        nearest = (directions @ directions[chosen].T).amax(1)
        nearest[chosen] = torch.inf
        chosen.append(int(nearest.argmin()))
    return sorted(chosen)


def square_on_white(views: ViewSet, size: int) -> tuple[Float[Tensor, "n v 3 {size} {size}"], Cameras]:
    """Pictures on white, widened to squares and resized, with the cameras that fit them."""
    pictures, cameras = views.composited(1.0), views.cameras
    side = max(cameras.width, cameras.height)
    left, top = (side - cameras.width) // 2, (side - cameras.height) // 2
    right, bottom = side - cameras.width - left, side - cameras.height - top
    padded = torch.nn.functional.pad(pictures.flatten(0, 1), (left, right, top, bottom), value=1.0)
    shift = cameras.intrinsics.new_tensor([[0, 0, left], [0, 0, top], [0, 0, 0]])
    square = replace(cameras, intrinsics=cameras.intrinsics + shift, width=side, height=side)
    resized = torch.nn.functional.interpolate(padded, (size, size), mode="bicubic", antialias=True)
    return resized.clamp(0, 1).unflatten(0, pictures.shape[:2]), square.resized(size, size)
