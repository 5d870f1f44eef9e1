"""Trilinear interpolation that is fast forward and backward on a CPU, where grid_sample in 3D is not."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.grid import VoxelGrid


def trilinear(
    table: Float[Tensor, "n g g g *c"], points: Float[Tensor, "n p 3"], grid: VoxelGrid
) -> Float[Tensor, "n p *c"]:
    """Values of each table at its own world ``points``; the border continues outwards."""
    n, g = table.shape[:2]
    cell, weight = corners(grid.indices(points), g)
    start = torch.arange(n, device=table.device)[:, None, None] * g**3
    flat = table.reshape(n * g**3, *table.shape[4:])
    return _Gathered.apply(flat, cell + start, weight)


def corners(index: Float[Tensor, "*p 3"], size: int) -> tuple[Int[Tensor, "*p 8"], Float[Tensor, "*p 8"]]:
    """Numbers and weights of the eight cells around each ``index`` (in cells) of a cube of ``size``."""
    index = index.clamp(0, size - 1 - 1e-4)
    low = index.detach().floor()
    high_weight = index - low
    x, y, z = low.long().unbind(-1)
    base = (x * size + y) * size + z
    cell = torch.stack([base + (i * size + j) * size + k for i in (0, 1) for j in (0, 1) for k in (0, 1)], -1)
    (x0, y0, z0), (x1, y1, z1) = (1 - high_weight).unbind(-1), high_weight.unbind(-1)
    xy = (x0 * y0, x0 * y1, x1 * y0, x1 * y1)
    weight = torch.stack([w * z for w in xy for z in (z0, z1)], -1)
    return cell, weight


class _Gathered(torch.autograd.Function):
    """Weighted sums of rows of a table. One scatter-add backward instead of autograd's eight."""

    @staticmethod
    def forward(ctx, table, cell, weight):
        ctx.save_for_backward(table, cell, weight)
        if table.ndim == 1:
            return (table[cell] * weight).sum(-1)
        return (table[cell] * weight[..., None]).sum(-2)

    @staticmethod
    def backward(ctx, gradient):
        table, cell, weight = ctx.saved_tensors
        of_table = of_weight = None
        if ctx.needs_input_grad[0]:
            values = gradient[..., None] * weight if table.ndim == 1 else gradient[..., None, :] * weight[..., None]
            of_table = torch.zeros_like(table).index_add_(0, cell.flatten(), values.reshape(-1, *table.shape[1:]))
        if ctx.needs_input_grad[2]:
            rows = table[cell]
            of_weight = gradient[..., None] * rows if table.ndim == 1 else (gradient[..., None, :] * rows).sum(-1)
        return of_table, None, of_weight
