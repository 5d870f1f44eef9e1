"""One plausible object: a sample of p(shape | photo)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.errors import InputError
from recon.core.grid import VoxelGrid
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.ops.sdf import reinitialize
from recon.ops.voxelize import mesh_distance

#: Half-width in cells of the band in which a hypothesis' SDF is trusted.
_BAND = 2.5


@dataclass(frozen=True)
class Hypothesis:
    """A sampled object in the common frame, with its origin."""

    mesh: TexturedMesh
    sdf: Float[Tensor, "g g g"] | None = None
    """Signed distance, negative inside, indexed x, y, z at the cell centers of the cube [-extent, extent]^3."""
    extent: float = 0.55
    seed: int = 0
    weight: float = 1.0
    """Relative weight, positive; a posterior normalizes it."""
    elevation: float | None = None
    """Elevation of the photo's camera in this hypothesis, in degrees."""
    residual: float | None = None
    """Contradiction of the sampled views: the spread *within* this hypothesis."""
    views: ViewSet | None = None
    """The views it was made from, [1 v]; saved on their own, see :class:`recon.core.views.ViewSet`."""

    def to(self, device: torch.device | str) -> "Hypothesis":
        return replace(
            self,
            mesh=self.mesh.to(device),
            sdf=None if self.sdf is None else self.sdf.to(device),
            views=None if self.views is None else self.views.to(device),
        )


def normalized_weights(hypotheses: Sequence[Hypothesis]) -> Float[Tensor, "n"]:
    """Weights that sum to one.

    Raises:
        InputError: there is none, a weight is not positive, or a mesh has no faces.
    """
    if not hypotheses:
        raise InputError("A posterior needs at least one hypothesis.")
    for index, hypothesis in enumerate(hypotheses):
        if not (math.isfinite(hypothesis.weight) and hypothesis.weight > 0):
            raise InputError(
                f"Hypothesis {index} has weight {hypothesis.weight}: give it a positive one, or leave it out."
            )
        if len(hypothesis.mesh) == 0:
            raise InputError(f"Hypothesis {index} has no faces; leave it out.")
    weights = torch.tensor([h.weight for h in hypotheses], dtype=torch.float64)
    return (weights / weights.sum()).float()


def signed_distance(hypothesis: Hypothesis, grid: VoxelGrid) -> Float[Tensor, "g g g"]:
    """Signed distance on ``grid``, from the SDF if there is one, else from the mesh's winding number."""
    if hypothesis.sdf is None:
        return mesh_distance(hypothesis.mesh, grid)
    source = VoxelGrid(torch.zeros(3), hypothesis.extent, hypothesis.sdf.shape[0])
    return reinitialize(source.sample(hypothesis.sdf[None].float(), grid.points())[0], grid.spacing, _BAND)
