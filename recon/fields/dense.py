"""A grid of signed distances; only the cells near the first surface are free."""

import torch
from jaxtyping import Float
from torch import Tensor

from recon.fields.field import numerical_gradient
from recon.fields.interpolation import trilinear
from recon.grid import VoxelGrid
from recon.ragged import marked
from recon.rendering.volume import neus_alpha


class DenseField(torch.nn.Module):
    def __init__(self, initial: Float[Tensor, "n g g g"], grid: VoxelGrid) -> None:
        super().__init__()
        self.grid = grid
        self.initial = initial.detach()
        flat = self.initial.flatten(1)
        # Saturated cells say only on which side they are: a few per cent of all need optimiser state.
        free = flat.abs() < 0.98 * flat.abs().amax(1, keepdim=True)
        self.cells, self.used = marked(free)
        self.correction = torch.nn.Parameter(torch.zeros(self.cells.shape, device=initial.device))

    def values(self) -> Float[Tensor, "n g g g"]:
        flat = self.initial.flatten(1).scatter_add(1, self.cells, self.correction * self.used)
        return flat.reshape(self.initial.shape)

    def evaluate(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p"]:
        return trilinear(self.values(), points, self.grid)

    def gradient(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p 3"]:
        return numerical_gradient(self, points, 0.75 * self.grid.spacing)

    def opacity(
        self, distance: Float[Tensor, "n r s"], t: Float[Tensor, "n r s"], sharpness: float
    ) -> Float[Tensor, "n r t"]:
        return neus_alpha(distance, sharpness)

    def distances(self, grid: VoxelGrid) -> Float[Tensor, "n g g g"]:
        values = self.values().detach()
        if grid.resolution == self.grid.resolution and grid.extent == self.grid.extent:
            return values
        from recon.fields.field import evaluated_on

        return evaluated_on(self, grid, len(values))
