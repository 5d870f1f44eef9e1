"""Agreement between views pixel by pixel: how many others confirm a pixel's depth."""

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.views import ViewSet

#: Relative difference in depth up to which another view confirms a point.
_AGREES = 0.05


def view_agreement(views: ViewSet, tolerance: float = _AGREES) -> Float[Tensor, "v h w"]:
    """Share of the other views that show a pixel's point and confirm its depth, views [1 v].

    A view that has a nearer surface in that direction does not count: the point may be hidden from it. Where no other
    view looks the share is 1.
    """
    cameras, depth = views.cameras[0], views.depth[0, :, 0]
    count, height, width = depth.shape
    shown = (views.alpha[0, :, 0] > 0.5) & (depth > 0)
    points = cameras.unproject(torch.where(shown, depth, 1.0)).reshape(-1, 3)
    own = torch.arange(count, device=depth.device).repeat_interleave(height * width)
    confirms, contradicts = torch.zeros(2, len(points), device=depth.device).unbind(0)
    for number in range(count):
        pixels, z = (value[0] for value in cameras[number : number + 1].project(points[None]))
        column, row = pixels.floor().long().unbind(-1)
        inside = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height) & (own != number)
        place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        there = torch.where(shown[number], depth[number], torch.inf).flatten()[place]
        confirms += inside & ((there / z - 1).abs() <= tolerance)
        contradicts += inside & (there > z * (1 + tolerance))
    total = confirms + contradicts
    share = torch.where(total > 0, confirms / total.clamp_min(1), 1.0)
    return share.reshape(count, height, width)
