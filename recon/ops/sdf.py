"""Reinitialize an SDF that is accurate only near its zero level set into a distance field on the whole grid."""

import torch
from jaxtyping import Float
from torch import Tensor

from recon.ops.distance_transform import at_cells, distance_transform

#: Slopes below this share of the steepest one count as flat.
_FLAT = 1e-3


def reinitialize(field: Float[Tensor, "g g g"], spacing: float, kept: float = 1.2) -> Float[Tensor, "g g g"]:
    """Keep values within ``kept`` cells of the surface; elsewhere add the distance to the nearest surface cell to that
    cell's value.

    One transform serves both sides. A field without a surface is returned unchanged.
    """
    inside = field < 0
    beside = torch.zeros_like(inside)
    for axis in range(3):
        change = inside.diff(dim=axis)
        beside.narrow(axis, 0, change.shape[axis]).logical_or_(change)
        beside.narrow(axis, 1, change.shape[axis]).logical_or_(change)
    if not bool(beside.any()):
        return field
    cells, nearest = (found[0] for found in distance_transform(beside[None]))
    far = torch.where(inside, -cells, cells) * spacing + at_cells(field, nearest)
    return torch.where(cells < kept, field, far)


def distance_near_surface(field: Float[Tensor, "g g g"], spacing: float) -> Float[Tensor, "g g g"]:
    """Signed distance of any field with the same zero level: values over slopes, true to first order (Taubin 1991).

    Values beyond two cells say no more than that.
    """
    slope = torch.stack(torch.gradient(field, spacing=spacing)).norm(dim=0)
    distance = field / slope.clamp_min(_FLAT * float(slope.max()) + 1e-12)
    return distance.clamp(-2 * spacing, 2 * spacing)
