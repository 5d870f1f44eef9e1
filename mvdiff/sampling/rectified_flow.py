"""Euler integration of rectified flows (Liu et al. 2023; Lipman et al. 2023) with classifier-free guidance."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.sampling.sampler import OnStep
from recon.core.errors import InputError

#: Velocity towards the noise at ``times`` [n] in [0, 1] (1: noise): with the condition, or without it.
Velocity = Callable[[Float[Tensor, "n ..."], Float[Tensor, "n"], bool], Float[Tensor, "n ..."]]


@dataclass(frozen=True)
class FlowSettings:
    """Steps and guidance of a rectified flow."""

    steps: int = 25
    """Number of Euler steps."""
    guidance: float = 6.0
    """Guidance scale; 1 is none."""
    interval: tuple[float, float] = (0.0, 1.0)
    """Times between which guidance acts (Kynkäänniemi et al. 2024)."""
    shift: float = 1.0
    """Factor of the odds t / (1 - t) of the times: above 1 more steps are near the noise (Esser et al. 2024)."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if self.steps < 1:
            raise InputError(f"The number of steps is at least 1, not {self.steps}.")
        if not self.guidance >= 1:
            raise InputError(f"The guidance scale is at least 1, not {self.guidance}.")

    def times(self) -> list[float]:
        """From 1 to 0, one more than there are steps."""
        even = [1 - i / self.steps for i in range(self.steps + 1)]
        return [self.shift * t / (1 + (self.shift - 1) * t) for t in even]


def integrate(
    velocity: Velocity, noise: Float[Tensor, "n ..."], settings: FlowSettings, on_step: OnStep | None = None
) -> Float[Tensor, "n ..."]:
    """Samples from ``noise``; object k depends on its own noise only."""
    x, times = noise, settings.times()
    low, high = settings.interval
    for step, (time, following) in enumerate(itertools.pairwise(times)):
        at = x.new_full((len(x),), time, dtype=torch.float32)
        direction = velocity(x, at, True)
        if settings.guidance != 1 and low <= time <= high:
            free = velocity(x, at, False)
            direction = free + settings.guidance * (direction - free)
        x = x + (following - time) * direction
        if on_step is not None:
            on_step(step + 1)
    return x


def draw_noise(generators: Sequence[torch.Generator], shape: tuple[int, ...]) -> Float[Tensor, "n ..."]:
    """Normal noise on the CPU, each object's from its own generator."""
    return torch.stack([torch.randn(shape, generator=each) for each in generators])
