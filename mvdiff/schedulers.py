"""Solvers of the flow from noise to views, by the names of the settings.

A pipeline of its own takes any flow-matching scheduler of diffusers.
"""

from diffusers import FlowMatchEulerDiscreteScheduler, SchedulerMixin, UniPCMultistepScheduler

from mvdiff.pipelines.sampling_config import SamplingConfig, SchedulerName

#: How far noise levels are moved towards noise, where the object is decided (Esser et al. 2024).
_SHIFT = 3.0


def make_scheduler(name: SchedulerName = SamplingConfig.scheduler) -> SchedulerMixin:
    if name == "unipc":
        return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=_SHIFT)
    return FlowMatchEulerDiscreteScheduler(shift=_SHIFT)
