"""How different the hypotheses are from each other."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.grid import VoxelGrid
from recon.mesh import TexturedMesh


def chamfer_matrix(
    meshes: Sequence[TexturedMesh], fields: Float[Tensor, "n g g g"], grid: VoxelGrid, samples: int
) -> Float[Tensor, "n n"]:
    """Symmetric mean distance between surfaces in world units: points of one in the other's distance field.

    Distances are measured from a surface's own reading of its field, so that equal hypotheses are exactly 0 apart.
    """
    rows = []
    for index, mesh in enumerate(meshes):
        generator = torch.Generator().manual_seed(0)  # the same points on the same mesh, whatever its place in the list
        values = grid.sample(fields, mesh.sample_surface(samples, generator))
        rows.append((values - values[index]).abs().mean(-1))
    one_way = torch.stack(rows)
    return (one_way + one_way.T) / 2


def iou_matrix(inside: Bool[Tensor, "n g g g"]) -> Float[Tensor, "n n"]:
    """Volume intersection over union of every pair; two empty shapes agree."""
    flat = inside.flatten(1).float()
    shared = flat @ flat.T
    volume = shared.diagonal()
    union = volume[:, None] + volume[None] - shared
    return torch.where(union > 0, shared / union.clamp_min(1), torch.ones_like(union))


def mean_pair(matrix: Float[Tensor, "n n"], weights: Float[Tensor, "n"]) -> float:
    """Expectation over two independent *different* draws; 0 for a single one."""
    pairs = weights[:, None] * weights[None]
    pairs = pairs - torch.diag(pairs.diagonal())
    total = float(pairs.sum())
    return float((pairs * matrix).sum()) / total if total > 0 else 0.0
