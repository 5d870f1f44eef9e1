"""A density grid, as NeRF's: thin and translucent things need not have a surface."""

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.grid import VoxelGrid
from recon.fields.dense import DenseField
from recon.fields.opacity import density_alpha

#: Density deep inside, per world unit: opaque within a hundredth of the object.
_SOLID = 400.0


class DensityField(DenseField):
    """Every cell's density is free; it is kept as the distance that a logistic density (VolSDF, Yariv et al. 2021) of
    one cell's width would have there, so that the level of half the density is the surface."""

    def __init__(self, initial: Float[Tensor, "n g g g"], grid: VoxelGrid) -> None:
        super().__init__(initial, grid)
        self.width = 0.5 * grid.spacing

    def density(self, distance: Float[Tensor, "*p"]) -> Float[Tensor, "*p"]:
        """Per world unit."""
        return _SOLID * torch.sigmoid(-distance / self.width)

    def opacity(
        self, distance: Float[Tensor, "n r s"], t: Float[Tensor, "n r s"], sharpness: float | Float[Tensor, ""]
    ) -> Float[Tensor, "n r t"]:
        """``sharpness`` is the density's own: it is ignored."""
        return density_alpha(self.density(distance), t)
