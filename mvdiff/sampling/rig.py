"""Camera rigs of the sampled views."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import DEFAULT_DISTANCE, DEFAULT_FOV, Cameras


@dataclass(frozen=True)
class RigConfig:
    """Target cameras around the object, in the photo's frame (azimuth 0 is the photo's own direction)."""

    azimuths: tuple[float, ...] = (30.0, 90.0, 150.0, 210.0, 270.0, 330.0)
    elevations: tuple[float, ...] = (20.0, -10.0, 20.0, -10.0, 20.0, -10.0)
    """Absolute, in degrees."""
    photo_view: bool = True
    """Also sample the view from the photo's own direction, first: pixel-aligned albedo and geometry of what is seen."""
    distance: float = DEFAULT_DISTANCE
    fov: float = DEFAULT_FOV
    size: int = 128

    def __post_init__(self) -> None:
        if len(self.azimuths) != len(self.elevations):
            raise ValueError(f"A rig needs one elevation for each azimuth, got {self.elevations} for {self.azimuths}.")

    @property
    def num_views(self) -> int:
        return len(self.azimuths) + self.photo_view

    def cameras(self, photo_elevation: Float[Tensor, "n"]) -> Cameras:
        """Cameras [n v]; only the photo's own view differs between hypotheses."""
        n = len(photo_elevation)
        azimuth = torch.tensor(self.azimuths).expand(n, -1)
        elevation = torch.tensor(self.elevations).expand(n, -1)
        if self.photo_view:
            azimuth = torch.cat([torch.zeros(n, 1), azimuth], 1)
            elevation = torch.cat([photo_elevation[:, None].float().cpu(), elevation], 1)
        return Cameras.orbit(azimuth, elevation, self.distance, fov=self.fov, size=self.size)


DEFAULT_RIG = RigConfig()
