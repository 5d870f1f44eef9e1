"""Solvers of the flow from noise to views, by the names of the settings.

A pipeline of its own takes any flow-matching scheduler of diffusers.
"""

import inspect
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from jaxtyping import Num
from torch import Tensor

from mvdiff.sampling.settings import SamplingConfig, SchedulerName


@runtime_checkable
class FlowScheduler(Protocol):
    """A flow-matching scheduler of diffusers, as far as sampling needs one."""

    timesteps: Any
    set_timesteps: Any


def make_scheduler(
    name: SchedulerName = SamplingConfig.scheduler, shift: float = SamplingConfig.shift
) -> FlowScheduler:
    if name == "unipc":
        return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    return FlowMatchEulerDiscreteScheduler(shift=shift)


def set_timesteps(scheduler: FlowScheduler, num_inference_steps: int, device: torch.device) -> Num[Tensor, "t"]:
    """Timesteps from pure noise to the last level above zero, so that the last prediction is the result."""
    if "sigmas" in inspect.signature(scheduler.set_timesteps).parameters:
        sigmas = np.linspace(1.0, 1 / num_inference_steps, num_inference_steps)
        scheduler.set_timesteps(sigmas=sigmas, device=device)
    else:
        scheduler.set_timesteps(num_inference_steps, device=device)
    return scheduler.timesteps
