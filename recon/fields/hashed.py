"""A multi-resolution hash grid (Mueller et al. 2022) with a small network, for detail finer than a cell."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.core.grid import VoxelGrid
from recon.fields.field import evaluated_on, numerical_gradient
from recon.fields.interpolation import trilinear
from recon.fields.opacity import neus_alpha

_PRIMES = (1, 2654435761, 805459861)
_FEATURES, _HIDDEN = 2, 32


class HashField(torch.nn.Module):
    """The first field plus a correction of at most one of its cells' size; all hypotheses in batched products."""

    def __init__(
        self, initial: Float[Tensor, "n g g g"], grid: VoxelGrid, levels: int, table: int, finest: int, seed: int = 0
    ) -> None:
        super().__init__()
        self.grid, self.initial = grid, initial.detach()
        coarsest = min(16, finest)
        growth = (finest / coarsest) ** (1 / max(1, levels - 1))
        self.sizes = [round(coarsest * growth**level) for level in range(levels)]
        n, generator = len(initial), torch.Generator().manual_seed(seed)

        def drawn(*shape: int, scale: float) -> torch.nn.Parameter:
            # The same for every hypothesis: none depends on how many there are.
            values = (torch.rand(1, *shape, generator=generator) * 2 - 1) * scale
            return torch.nn.Parameter(values.to(initial.device).expand(n, *shape).clone())

        width = levels * _FEATURES
        self.tables = drawn(levels, table, _FEATURES, scale=1e-2)
        self.hidden = drawn(width, _HIDDEN, scale=(6 / width) ** 0.5)
        # Zero at first: the field starts as the closed form.
        self.output = torch.nn.Parameter(torch.zeros(n, _HIDDEN, 1, device=initial.device))

    def evaluate(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p"]:
        features = torch.cat([self._features(points, level) for level in range(len(self.sizes))], -1)
        correction = torch.relu(features @ self.hidden) @ self.output
        return trilinear(self.initial, points, self.grid) + self.grid.spacing * correction[..., 0]

    def _features(self, points: Float[Tensor, "n p 3"], level: int) -> Float[Tensor, "n p c"]:
        size, tables = self.sizes[level], self.tables[:, level]
        index = ((points - self.grid.center) / self.grid.extent * 0.5 + 0.5).clamp(0, 1) * (size - 1)
        low = index.floor()
        fraction = index - low
        total = 0
        for corner in range(8):
            step = torch.tensor([(corner >> axis) & 1 for axis in range(3)], device=points.device)
            weight = torch.where(step.bool(), fraction, 1 - fraction).prod(-1, keepdim=True)
            entry = self._entry(low.long() + step, size, tables.shape[1])
            total = total + weight * tables.gather(1, entry[..., None].expand(-1, -1, _FEATURES))
        return total

    @staticmethod
    def _entry(cell: Int[Tensor, "n p 3"], size: int, table: int) -> Int[Tensor, "n p"]:
        x, y, z = cell.unbind(-1)
        if (size + 1) ** 3 <= table:
            return (x * (size + 1) + y) * (size + 1) + z
        return (x * _PRIMES[0] ^ y * _PRIMES[1] ^ z * _PRIMES[2]) % table

    def gradient(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p 3"]:
        return numerical_gradient(self, points, 0.5 * self.grid.spacing)

    def opacity(
        self, distance: Float[Tensor, "n r s"], t: Float[Tensor, "n r s"], sharpness: float | Float[Tensor, ""]
    ) -> Float[Tensor, "n r t"]:
        return neus_alpha(distance, sharpness)

    def distances(self, grid: VoxelGrid) -> Float[Tensor, "n g g g"]:
        return evaluated_on(self, grid, len(self.initial))
