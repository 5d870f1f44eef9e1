"""One plausible object: a sample of p(shape | photo)."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet


@dataclass(frozen=True)
class Hypothesis:
    """A sampled object in the common frame, with what is known about how it came to be."""

    mesh: TexturedMesh
    sdf: Float[Tensor, "g g g"] | None = None
    """Signed distance, negative inside, indexed x, y, z at the cell centres of the cube [-extent, extent]^3."""
    extent: float = 0.55
    seed: int = 0
    weight: float = 1.0
    """Unnormalised; positive."""
    elevation: float | None = None
    """Of the photo's camera in this hypothesis, in degrees."""
    residual: float | None = None
    """How much the sampled views contradict each other: the spread *within* this hypothesis."""
    views: ViewSet | None = None
    """The views it was made from, [1 v]; saved on their own, see :class:`recon.core.views.ViewSet`."""

    def save(self, path: str | Path) -> Path:
        """Write all but ``views`` as one ``.npz``."""
        from recon.posterior.storage import save_hypothesis

        return save_hypothesis(self, Path(path))

    @staticmethod
    def load(path: str | Path) -> "Hypothesis":
        """Read what :meth:`save` wrote."""
        from recon.posterior.storage import load_hypothesis

        return load_hypothesis(Path(path))

    def to(self, device: torch.device | str) -> "Hypothesis":
        return replace(
            self,
            mesh=self.mesh.to(device),
            sdf=None if self.sdf is None else self.sdf.to(device),
            views=None if self.views is None else self.views.to(device),
        )
