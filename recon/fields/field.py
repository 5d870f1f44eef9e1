"""Protocol of neural fields."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.grid import VoxelGrid


@runtime_checkable
class Field(Protocol):
    """One scalar field for each of ``n`` hypotheses; any ``torch.nn.Module`` with these methods will do."""

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Parameters to optimize."""

    def evaluate(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p"]:
        """Signed distance at world ``points``, negative inside; every hypothesis at its own points."""

    def gradient(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p 3"]:
        """Spatial gradient of :meth:`evaluate`; differentiable in the parameters."""

    def opacity(
        self, distance: Float[Tensor, "n r s"], t: Float[Tensor, "n r s"], sharpness: float | Float[Tensor, ""]
    ) -> Float[Tensor, "n r t"]:
        """Opacity of each interval between neighboring samples, whose ``distance`` :meth:`evaluate` gave."""

    def distances(self, grid: VoxelGrid) -> Float[Tensor, "n g g g"]:
        """Signed distances at the cell centers of ``grid``, detached."""


def numerical_gradient(field: Field, points: Float[Tensor, "n p 3"], step: float) -> Float[Tensor, "n p 3"]:
    """By differences over ``step``: what the mesh will show, and smoother than the slope inside one cell."""
    # Corners of a tetrahedron, made where the points are: four values give a gradient.
    offsets = torch.cat([points.new_ones(1, 3), 2 * torch.eye(3, dtype=points.dtype, device=points.device) - 1])
    around = points[:, :, None] + offsets * step
    values = field.evaluate(around.flatten(1, 2)).unflatten(1, around.shape[1:3])
    return values @ offsets / (4 * step)


def evaluated_on(field: Field, grid: VoxelGrid, count: int, chunk: int = 2**18) -> Float[Tensor, "n g g g"]:
    """All ``count`` hypotheses at the cell centers of ``grid``."""
    with torch.no_grad():
        parts = [field.evaluate(part.expand(count, -1, 3)) for part in grid.points().reshape(-1, 3).split(chunk)]
    return torch.cat(parts, 1).reshape(count, *(grid.resolution,) * 3)
