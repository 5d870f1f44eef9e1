"""Decomposition of the uncertainty by source and by side of the object."""

import math
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.rendering.visibility import sees

_SIZE = 256
_TOLERANCE = 0.01
_FEWEST = 4
INCONSISTENCY = "inconsistency"


@dataclass(frozen=True)
class Decomposition:
    """World units but for the shares; None where it is unknown."""

    between: float
    """Root mean square deviation of the hypotheses' surfaces from their mean: what the photo leaves open."""
    within: float | None
    """Mean contradiction of the views that a hypothesis was made from: what the model does not keep consistent."""
    elevation_share: float | None
    """Share of ``between`` squared explained by the drawn elevation of the photo's camera (law of total variance,
    linear, adjusted for chance)."""

    def to_dict(self) -> dict:
        return {name: None if value is None else round(value, 5) for name, value in asdict(self).items()}


def decompose(
    outwards: Float[Tensor, "n k"],
    weights: Float[Tensor, "n"],
    elevations: Float[Tensor, "n"],
    residuals: Float[Tensor, "n"],
    mesh: TexturedMesh,
) -> Decomposition:
    """``outwards``: where the hypotheses' surfaces lie from the vertices of ``mesh``."""
    freedom = 1 - float((weights.double() ** 2).sum())
    mean = torch.einsum("n,nk->k", weights, outwards)
    centered = outwards - mean
    total = float(torch.einsum("n,nk->", weights, centered**2)) / max(outwards.shape[1], 1)
    variance = total / freedom if freedom > 1e-6 else 0.0
    within = mesh.attributes.get(INCONSISTENCY)
    known = residuals[~residuals.isnan()]
    return Decomposition(
        between=math.sqrt(variance),
        within=float(within.mean()) if within is not None else float(known.mean()) if len(known) else None,
        elevation_share=_explained(centered, weights, elevations, total),
    )


def _explained(
    centered: Float[Tensor, "n k"], weights: Float[Tensor, "n"], elevations: Float[Tensor, "n"], total: float
) -> float | None:
    count = len(weights)
    if count < _FEWEST or bool(elevations.isnan().any()) or total == 0:
        return None
    offset = elevations - (weights * elevations).sum()
    spread = float((weights * offset**2).sum())
    if spread < 1e-6:  # given, not drawn
        return 0.0
    slope = torch.einsum("n,nk->k", weights * offset, centered) / spread
    share = spread * float((slope**2).mean()) / total
    # Any other number would explain 1 / (n - 1) of the variance by chance.
    return min(max(1 - (1 - share) * (count - 1) / (count - 2), 0.0), 1.0)


def seen_by_photo(mesh: TexturedMesh, elevation: float) -> Bool[Tensor, "k"]:
    """Mask of the vertices that a photo from azimuth 0 shows; the default lens stands in for the photo's own."""
    camera = Cameras.orbit([0.0], elevation, size=_SIZE)
    return sees(mesh, camera, mesh.vertices, _TOLERANCE)[0]


def by_side(values: Float[Tensor, "k"], seen: Bool[Tensor, "k"]) -> dict[str, float | None]:
    """Mean on the side that the photo shows, on the other, and the share of the latter."""
    return {
        "seen": float(values[seen].mean()) if bool(seen.any()) else None,
        "unseen": float(values[~seen].mean()) if bool((~seen).any()) else None,
        "unseen_share": float((~seen).float().mean()) if len(seen) else None,
    }
