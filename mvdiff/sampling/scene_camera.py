"""Camera of a scene's photo: what the user and the file say, and a prior for the rest.

There is no estimator yet: angles and lenses that nobody states are drawn, and each hypothesis has its own.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch

from mvdiff.sampling.scene_rig import Pose, cameras_of, sphere_rig
from mvdiff.sampling.scene_settings import FOV_RANGE, SceneGenerationConfig
from recon.core.cameras import Cameras

#: Means and standard deviations of the prior; degrees, meters, and the logarithm's spread of the height.
FOV_PRIOR, PITCH_PRIOR, ROLL_PRIOR = (62.0, 6.0), (-3.0, 4.0), (0.0, 1.0)
HEIGHT_PRIOR = (1.5, 0.12)
_PRIOR_FOVS = (45.0, 80.0)


@dataclass(frozen=True)
class SceneCamera:
    """Camera of the photo's middle square, at the origin of the scene's world."""

    fov: float
    """Field of view of the square in degrees."""
    pitch: float
    """Degrees above the horizon."""
    roll: float
    """Degrees, positive clockwise."""
    height: float
    """Meters above the floor."""

    @staticmethod
    def draw(config: SceneGenerationConfig, fov: float | None, generator: torch.Generator) -> "SceneCamera":
        """Draw what is not known.

        Args:
            config: Settings, of which stated angles and heights are taken.
            fov: Field of view of the photo's square in degrees, where it is known.
            generator: Of this hypothesis. Stated values change no other draw.
        """
        noise = torch.randn(4, generator=generator, dtype=torch.float64).clamp(-2.5, 2.5).tolist()
        lens, pitch, roll = (
            mean + spread * z for (mean, spread), z in zip((FOV_PRIOR, PITCH_PRIOR, ROLL_PRIOR), noise, strict=False)
        )
        height = HEIGHT_PRIOR[0] * math.exp(HEIGHT_PRIOR[1] * noise[3])
        return SceneCamera(
            fov=min(max(lens, _PRIOR_FOVS[0]), _PRIOR_FOVS[1])
            if fov is None
            else min(max(fov, FOV_RANGE[0]), FOV_RANGE[1]),
            pitch=pitch if config.pitch is None else config.pitch,
            roll=roll if config.roll is None else config.roll,
            height=height if config.camera_height is None else config.camera_height,
        )

    def cameras(self, size: int) -> Cameras:
        """The camera [1] for pictures of ``size`` x ``size`` pixels."""
        return cameras_of([Pose((0.0, 0.0, 0.0), 0.0, self.pitch, self.roll, self.fov)], size)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def sphere_cameras(size: int, position: tuple[float, float, float] = (0.0, 0.0, 0.0), yaw: float = 0.0) -> Cameras:
    """Eight cameras [8] that see everything around ``position``: six around from ``yaw`` on, one up, one down."""
    return cameras_of(sphere_rig(position, yaw), size)
