"""How views are sampled, wherever they are. Free of torch, so that the command line's help stays fast."""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from recon.core.errors import InputError

SchedulerName = Literal["euler", "unipc"]

#: What records mean that were written before a setting was there to record.
UNRECORDED = {"camera_temperature": 1.0, "candidates": 1, "elevation_prior": None, "scheduler": "euler", "shift": 3.0}


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Hypotheses of other values are others: a calibration belongs to all of these."""

    num_inference_steps: int = 6
    """Denoising steps."""
    scheduler: SchedulerName = "unipc"
    """How a step is taken: straight on, or with what earlier steps say of the bend (UniPC, Zhao et al. 2023)."""
    shift: float = 8.0
    """How far noise levels are moved towards noise, where the object is decided (Esser et al. 2024); 1: evenly."""
    guidance_scale: float = 3.0
    """How hard the photo is followed; 1 is what the model knows. The scale it has learnt (mvdiff info) costs least."""
    candidates: int = 2
    """How many objects each hypothesis draws, to keep the one whose views contradict each other least."""
    elevation_prior: tuple[float, float] | None = (15.0, 20.0)
    """What is known of the photo's elevation before it is looked at: mean and standard deviation in degrees. The
    default is how people photograph objects that stand before them; None believes the model alone."""
    camera_temperature: float = 1.0
    """1 draws each hypothesis' photo camera from all that the model thinks possible; less prefers the likelier ones,
    which makes better single objects that say less of how uncertain the elevation is."""

    @property
    def sampling(self) -> dict[str, Any]:
        """The fields of this class alone, of a class that adds others."""
        return {each.name: getattr(self, each.name) for each in fields(SamplingConfig)}

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if self.num_inference_steps < 1:
            raise InputError(f"The number of inference steps is at least 1, not {self.num_inference_steps}.")
        if self.scheduler not in get_args(SchedulerName):
            names = ", ".join(get_args(SchedulerName))
            raise InputError(f"The scheduler is one of {names}, not '{self.scheduler}'.")
        if not 0 < self.shift < math.inf:
            raise InputError(f"The shift is a positive number, not {self.shift}.")
        if not math.isfinite(self.guidance_scale) or self.guidance_scale < 0:
            raise InputError(f"The guidance scale is 0 or a positive number, not {self.guidance_scale}.")
        if not 0 < self.camera_temperature <= 1:
            raise InputError(f"The camera temperature is above 0 and at most 1, not {self.camera_temperature}.")
        if self.candidates < 1:
            raise InputError(f"The number of candidates is at least 1, not {self.candidates}.")
        if self.elevation_prior is not None:
            mean, std = self.elevation_prior
            if not -90 <= mean <= 90 or not 0 < std < math.inf:
                raise InputError(
                    "The elevation prior is a mean between -90 and 90 degrees and a standard deviation above 0, "
                    f"not {mean} and {std}."
                )
