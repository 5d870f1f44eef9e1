"""Solvers of the flow from noise to views, by the names of the settings.

A pipeline of its own takes any flow-matching scheduler of diffusers.
"""

from diffusers import FlowMatchEulerDiscreteScheduler, SchedulerMixin, UniPCMultistepScheduler

from mvdiff.sampling.settings import SamplingConfig, SchedulerName


def make_scheduler(
    name: SchedulerName = SamplingConfig.scheduler, shift: float = SamplingConfig.shift
) -> SchedulerMixin:
    if name == "unipc":
        return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    return FlowMatchEulerDiscreteScheduler(shift=shift)
