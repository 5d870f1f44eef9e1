"""Denoising loop of Zero123++; every random number comes from the generator of its own hypothesis."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.backbones.zero123.attention import Bank
from mvdiff.backbones.zero123.networks import Networks

Streams = Sequence[torch.Generator]


@dataclass(frozen=True)
class Reference:
    """The photo as the networks see it, for n hypotheses; with guidance, the empty picture's half comes first."""

    embedding: Float[Tensor, "b t e"]
    """b is n, or 2 n with guidance."""
    latents: Float[Tensor, "b c y x"]
    """A draw of each hypothesis from the VAE's posterior, and one of the gray picture's."""
    guidance: float

    @staticmethod
    def encode(networks: Networks, picture: Any, streams: Streams, guidance: float) -> "Reference":
        """Encode an RGB picture; ``guidance`` of 1 or less needs no empty half."""
        pixels = networks.reference_pixels(picture)
        shown = networks.embedding(picture).expand(len(streams), -1, -1)
        latents = _drawn(*networks.posterior(pixels), streams)
        if guidance <= 1:
            return Reference(shown, latents, guidance)
        empty = _drawn(*networks.posterior(torch.zeros_like(pixels)), streams)
        embedding = torch.cat([networks.prompt.expand_as(shown), shown])
        return Reference(embedding, torch.cat([empty, latents]), guidance)


def denoise(
    networks: Networks,
    reference: Reference,
    streams: Streams,
    steps: int,
    size: tuple[int, int],
    control: Float[Tensor, "n 3 h w"] | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Float[Tensor, "n c y x"]:
    """Latents of n sheets.

    Args:
        streams: generator of each hypothesis.
        steps: denoising steps.
        size: height and width of a sheet in pixels.
        control: sheets in [-1, 1] that the ControlNet turns into others.
        on_step: called with the number of finished steps.
    """
    with networks.using(networks.unet, None if control is None else networks.control):
        return _denoised(networks, reference, streams, steps, size, control, on_step)


def _denoised(
    networks: Networks,
    reference: Reference,
    streams: Streams,
    steps: int,
    size: tuple[int, int],
    control: Float[Tensor, "n 3 h w"] | None,
    on_step: Callable[[int], None] | None,
) -> Float[Tensor, "n c y x"]:
    """The loop itself, with its networks on the device."""
    scheduler = copy.deepcopy(networks.scheduler)
    scheduler.set_timesteps(steps, device=networks.device)
    shape = (networks.unet.config.in_channels, *(side // networks.factor for side in size))
    latents = _noise(shape, streams).to(networks.device) * scheduler.init_noise_sigma
    for index, timestep in enumerate(scheduler.timesteps):
        noise = _reference_noise(reference, streams)
        noised = scheduler.add_noise(reference.latents, noise, timestep.reshape(-1))
        noised = scheduler.scale_model_input(noised, timestep)
        state = scheduler.scale_model_input(latents.repeat(len(noised) // len(latents), 1, 1, 1), timestep)
        predicted = _predict(networks, reference, state, noised, timestep, control)
        latents = scheduler.step(predicted, timestep, latents, generator=list(streams)).prev_sample
        if on_step is not None:
            on_step(index + 1)
    return latents


def _predict(
    networks: Networks,
    reference: Reference,
    state: Float[Tensor, "b c h w"],
    noised: Float[Tensor, "b c y x"],
    timestep: Float[Tensor, ""],
    control: Float[Tensor, "n 3 hs ws"] | None,
) -> Float[Tensor, "n c h w"]:
    """One guided prediction: the reference is read first, then the sheet attends to its tokens."""
    dtype, bank, embedding = networks.dtype, Bank(), reference.embedding
    networks.unet(noised.to(dtype), timestep, embedding, cross_attention_kwargs={"bank": bank})
    state = state.to(dtype)
    residuals = {} if control is None else _residuals(networks, state, timestep, embedding, control)
    reading = {"bank": bank, "reading": True}
    predicted = networks.unet(state, timestep, embedding, cross_attention_kwargs=reading, **residuals).sample.float()
    if reference.guidance <= 1:
        return predicted
    empty, shown = predicted.chunk(2)
    return empty + reference.guidance * (shown - empty)


def _residuals(
    networks: Networks,
    state: Float[Tensor, "b c h w"],
    timestep: Float[Tensor, ""],
    embedding: Float[Tensor, "b t e"],
    control: Float[Tensor, "n 3 hs ws"],
) -> dict[str, Any]:
    """Residuals of the ControlNet for the UNet's down and middle blocks."""
    assert networks.control is not None
    sheets = control.repeat(len(state) // len(control), 1, 1, 1).to(state)
    down, middle = networks.control(state, timestep, embedding, sheets, return_dict=False)
    return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}


def _noise(shape: tuple[int, ...], streams: Streams) -> Float[Tensor, "n *shape"]:
    return torch.stack([torch.randn(shape, generator=own) for own in streams])


def _drawn(mean: Float[Tensor, "1 c y x"], std: Float[Tensor, "1 c y x"], streams: Streams) -> Float[Tensor, "n c y x"]:
    return mean + std * _noise(tuple(mean.shape[1:]), streams).to(mean)


def _reference_noise(reference: Reference, streams: Streams) -> Float[Tensor, "b c y x"]:
    """Fresh noise of each step for the latents of the reference, the empty half's first."""
    halves = len(reference.latents) // len(streams)
    shape = tuple(reference.latents.shape[1:])
    return torch.cat([_noise(shape, streams) for _ in range(halves)]).to(reference.latents)
