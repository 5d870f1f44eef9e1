"""Noise levels of groups of views: known channels are clean, the others noisy."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.training.scenes.batch import SceneBatch
from mvdiff.training.scenes.config import SceneLossConfig
from mvdiff.training.scenes.groups import Task


@dataclass(frozen=True)
class SceneLevels:
    """Noise levels of colors, and of alpha, normals and depth; and which of them are to be learned."""

    level: Float[Tensor, "b v 2"]
    learned: Bool[Tensor, "b v 2"]
    dropped: Bool[Tensor, "b"]
    """Groups whose photo is hidden."""

    @staticmethod
    def of(batch: SceneBatch, generator: torch.Generator, config: SceneLossConfig) -> "SceneLevels":
        b, v = batch.views.shape[:2]
        device = batch.views.device

        def rand(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=device)

        sigma = _logit_normal(batch, torch.randn(b, generator=generator, device=device), config)
        level = sigma[:, None, None].expand(b, v, 2).clone()
        learned = torch.ones(b, v, 2, dtype=torch.bool, device=device)
        dropped = rand(b) < config.drop_photo
        first = torch.arange(v, device=device) == 0
        # Colors that are known: the photo's, all of a panorama or video, the second photo's.
        shown = first | (batch.task == Task.KNOWN_RGB)[:, None]
        shown = shown | ((batch.task == Task.TWO_PHOTOS)[:, None] & (torch.arange(v, device=device) == 1))
        level[..., 0] = torch.where(shown, 0.0, level[..., 0])
        level[..., 0] = torch.where(first & dropped[:, None], 1.0, level[..., 0])
        learned[..., 0] &= ~shown
        # Views of a station that are known, and the photo's geometry there.
        memory = (-3 + 1.5 * torch.randn(b, generator=generator, device=device)).exp().clamp_max(config.memory_most)
        memory = torch.where(rand(b) < config.memory_exact, 0.0, memory)[:, None, None]
        given = torch.arange(v, device=device) <= batch.given[:, None]
        given = given & (batch.task == Task.STATION)[:, None]
        both = torch.stack([given & ~first, given], -1)
        return SceneLevels(torch.where(both, memory, level), learned & ~both, dropped)


def _logit_normal(batch: SceneBatch, normal: Float[Tensor, "b"], config: SceneLossConfig) -> Float[Tensor, "b"]:
    """Shifted logit-normal levels, apart for stations and the rest."""
    station = batch.task == Task.STATION
    sigma = torch.sigmoid(normal * torch.where(station, config.station_std, config.sphere_std))
    shift = torch.where(station, config.station_shift, config.sphere_shift)
    return shift * sigma / (1 + (shift - 1) * sigma)
