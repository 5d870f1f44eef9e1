"""Distribution of the camera of a photo.

A single photo does not say how it was taken, so a camera is a *draw* from :class:`PhotoCameraDistribution`, one for
each hypothesis, and its spread is part of the uncertainty.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.core.bounding import UNIT_RADIUS
from recon.core.photo_camera import PARAMETERS, PhotoCamera

__all__ = ["PARAMETERS", "RADIUS", "PhotoCamera", "PhotoCameraDistribution"]

RADIUS = UNIT_RADIUS
_DRAWS = 128  # of which one is taken where the likelier are preferred


@dataclass(frozen=True)
class PhotoCameraDistribution:
    """A mixture of axis-aligned Gaussians over :data:`PARAMETERS` (Bishop 1994, mixture density networks)."""

    log_weights: Float[Tensor, "b k"]
    means: Float[Tensor, "b k 4"]
    log_stds: Float[Tensor, "b k 4"]

    @staticmethod
    def mixture(distributions: Sequence["PhotoCameraDistribution"]) -> "PhotoCameraDistribution":
        """All of them, each with the same weight."""
        return PhotoCameraDistribution(
            torch.cat([each.log_weights.log_softmax(-1) for each in distributions], -1),
            torch.cat([each.means for each in distributions], -2),
            torch.cat([each.log_stds for each in distributions], -2),
        )

    def mirrored(self) -> "PhotoCameraDistribution":
        """Parameters of the mirrored photo's camera: left and right are exchanged."""
        sign = [-1.0 if name == "centre_x" else 1.0 for name in PARAMETERS]
        return replace(self, means=self.means * self.means.new_tensor(sign))

    def log_prob(self, parameters: Float[Tensor, "b 4"]) -> Float[Tensor, "b"]:
        return torch.logsumexp(self.log_weights.log_softmax(-1) + self._component_log_prob(parameters).sum(-1), -1)

    def _component_log_prob(self, parameters: Float[Tensor, "b 4"]) -> Float[Tensor, "b k 4"]:
        scaled = (parameters[:, None] - self.means) * torch.exp(-self.log_stds)
        return -0.5 * scaled**2 - self.log_stds - 0.5 * math.log(2 * math.pi)

    def conditioned(
        self, elevation: float | None = None, crop: tuple[float, float, float] | None = None
    ) -> "PhotoCameraDistribution":
        """Given a known elevation (degrees) and/or crop (centre_x, centre_y, log_scale): exact, by Bayes' rule."""
        known = torch.full_like(self.means[:, 0], math.nan)
        if elevation is not None:
            known[:, 0] = math.radians(elevation)
        if crop is not None:
            known[:, 1:] = torch.tensor(crop).to(known)
        given = ~known.isnan()
        evidence = torch.where(given[:, None], self._component_log_prob(known.nan_to_num()), 0.0).sum(-1)
        return PhotoCameraDistribution(
            self.log_weights.log_softmax(-1) + evidence,
            torch.where(given[:, None], known.nan_to_num()[:, None], self.means),
            torch.where(given[:, None], -math.inf, self.log_stds),
        )

    def with_elevation_prior(self, mean: float, std: float) -> "PhotoCameraDistribution":
        """Times a Gaussian over the elevation (degrees): again a mixture of Gaussians, exactly."""
        own, log_std = self.means[..., 0], self.log_stds[..., 0]
        offset, variance, prior = math.radians(mean) - own, (2 * log_std).exp(), math.radians(std) ** 2
        total = variance + prior
        means, log_stds = self.means.clone(), self.log_stds.clone()
        means[..., 0] = own + variance / total * offset
        log_stds[..., 0] = log_std + 0.5 * (prior / total).log()
        log_weights = self.log_weights.log_softmax(-1) - 0.5 * (offset**2 / total + total.log())
        return PhotoCameraDistribution(log_weights, means, log_stds)

    def sample(self, generators: Sequence[torch.Generator | None], temperature: float = 1.0) -> Float[Tensor, "n 4"]:
        """One draw for each generator from the first batch entry.

        Below a ``temperature`` T of 1 from the density to the power 1 / T instead: one of many draws is taken, the
        likelier the rather.
        """
        first = replace(self, **{name: values[:1].cpu() for name, values in vars(self).items()})
        count = 1 if temperature == 1 else _DRAWS
        weights, picked = first.log_weights[0].softmax(-1).double(), []
        # On the processor, and one generator after the other: the same may stand for several draws.
        for own in generators:
            chosen = torch.multinomial(weights, count, replacement=True, generator=own)
            noise = torch.randn(count, len(PARAMETERS), generator=own)
            drawn = first._draws(chosen[None], noise[None])[0].float()
            if count > 1:
                bias = (first._log_density(drawn).double() * (1 / temperature - 1)).softmax(0)
                drawn = drawn[torch.multinomial(bias, 1, generator=own)]
            picked.append(drawn)
        return torch.cat(picked)

    def _log_density(self, parameters: Float[Tensor, "n 4"]) -> Float[Tensor, "n"]:
        """Distribution of the unknown parameters, for the first batch entry."""
        free = self.log_stds[0, 0].isfinite()
        each = torch.where(free, self._component_log_prob(parameters), 0.0).sum(-1)
        return torch.logsumexp(self.log_weights.log_softmax(-1) + each, -1)

    def elevation_draws(self, count: int, generator: torch.Generator) -> Float[Tensor, "b {count}"]:
        """In radians, on the distribution's device."""
        chosen = torch.multinomial(self.log_weights.softmax(-1), count, replacement=True, generator=generator)
        noise = torch.randn(chosen.shape, generator=generator, device=chosen.device)
        return self._draws(chosen, noise[..., None])[..., 0]

    def _draws(self, chosen: Int[Tensor, "b n"], noise: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The first c parameters of draws from the ``chosen`` components; ``noise`` is standard normal."""
        which, count = chosen[..., None].expand_as(noise), noise.shape[-1]
        means, stds = (values[..., :count].gather(1, which) for values in (self.means, self.log_stds.exp()))
        return means + stds * noise

    @property
    def mean(self) -> Float[Tensor, "b 4"]:
        return (self.log_weights.softmax(-1)[..., None] * self.means).sum(1)

    @property
    def std(self) -> Float[Tensor, "b 4"]:
        weights = self.log_weights.softmax(-1)[..., None]
        second = (weights * (self.means**2 + torch.exp(2 * self.log_stds))).sum(1)
        return (second - self.mean**2).clamp_min(0).sqrt()
