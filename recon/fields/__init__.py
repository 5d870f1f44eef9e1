"""Fields over the cube of an object: what the fit refines."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from recon.core.grid import VoxelGrid
from recon.fields.field import Field


@dataclass(frozen=True)
class FieldConfig:
    """Kind and size of a field."""

    kind: Literal["dense", "hash", "density"] = "dense"
    """dense: a signed-distance grid. hash: finer detail by a multi-resolution hash grid; for GPUs. density: a density
    grid (NeRF) for thin and translucent things."""
    levels: int = 8
    """Resolution levels of the hash grid."""
    table: int = 2**15
    """Entries of each level's hash table."""
    finest: int = 512
    """Cells along each side at the finest level."""


def make_field(config: FieldConfig, initial: Float[Tensor, "n g g g"], grid: VoxelGrid, seed: int = 0) -> Field:
    """A field that starts as the signed distances ``initial``."""
    if config.kind == "hash":
        from recon.fields.hashed import HashField

        return HashField(initial, grid, config.levels, config.table, config.finest, seed)
    if config.kind == "density":
        from recon.fields.density import DensityField

        return DensityField(initial, grid)
    from recon.fields.dense import DenseField

    return DenseField(initial, grid)


__all__ = ["Field", "FieldConfig", "make_field"]
