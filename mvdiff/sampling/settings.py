"""Settings of view sampling. Free of torch, so that the command line's help stays fast."""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from recon.core.errors import InputError

SchedulerName = Literal["euler", "unipc"]

#: Values of settings that records of earlier versions do not name.
UNRECORDED = {"camera_temperature": 1.0, "candidates": 1, "elevation_prior": None, "scheduler": "euler", "shift": 3.0}

#: Names in records of earlier versions, and the fields' names today.
RENAMED = {
    "emptiness": "free_space_weight",
    "grazing": "grazing_power",
    "fading": "behind_surface_decay",
    "stay_weight": "anchor_weight",
}


def check_count(noun: str, value: int, most: int) -> None:
    """Raise :class:`InputError` unless ``value`` is from 1 to ``most``."""
    if value < 1:
        raise InputError(f"The number of {noun} is at least 1, not {value}.")
    if value > most:
        raise InputError(f"The number of {noun} is at most {most:,}, not {value}.")


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Every field changes the sampled distribution; a calibration is valid only for these exact values."""

    num_inference_steps: int = 6
    """Denoising steps."""
    scheduler: SchedulerName = "unipc"
    """ODE solver: "euler" (first order) or "unipc" (multistep, Zhao et al. 2023)."""
    shift: float = 8.0
    """Timestep shift towards high noise, where the shape is decided (Esser et al. 2024); 1 spaces steps evenly."""
    guidance_scale: float = 3.0
    """Scale of classifier-free guidance; 1 is none. The distilled scale (see mvdiff info) takes one pass per step."""
    candidates: int = 2
    """Candidates per hypothesis, of which the one with the best cross-view consistency is kept."""
    elevation_prior: tuple[float, float] | None = (15.0, 20.0)
    """Gaussian prior of the photo's elevation: mean and standard deviation in degrees. The default suits photos of
    objects on a table; None uses the estimator alone."""
    camera_temperature: float = 1.0
    """Temperature of the camera distribution. Below 1 favors likely cameras: better individual meshes, less
    diversity."""

    @property
    def sampling(self) -> dict[str, Any]:
        """Values of this class' own fields, without those of subclasses."""
        return {each.name: getattr(self, each.name) for each in fields(SamplingConfig)}

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        check_count("inference steps", self.num_inference_steps, 1000)
        if self.scheduler not in get_args(SchedulerName):
            names = ", ".join(get_args(SchedulerName))
            raise InputError(f"The scheduler is one of {names}, not '{self.scheduler}'.")
        if not 0 < self.shift < math.inf:
            raise InputError(f"The shift is a positive number, not {self.shift}.")
        if not math.isfinite(self.guidance_scale) or self.guidance_scale < 0:
            raise InputError(f"The guidance scale is 0 or a positive number, not {self.guidance_scale}.")
        if not 0 < self.camera_temperature <= 1:
            raise InputError(f"The camera temperature is above 0 and at most 1, not {self.camera_temperature}.")
        check_count("candidates", self.candidates, 64)
        if self.elevation_prior is not None:
            mean, std = self.elevation_prior
            if not -90 <= mean <= 90 or not 0 < std < math.inf:
                raise InputError(
                    "The elevation prior is a mean between -90 and 90 degrees and a standard deviation above 0, "
                    f"not {mean} and {std}."
                )
