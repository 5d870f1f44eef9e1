"""Denoising loop of MV-Adapter; every random number comes from the generator of its own hypothesis."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.backbones.mvadapter.attention import Bank
from mvdiff.backbones.mvadapter.networks import Networks

Streams = Sequence[torch.Generator]


def denoise(
    networks: Networks,
    picture: Float[Tensor, "1 3 h w"],
    control: Float[Tensor, "v 6 h w"],
    streams: Streams,
    steps: int,
    guidance: float,
    on_step: Callable[[int], None] | None = None,
) -> Float[Tensor, "n v c y x"]:
    """Latents of v views of n objects.

    Args:
        networks: the model.
        picture: the photo in [-1, 1], over gray.
        control: the cameras, see :func:`mvdiff.backbones.mvadapter.views.control_images`.
        streams: generator of each hypothesis.
        steps: denoising steps.
        guidance: scale of classifier-free guidance; none at 1 or less.
        on_step: called with the number of finished steps.
    """
    n, v, size, guided = len(streams), len(control), control.shape[-1], guidance > 1
    scheduler = copy.deepcopy(networks.scheduler)
    scheduler.set_timesteps(steps, device=networks.device)
    side = size // networks.factor
    latents = _noise((v, networks.unet.config.in_channels, side, side), streams).flatten(0, 1).to(networks.device)
    latents = latents * scheduler.init_noise_sigma
    reference, features = _reference(networks, picture, streams), networks.camera_features(control, n * (1 + guided))
    with networks.using(networks.unet):
        bank = networks.bank(reference, size)
        return _denoised(networks, latents, bank, features, scheduler, guidance, v, size, on_step).unflatten(0, (n, v))


def _denoised(
    networks: Networks,
    latents: Float[Tensor, "b c y x"],
    bank: Bank,
    features: list[Tensor],
    scheduler: Any,
    guidance: float,
    v: int,
    size: int,
    on_step: Callable[[int], None] | None,
) -> Float[Tensor, "b c y x"]:
    """The loop itself, with its UNet on the device."""
    guided = guidance > 1
    if guided:
        bank = {name: torch.cat([torch.zeros_like(tokens), tokens]) for name, tokens in bank.items()}
    given = networks.conditions(len(latents), size, guided) | {"cross_attention_kwargs": {"bank": bank, "num_views": v}}
    for index, timestep in enumerate(scheduler.timesteps):
        state = scheduler.scale_model_input(torch.cat([latents] * (1 + guided)), timestep).to(networks.dtype)
        predicted = _predict(networks, state, timestep, given, features, guidance)
        latents = scheduler.step(predicted, timestep, latents, return_dict=False)[0]
        if on_step is not None:
            on_step(index + 1)
    return latents


def _predict(
    networks: Networks,
    state: Float[Tensor, "b c y x"],
    timestep: Float[Tensor, ""],
    given: dict[str, Any],
    features: list[Tensor],
    guidance: float,
) -> Float[Tensor, "m c y x"]:
    """One guided prediction of the noise."""
    # The UNet empties the list that it gets.
    residuals = {"down_intrablock_additional_residuals": list(features)}
    predicted = networks.unet(state, timestep, **given, **residuals, return_dict=False)[0].float()
    if guidance <= 1:
        return predicted
    negative, positive = predicted.chunk(2)
    return negative + guidance * (positive - negative)


def _reference(networks: Networks, picture: Float[Tensor, "1 3 h w"], streams: Streams) -> Float[Tensor, "n c y x"]:
    """One draw of each hypothesis from the VAE's posterior of the photo."""
    mean, std = networks.posterior(picture)
    return mean + std * _noise(tuple(mean.shape[1:]), streams).to(mean)


def _noise(shape: tuple[int, ...], streams: Streams) -> Float[Tensor, "n *shape"]:
    return torch.stack([torch.randn(shape, generator=own) for own in streams])
