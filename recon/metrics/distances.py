"""Pairwise distances between hypotheses."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from recon.core.grid import VoxelGrid
from recon.core.mesh import TexturedMesh
from recon.ops.parallel import in_threads

#: Cells: hypotheses farther away from a place than this are counted as this far, as in the saved file.
SPREAD_LIMIT = 8.0


def chamfer_matrix(
    meshes: Sequence[TexturedMesh], fields: Float[Tensor, "n g g g"], grid: VoxelGrid, samples: int
) -> Float[Tensor, "n n"]:
    """Symmetric mean distance between surfaces in world units: points of one in the other's distance field.

    Distances are measured from a surface's own reading of its field, so that equal hypotheses are exactly 0 apart.
    """

    def row(index: int) -> Float[Tensor, "n"]:
        generator = torch.Generator().manual_seed(0)  # the same points on the same mesh, whatever its place in the list
        values = grid.sample(fields, meshes[index].sample_surface(samples, generator))
        return (values - values[index]).abs().mean(-1)

    one_way = torch.stack(in_threads(row, range(len(meshes))))
    return (one_way + one_way.T) / 2


def local_difference_matrix(fields: Float[Tensor, "n g g g"], grid: VoxelGrid) -> Float[Tensor, "n n"]:
    """Cubic mean distance between surfaces in world units, read at the cells that hold them.

    A handle that one of two cups has counts for more here than roughness all over both; in the mean it drowns.
    """
    limit = SPREAD_LIMIT * grid.spacing
    clipped = fields.clamp(-limit, limit)

    def row(index: int) -> Float[Tensor, "n"]:
        surface = fields[index].abs() < grid.spacing
        apart = (clipped[:, surface] - clipped[index, surface]).abs()
        return apart.pow(3).mean(-1).nan_to_num().pow(1 / 3)  # an empty shape has no surface

    one_way = torch.stack(in_threads(row, range(len(fields))))
    return (one_way + one_way.T) / 2


def iou_matrix(inside: Shaped[Tensor, "n *s"], others: Shaped[Tensor, "m *s"] | None = None) -> Float[Tensor, "n m"]:
    """Volume intersection over union of every pair, of one with ``others`` where they are given; two empty shapes
    agree. Volumes are true or 1 inside."""
    flat = inside.flatten(1).float()
    other = flat if others is None else others.flatten(1).float()
    shared = flat @ other.T
    union = flat.sum(1)[:, None] + other.sum(1) - shared
    return torch.where(union > 0, shared / union.clamp_min(1), torch.ones_like(union))


def mean_pair(matrix: Float[Tensor, "n n"], weights: Float[Tensor, "n"]) -> float:
    """Expectation over two independent *different* draws; 0 for a single one."""
    pairs = weights[:, None] * weights[None]
    pairs = pairs - torch.diag(pairs.diagonal())
    total = float(pairs.sum())
    return float((pairs * matrix).sum()) / total if total > 0 else 0.0
