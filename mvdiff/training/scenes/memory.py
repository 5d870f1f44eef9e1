"""Known views of stations: true ones or the network's own, given and warped with the faults that sampling has."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.models.encoding import SceneCode
from mvdiff.models.scene_pass import denoise_scene, per_channel
from mvdiff.models.transformer import MultiViewTransformer
from mvdiff.training.scenes.batch import SceneBatch
from mvdiff.training.scenes.config import WarpAugmentConfig
from recon.rendering.warp import forward_warp

#: Trust in sampled views, beside 1 of the photo.
SAMPLED_TRUST = 0.5


@dataclass(frozen=True)
class Memory:
    """The photo and other known views of ``k`` stations, as the code of scenes has them."""

    sources: Float[Tensor, "k m 8 h w"]

    @staticmethod
    def of(batch: SceneBatch) -> "Memory":
        """The true views, and the photo as it was taken."""
        sources = batch.sources.clone()
        sources[:, 0, :3] = batch.photo[batch.stations]
        return Memory(torch.where(batch.alone, sources[:, :1], sources))

    @torch.no_grad()
    def predicted(
        self, transformer: MultiViewTransformer, batch: SceneBatch, generator: torch.Generator, share: float
    ) -> "Memory":
        """A share of the stations' views as the network sees them behind noise of a level of at most .5, in one step.

        The photo keeps its colors. A known view is replaced whether it is given or warped alone.
        """
        count = int(share * len(self.sources))
        if not count:
            return self
        clean, photo = self.sources[:count], self.sources[:count, 0, :3]
        level = 0.5 * torch.rand(count, 1, 1, generator=generator, device=clean.device)
        level = level.repeat(1, clean.shape[1], 2)
        level[:, 0, 0] = 0
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        noisy = torch.lerp(clean, noise, per_channel(level))
        nobody = torch.zeros(count, dtype=torch.bool, device=clean.device)
        seen = denoise_scene(transformer, noisy, level, batch.source_cameras[:count], photo, nobody).clamp(-1, 1)
        seen[:, 0, :3] = photo
        seen = torch.where(batch.alone[:count], seen[:, :1], seen)
        return Memory(torch.cat([seen, self.sources[count:]]))

    def into(self, batch: SceneBatch) -> Float[Tensor, "b v 8 h w"]:
        """The views of the batch with the photo as it was taken and known views as they are remembered."""
        views = batch.views.clone()
        views[:, 0, :3] = batch.photo
        stations, m = batch.stations, self.sources.shape[1]
        slots = torch.arange(m, device=views.device)
        known = (slots <= batch.given[stations, None])[:, :, None, None, None]
        views[stations, :m] = torch.where(known, self.sources, views[stations, :m])
        return views

    def warped(
        self, batch: SceneBatch, generator: torch.Generator, config: WarpAugmentConfig
    ) -> Float[Tensor, "k v 6 h w"]:
        """Condition pictures of the stations' unknown views."""
        device = self.sources.device

        def rand(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=device)

        with torch.autocast(device.type, enabled=False):  # places need all their bits
            code = SceneCode()
            views = code.decode(self.sources, batch.source_cameras)
            k, m = self.sources.shape[:2]
            scale = 1 + config.depth_scale * torch.randn(k, m, 1, 1, 1, generator=generator, device=device)
            scale[:, 0] = 1.0  # the photo's depth is the unit
            scale = torch.where(batch.alone, 1.0, scale)
            trust = torch.full((k, m), SAMPLED_TRUST, device=device)
            trust[:, 0] = 1.0
            targets = batch.cameras[batch.stations]
            warped = forward_warp(replace(views, depth=views.depth * scale), targets, trust)
            condition = code.condition(warped)
        condition = _shifted(condition, rand(k) < config.shift, generator)
        condition = torch.where(_where(rand(k) < config.erode), condition * _eroded(condition[:, :, 4:5]), condition)
        v = targets.shape[1]
        unknown = torch.arange(v, device=device) > batch.given[batch.stations, None]
        shown = unknown & ~(rand(k) < config.drop)[:, None]
        return condition * shown[:, :, None, None, None]


def _where(rows: Tensor) -> Tensor:
    return rows[:, None, None, None, None]


def _shifted(pictures: Float[Tensor, "k v c h w"], rows: Tensor, generator: torch.Generator) -> Tensor:
    """Those of ``rows`` a pixel to the side or up or down."""
    choice = torch.randint(4, (), generator=torch.Generator().manual_seed(generator.initial_seed()))
    step, dim = ((1, -1), (-1, -1), (1, -2), (-1, -2))[int(choice)]
    return torch.where(_where(rows), torch.roll(pictures, step, dim), pictures)


def _eroded(valid: Float[Tensor, "k v 1 h w"]) -> Float[Tensor, "k v 1 h w"]:
    """1 where all of a pixel's surroundings are valid."""
    holes = torch.nn.functional.max_pool2d(1 - valid.flatten(0, 1), 3, stride=1, padding=1)
    return 1 - holes.unflatten(0, valid.shape[:2])
