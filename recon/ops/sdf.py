"""A field that is a distance beside its zero level only, carried on to a distance everywhere."""

import torch
from jaxtyping import Float
from torch import Tensor

from recon.ops.distance_transform import at_cells, nearest_marked


def redistanced(field: Float[Tensor, "g g g"], spacing: float, kept: float = 1.2) -> Float[Tensor, "g g g"]:
    """``field``, kept next to its zero level, continued by the distance to the nearest cell beside it and that cell's.

    ``kept`` is how many cells from those beside the surface it is believed. One transform does for both sides; without
    a surface the field stays as it is.
    """
    inside = field < 0
    beside = torch.zeros_like(inside)
    for axis in range(3):
        change = inside.diff(dim=axis)
        beside.narrow(axis, 0, change.shape[axis]).logical_or_(change)
        beside.narrow(axis, 1, change.shape[axis]).logical_or_(change)
    if not bool(beside.any()):
        return field
    cells, nearest = (found[0] for found in nearest_marked(beside[None]))
    far = torch.where(inside, -cells, cells) * spacing + at_cells(field, nearest)
    return torch.where(cells < kept, field, far)
