"""Weighted signed-distance fields on one grid, and the statistics that need nothing else."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.grid import VoxelGrid, inside_volume
from recon.core.mesh import TexturedMesh
from recon.metrics.distances import SPREAD_LIMIT, iou_matrix, local_difference_matrix, mean_pair
from recon.posterior.convergence import Convergence, convergence
from recon.posterior.intervals import deviation, outward_offsets, weighted_median


@dataclass(frozen=True)
class WeightedFields:
    """Signed distances of ``n`` shapes with weights that sum to one; axes x, y, z, world units."""

    weights: Float[Tensor, "n"]
    """Share of each hypothesis; they sum to one."""
    fields: Float[Tensor, "n g g g"]
    """Signed distances, negative inside."""
    grid: VoxelGrid

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def effective_size(self) -> float:
        """Kish's effective number of hypotheses, 1 / sum of squared weights."""
        return float(1 / (self.weights**2).sum())

    @cached_property
    def voted(self) -> Float[Tensor, "g g g"]:
        """Share of the weight whose shapes hold each cell's center inside."""
        return torch.einsum("n,n...->...", self.weights, (self.fields < 0).float()).clamp(0, 1)

    @cached_property
    def location(self) -> Float[Tensor, "g g g"]:
        """Weighted median of the signed distances."""
        return weighted_median(self.fields, self.weights)

    @cached_property
    def spread(self) -> Float[Tensor, "g g g"]:
        """Weighted standard deviation of the signed distances; 0 for one shape."""
        return deviation(self.limited, self.weights)

    def local(self, points: Float[Tensor, "p 3"]) -> tuple[Float[Tensor, "p"], Float[Tensor, "p"]]:
        """``location`` and ``spread`` at world points, without the volumes."""
        values, limit = self.grid.sample(self.fields, points), SPREAD_LIMIT * self.grid.spacing
        return weighted_median(values, self.weights), deviation(values.clamp(-limit, limit), self.weights)

    def offsets(self, mesh: TexturedMesh, own: Float[Tensor, "g g g"]) -> tuple[Float[Tensor, "k"], Float[Tensor, "k"]]:
        """Median and standard deviation of the shapes' distances from the vertices of ``mesh``, positive outwards.

        ``own`` is the field whose zero level ``mesh`` is.
        """
        outwards = self.limited_offsets(mesh, own)
        return weighted_median(outwards, self.weights), deviation(outwards, self.weights)

    def limited_offsets(self, mesh: TexturedMesh, own: Float[Tensor, "g g g"]) -> Float[Tensor, "n k"]:
        """Distances of every shape's surface from the vertices of ``mesh``, at most ``SPREAD_LIMIT`` cells each."""
        limit = SPREAD_LIMIT * self.grid.spacing
        return outward_offsets(mesh, own.clamp(-limit, limit), self.limited, self.grid)

    @cached_property
    def limited(self) -> Float[Tensor, "n g g g"]:
        """The fields, at most ``SPREAD_LIMIT`` cells from zero."""
        limit = SPREAD_LIMIT * self.grid.spacing
        return self.fields.clamp(-limit, limit)

    @cached_property
    def volumes(self) -> Float[Tensor, "n"]:
        """Volume of each shape in cubic world units."""
        return inside_volume(self.fields < 0, self.grid)

    @cached_property
    def ambiguity(self) -> float:
        """Expected 1 - IoU of the volumes of two different shapes drawn by weight.

        0 if all are the same solid, 1 if no two overlap.
        """
        return min(max(mean_pair(1 - iou_matrix(self.fields < 0), self.weights), 0.0), 1.0)

    def ambiguous_volume(self, low: float = 0.05, high: float = 0.95) -> float:
        """Volume of the cells that more than ``low`` and less than ``high`` of the weight holds inside.

        Cubic world units. It counts votes, not calibrated probability: 0 if all shapes are the same.
        """
        return float(inside_volume((self.voted > low) & (self.voted < high), self.grid))

    @cached_property
    def local_differences(self) -> Float[Tensor, "n n"]:
        """Pairwise distances by which modes are found, in world units."""
        return local_difference_matrix(self.fields, self.grid)

    @cached_property
    def convergence(self) -> tuple[Convergence, ...]:
        """Standard errors after two, three, ... shapes; empty for one."""
        return convergence(self.fields < 0)
