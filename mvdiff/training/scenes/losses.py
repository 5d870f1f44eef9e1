"""The objective of scenes: flow matching on x-predictions with a noise level for each view and channel group."""

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.models.encoding import CONDITION_CHANNELS, GROUPS
from mvdiff.models.flow import MIN_SIGMA
from mvdiff.models.scene_pass import denoise_scene, per_channel
from mvdiff.models.transformer import MultiViewTransformer
from mvdiff.training.scenes.batch import SceneBatch
from mvdiff.training.scenes.config import SceneLossConfig
from mvdiff.training.scenes.memory import Memory
from mvdiff.training.scenes.noise import SceneLevels


def scene_loss(
    transformer: MultiViewTransformer, batch: SceneBatch, generator: torch.Generator, config: SceneLossConfig
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """Loss and its detached parts; all randomness comes from ``generator``."""
    levels = SceneLevels.of(batch, generator, config)
    memory = Memory.of(batch)
    if transformer.training:
        memory = memory.predicted(transformer, batch, generator, config.self_augment)
    shown = memory.into(batch)
    noise = torch.randn(shown.shape, generator=generator, device=shown.device)
    noisy = torch.lerp(shown, noise, per_channel(levels.level))
    condition = None
    if transformer.config.condition_channels:
        condition = shown.new_zeros(*shown.shape[:2], CONDITION_CHANNELS, *shown.shape[-2:])
        condition[batch.stations] = memory.warped(batch, generator, config.warp)
    prediction = denoise_scene(transformer, noisy, levels.level, batch.cameras, batch.photo, levels.dropped, condition)
    return flow_loss(prediction, batch.views, levels, config)


def flow_loss(
    prediction: Float[Tensor, "b v 8 h w"],
    clean: Float[Tensor, "b v 8 h w"],
    levels: SceneLevels,
    config: SceneLossConfig,
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """Squared error of the velocity, that of x over the squared level; what is known counts nothing."""
    error = (prediction - clean).square()
    sky = (clean[:, :, 3] < 0).float()
    depth = error[:, :, 7] * (1 - (1 - config.sky_depth_weight) * sky)
    means = {
        "color": error[:, :, :3].sum(2).mean((-1, -2)),
        "alpha": error[:, :, 3].mean((-1, -2)),
        "normal": error[:, :, 4:7].sum(2).mean((-1, -2)),
        "depth": depth.mean((-1, -2)),
    }
    weight = levels.learned / levels.level.clamp_min(MIN_SIGMA).square()  # [b v 2]
    geometry = config.alpha_weight * means["alpha"] + config.normal_weight * means["normal"]
    geometry = geometry + config.depth_weight * means["depth"]
    per_view = (means["color"] * weight[..., 0] + geometry * weight[..., 1]) / sum(GROUPS)
    loss = per_view.sum() / levels.learned.any(-1).sum().clamp_min(1)
    counted = levels.learned.float()
    parts = {
        name: (value * counted[..., int(name != "color")]).sum() / counted[..., int(name != "color")].sum().clamp_min(1)
        for name, value in means.items()
    }
    return loss, {name: value.detach() for name, value in ({"loss": loss, "flow": loss} | parts).items()}
