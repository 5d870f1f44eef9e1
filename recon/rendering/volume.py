"""Volume rendering of fields along rays: one function, in pure torch or by nerfacc."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.fields.field import Field
from recon.ops.ragged import padded_nonzero

Backend = Literal["torch", "nerfacc"]
#: Distance of samples that are skipped as empty.
_EMPTY = 1.0


@dataclass(frozen=True)
class Rendered:
    """Renderings of ``r`` rays for each of ``n`` hypotheses."""

    weights: Float[Tensor, "n r t"]
    """Weights of the intervals between neighboring samples."""
    opacity: Float[Tensor, "n r"]
    distance: Float[Tensor, "n r"]
    """Mean along the ray over what it meets."""


def render_rays(
    field: Field,
    origin: Float[Tensor, "n r 3"],
    direction: Float[Tensor, "n r 3"],
    t: Float[Tensor, "n r s"],
    sharpness: float | Float[Tensor, ""],
    backend: Backend = "torch",
    occupied: Bool[Tensor, "n r s"] | None = None,
) -> Rendered:
    """``field`` along rays, at rising distances ``t``.

    Samples that are not ``occupied`` count as empty and are not evaluated. The back ends give the same numbers;
    nerfacc's kernels work on the occupied intervals alone where there is CUDA.
    """
    points = origin[:, :, None] + direction[:, :, None] * t[..., None]
    if occupied is None:
        distance = field.evaluate(points.flatten(1, 2)).reshape(t.shape)
    else:
        distance = _evaluated_where(field, points, occupied)
    alpha = field.opacity(distance, t, sharpness)
    met = None
    if occupied is not None:
        met = occupied[..., :-1] & occupied[..., 1:]
        alpha = alpha * met
    weights = ray_weights(alpha, backend, met)
    opacity = weights.sum(-1)
    mean = (weights * (t[..., 1:] + t[..., :-1]) / 2).sum(-1) / opacity.clamp_min(1e-3)
    return Rendered(weights, opacity, mean)


def _evaluated_where(
    field: Field, points: Float[Tensor, "n r s 3"], occupied: Bool[Tensor, "n r s"]
) -> Float[Tensor, "n r s"]:
    """``field`` at the occupied points, each hypothesis padded to the longest list."""
    flat, wanted = points.flatten(1, 2), occupied.flatten(1)
    chosen, used = padded_nonzero(wanted)
    values = field.evaluate(flat.gather(1, chosen[..., None].expand(-1, -1, 3)))
    # Fillers add nothing to the first place.
    added = torch.where(used, values - _EMPTY, 0.0)
    return values.new_full(wanted.shape, _EMPTY).scatter_add(1, chosen, added).reshape(occupied.shape)


def ray_weights(
    alpha: Float[Tensor, "*r t"], backend: Backend = "torch", met: Bool[Tensor, "*r t"] | None = None
) -> Float[Tensor, "*r t"]:
    """Contribution of each interval to its ray: opacity times transmittance."""
    if backend == "torch":
        # As a sum of logarithms, whose way back needs no look at the values as that of a product does.
        behind = torch.log1p(-alpha[..., :-1].clamp_max(1 - 1e-6)).cumsum(-1).exp()
        return alpha * torch.cat([torch.ones_like(alpha[..., :1]), behind], -1)
    import nerfacc

    rays = alpha.reshape(-1, alpha.shape[-1])
    if not alpha.is_cuda or met is None:  # nerfacc's packed kernels need CUDA
        return nerfacc.render_weight_from_alpha(rays)[0].reshape(alpha.shape)
    ray, interval = met.reshape(rays.shape).nonzero(as_tuple=True)
    packed, _ = nerfacc.render_weight_from_alpha(rays[ray, interval], ray_indices=ray, n_rays=len(rays))
    return torch.zeros_like(rays).index_put((ray, interval), packed).reshape(alpha.shape)
