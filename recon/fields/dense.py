"""A grid of signed distances; only the cells near the first surface are free."""

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.grid import VoxelGrid
from recon.fields.field import numerical_gradient
from recon.fields.interpolation import trilinear
from recon.fields.opacity import neus_alpha
from recon.ops.ragged import padded_nonzero


class DenseField(torch.nn.Module):
    def __init__(self, initial: Float[Tensor, "n g g g"], grid: VoxelGrid) -> None:
        super().__init__()
        self.grid = grid
        self.initial = initial.detach()
        flat = self.initial.flatten(1)
        # Saturated cells say only on which side they are: a few per cent of all need optimizer state.
        free = flat.abs() < 0.98 * flat.abs().amax(1, keepdim=True)
        self.cells, self.used = padded_nonzero(free)
        self.correction = torch.nn.Parameter(torch.zeros(self.cells.shape, device=initial.device))
        self._made: tuple[tuple[int, torch.device, bool, bool], Tensor] | None = None

    def values(self) -> Float[Tensor, "n g g g"]:
        """Put together once for all that is asked between two steps of an optimizer; a recording holds its own."""
        recording = self.correction.is_cuda and torch.cuda.is_current_stream_capturing()
        state = self.correction._version, self.correction.device, recording, torch.is_grad_enabled()
        if self._made is None or self._made[0] != state:
            self._made = state, _Placed.apply(self.correction, self.initial, self.cells, self.used)
        return self._made[1]

    def evaluate(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p"]:
        return trilinear(self.values(), points, self.grid)

    def gradient(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p 3"]:
        return numerical_gradient(self, points, 0.75 * self.grid.spacing)

    def opacity(
        self, distance: Float[Tensor, "n r s"], t: Float[Tensor, "n r s"], sharpness: float | Float[Tensor, ""]
    ) -> Float[Tensor, "n r t"]:
        return neus_alpha(distance, sharpness)

    def distances(self, grid: VoxelGrid) -> Float[Tensor, "n g g g"]:
        values = self.values().detach()
        if grid.resolution == self.grid.resolution and grid.extent == self.grid.extent:
            return values
        from recon.fields.field import evaluated_on

        return evaluated_on(self, grid, len(values))


class _Placed(torch.autograd.Function):
    """Corrections added to their cells. What it needs backward stays: many losses may go through one result."""

    @staticmethod
    def forward(ctx, correction, initial, cells, used):
        ctx.cells, ctx.used = cells, used
        return initial.flatten(1).scatter_add(1, cells, correction * used).reshape(initial.shape)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.flatten(1).gather(1, ctx.cells) * ctx.used, None, None, None
