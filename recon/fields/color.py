"""Colour beside a field: where the views' colors of one place agree, a surface is likely."""

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.grid import VoxelGrid
from recon.fields.interpolation import trilinear


class ColorGrid(torch.nn.Module):
    """sRGB of each of ``n`` hypotheses on a cube of cells."""

    def __init__(self, initial: Float[Tensor, "n g g g 3"], grid: VoxelGrid) -> None:
        super().__init__()
        self.grid = grid
        self.color = torch.nn.Parameter(initial.detach().clone())

    def evaluate(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p 3"]:
        return trilinear(self.color, points, self.grid)
