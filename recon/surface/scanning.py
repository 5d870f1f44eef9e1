"""Scan conversion: the texel centers that flat triangles cover, row by row."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Scan:
    """Each of ``q`` pairs of a texel and a triangle over its center."""

    texel: Int[Tensor, "q"]
    """Counted in row order."""
    face: Int[Tensor, "q"]
    bary: Float[Tensor, "q 3"]


def scan_convert(triangles: Float[Tensor, "f 3 2"], size: int) -> Scan:
    """Triangles in 0…1 over ``size`` squared texels; what lies on a common edge belongs to both."""
    corners = triangles * size - 0.5  # centers are whole numbers
    order = corners[..., 1:].argsort(1).expand(-1, -1, 2)
    # From above to below, so that neighbors reckon with their common edge alike and leave no gap.
    top, middle, bottom = corners.gather(1, order).unbind(1)
    face, row = _between(top[:, 1], bottom[:, 1], size)
    top, middle, bottom = top[face], middle[face], bottom[face]
    lower = row >= middle[:, 1]
    start, end = (torch.where(lower[:, None], *pair) for pair in ((middle, top), (bottom, middle)))
    ends = torch.stack([_crossing(top, bottom, row), _crossing(start, end, row)])
    span, column = _between(ends.amin(0), ends.amax(0), size)
    face, row = face[span], row[span]
    a, b, c = corners[face].unbind(1)
    to_b, to_c, to_point = b - a, c - a, torch.stack([column, row], -1) - a
    area = _cross(to_b, to_c)
    area = torch.where(area == 0, torch.inf, area)
    second = (_cross(to_point, to_c) / area).clamp(0, 1)
    third = (_cross(to_b, to_point) / area).clamp(0, 1).minimum(1 - second)
    return Scan(row * size + column, face, torch.stack([1 - second - third, second, third], -1))


def _between(low: Float[Tensor, "s"], high: Float[Tensor, "s"], size: int) -> tuple[Int[Tensor, "q"], Int[Tensor, "q"]]:
    """All whole numbers from each of ``low`` to its ``high`` within 0 … size-1, after the number of that pair."""
    first, last = low.ceil().clamp_min(0).long(), high.floor().clamp_max(size - 1).long()
    count = (last - first + 1).clamp_min(0)
    pair = torch.repeat_interleave(count)
    offset = first - (count.cumsum(0) - count)
    return pair, torch.arange(len(pair), device=low.device) + offset[pair]


def _crossing(start: Float[Tensor, "s 2"], end: Float[Tensor, "s 2"], row: Int[Tensor, "s"]) -> Float[Tensor, "s"]:
    """Crossings of descending edges with the rows."""
    (x0, y0), (x1, y1) = start.unbind(1), end.unbind(1)
    return x0 + (row - y0) / (y1 - y0).clamp_min(1e-12) * (x1 - x0)


def _cross(a: Float[Tensor, "q 2"], b: Float[Tensor, "q 2"]) -> Float[Tensor, "q"]:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
