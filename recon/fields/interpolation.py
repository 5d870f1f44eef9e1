"""Trilinear interpolation that is fast forward and backward: on a CPU, where grid_sample in 3D is not, by gathering."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.core.grid import VoxelGrid


def trilinear(
    table: Float[Tensor, "n g g g *c"], points: Float[Tensor, "n p 3"], grid: VoxelGrid
) -> Float[Tensor, "n p *c"]:
    """Values of each table at its own world ``points``; the border continues outwards."""
    if table.is_cuda:
        return _sampled(table, points, grid)
    n, g = table.shape[:2]
    # One axis after the other: every step then runs over memory in order.
    index = grid.indices(points).flatten(0, 1).T.contiguous().clamp(0, g - 1 - 1e-4)
    low = index.detach().floor()
    x, y, z = low.long()
    start = torch.arange(n, device=table.device).repeat_interleave(points.shape[1]) * g**3
    values = _Gathered.apply(table.flatten(0, 3), start + (x * g + y) * g + z, index - low, g)
    return values.unflatten(0, points.shape[:2])


def _sampled(
    table: Float[Tensor, "n g g g *c"], points: Float[Tensor, "n p 3"], grid: VoxelGrid
) -> Float[Tensor, "n p *c"]:
    """By one kernel, where what counts is their number."""
    channels, where = table.reshape(*table.shape[:4], -1).movedim(-1, 1), grid.sampling(points)[:, :, None, None]
    values = torch.nn.functional.grid_sample(channels, where, padding_mode="border", align_corners=False)
    return values[..., 0, 0].movedim(1, -1).reshape(*points.shape[:2], *table.shape[4:])


class _Gathered(torch.autograd.Function):
    """Means of the eight cells from ``base`` on. What autograd would keep of them is gathered again backward."""

    @staticmethod
    def forward(ctx, table: Float[Tensor, "m *c"], base: Int[Tensor, "q"], share: Float[Tensor, "3 q"], size: int):
        ctx.save_for_backward(table, base, share)
        ctx.size = size
        return _mean(_rows(table, base, size), _columns(share, table))

    @staticmethod
    def backward(ctx, gradient: Float[Tensor, "q *c"]):
        table, base, share = ctx.saved_tensors
        shares = _columns(share, table)
        of_table = of_share = None
        if ctx.needs_input_grad[0]:
            of_table = torch.zeros_like(table)
            for step, part in zip(_steps(ctx.size), _split(gradient, shares), strict=True):
                _add(of_table[step:], base, part)
        if ctx.needs_input_grad[2]:
            rows = _rows(table, base, ctx.size)
            slopes = []
            for axis, bit in enumerate((4, 2, 1)):
                near, far = ([row for number, row in enumerate(rows) if bool(number & bit) == side] for side in (0, 1))
                across = [part for other, part in enumerate(shares) if other != axis]
                slope = _mean([b - a for a, b in zip(near, far, strict=True)], across)
                slopes.append((gradient * slope).flatten(1).sum(1) if table.ndim > 1 else gradient * slope)
            of_share = torch.stack(slopes)
        return of_table, None, of_share, None


def _steps(size: int) -> tuple[int, ...]:
    """From a cell to itself and its seven upper neighbors on a cube of ``size``, the last axis changing first."""
    return tuple((i * size + j) * size + k for i in (0, 1) for j in (0, 1) for k in (0, 1))


def _rows(table: Float[Tensor, "m *c"], base: Int[Tensor, "q"], size: int) -> list[Float[Tensor, "q *c"]]:
    return [table[step:].index_select(0, base) for step in _steps(size)]


def _columns(share: Float[Tensor, "3 q"], table: Float[Tensor, "m *c"]) -> list[Float[Tensor, "q *one"]]:
    """Shares of the upper neighbors along x, y and z, to go with rows of ``table``."""
    return [axis.reshape(-1, *(1,) * (table.ndim - 1)) for axis in share]


def _mean(rows: list[Float[Tensor, "q *c"]], shares: list[Float[Tensor, "q *one"]]) -> Float[Tensor, "q *c"]:
    """Rows halved along the last axis until one is left."""
    for share in reversed(shares):
        rows = [torch.lerp(near, far, share) for near, far in zip(rows[::2], rows[1::2], strict=True)]
    return rows[0]


def _split(value: Float[Tensor, "q *c"], shares: list[Float[Tensor, "q *one"]]) -> list[Float[Tensor, "q *c"]]:
    """Transpose of :func:`_mean`: scatter gradients back to the rows."""
    parts = [value]
    for share in shares:
        upper = [part * share for part in parts]
        parts = [half for pair in zip(parts, upper, strict=True) for half in (pair[0] - pair[1], pair[1])]
    return parts


def _add(table: Float[Tensor, "m *c"], row: Int[Tensor, "q"], values: Float[Tensor, "q *c"]) -> None:
    if table.ndim == 1:
        table.scatter_add_(0, row, values)  # faster than index_add_ on a CPU
    else:
        table.index_add_(0, row, values)
