"""Settings of one scene's generation. Free of torch, so that the command line's help stays fast."""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from recon.core.errors import InputError

ScenePreset = Literal["fast", "default"]

#: Narrowest and widest lens, in degrees, that the scene network was trained with, with some slack.
FOV_RANGE = (25.0, 110.0)


@dataclass(frozen=True, kw_only=True)
class SceneGenerationConfig:
    num_hypotheses: int = 4
    """Number of scenes to sample."""
    stations: int = 0
    """Further places, 0 to 3, from which more views of each scene are sampled. Not calibrated."""
    seed: int = 0
    """Seed of the run. Hypothesis k has a seed of its own that does not depend on the number of hypotheses."""
    fov: float | None = None
    """Horizontal field of view of the whole photo in degrees; from its EXIF data by default. Where it has none, each
    hypothesis draws the field of view of the photo's middle square from 62 ± 6 degrees."""
    pitch: float | None = None
    """Pitch of the photo's camera in degrees, positive upwards; by default each hypothesis draws it from -3 ± 4."""
    roll: float | None = None
    """Roll of the photo's camera in degrees, positive clockwise; by default each hypothesis draws it from 0 ± 1."""
    camera_height: float | None = None
    """Height of the photo's camera above the floor in meters, which sets the scale; by default each hypothesis draws
    it from 1.5 m within 12 %."""
    num_inference_steps: int = 6
    """Denoising steps of the photo's geometry and what surrounds it."""
    station_steps: int = 4
    """Denoising steps of views of which a part is known: what surrounds the photo, once its geometry is known, and
    every further place."""
    guidance_scale: float = 1.0
    """Scale of classifier-free guidance; 1 is none."""
    preset: ScenePreset = "default"
    """Detail of meshes, panoramas and videos: "fast" or "default"."""

    @staticmethod
    def from_manifest(values: dict[str, Any]) -> "SceneGenerationConfig":
        return SceneGenerationConfig(**values)

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        for name, low, high in (
            ("num_hypotheses", 1, 1024),
            ("stations", 0, 3),
            ("seed", 0, math.inf),
            ("num_inference_steps", 1, 1000),
            ("station_steps", 1, 1000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                limits = f"{low} or more" if high == math.inf else f"from {low} to {high}"
                raise InputError(f"The {name.replace('_', ' ')} must be {limits}, not {value}.")
        for name, least, most, unit in (
            ("fov", 5.0, 150.0, "degrees"),
            ("pitch", -60.0, 60.0, "degrees"),
            ("roll", -45.0, 45.0, "degrees"),
            ("camera_height", 0.05, 500.0, "meters"),
            ("guidance_scale", 0.0, 20.0, ""),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                label = {"fov": "field of view"}.get(name, name.replace("_", " "))
                raise InputError(
                    f"The {label} lies between {least:g} and {most:g} {unit}".rstrip() + f", not at {value:g}."
                )
        if self.preset not in get_args(ScenePreset):
            raise InputError(f"The preset is one of {', '.join(get_args(ScenePreset))}, not '{self.preset}'.")

    @property
    def record(self) -> dict[str, Any]:
        """All values, as a manifest keeps them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}
