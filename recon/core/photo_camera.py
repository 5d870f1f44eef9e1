"""The camera of a photo that was cropped to a square around its object: an orbit camera plus the crop."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.bounding import UNIT_RADIUS
from recon.core.cameras import DEFAULT_DISTANCE, Cameras

#: Order of the numbers that :meth:`PhotoCamera.from_parameters` takes.
PARAMETERS = ("elevation", "centre_x", "centre_y", "log_scale")


@dataclass(frozen=True)
class PhotoCamera:
    """Cameras aimed at the world's origin whose pictures were cropped to a square around the object."""

    elevation: Float[Tensor, "*n"]
    """Degrees above the horizon."""
    centre_x: Float[Tensor, "*n"]
    """Projection of the world's origin in the crop, -1 (left) to 1 (right)."""
    centre_y: Float[Tensor, "*n"]
    """The same from -1 (top) to 1 (bottom)."""
    log_scale: Float[Tensor, "*n"]
    """Log of the bounding sphere's projected radius, focal * radius / distance, in half widths of the crop."""
    distance: Float[Tensor, "*n"]
    """From the origin, in world units: how strong the perspective is."""
    azimuth: Float[Tensor, "*n"]
    """Degrees; 0 for the photo that defines the frame."""

    @staticmethod
    def from_parameters(
        parameters: Float[Tensor, "*n 4"],
        distance: Float[Tensor, "*#n"] | float = DEFAULT_DISTANCE,
        azimuth: Float[Tensor, "*#n"] | float = 0.0,
    ) -> "PhotoCamera":
        """From (elevation in radians, centre_x, centre_y, log_scale), see :data:`PARAMETERS`."""
        elevation, centre_x, centre_y, log_scale = parameters.unbind(-1)
        spread = [torch.as_tensor(value, dtype=elevation.dtype).to(elevation.device) for value in (distance, azimuth)]
        distance, azimuth = (value.expand_as(elevation) for value in spread)
        return PhotoCamera(torch.rad2deg(elevation), centre_x, centre_y, log_scale, distance, azimuth)

    @property
    def parameters(self) -> Float[Tensor, "*n 4"]:
        return torch.stack([torch.deg2rad(self.elevation), self.centre_x, self.centre_y, self.log_scale], -1)

    def __len__(self) -> int:
        return len(self.elevation)

    def __getitem__(self, index: slice | list[int] | Tensor) -> "PhotoCamera":
        return PhotoCamera(**{name: value[index] for name, value in vars(self).items()})

    @staticmethod
    def cat(cameras: Sequence["PhotoCamera"]) -> "PhotoCamera":
        """One after the other."""
        return PhotoCamera(**{name: torch.cat([vars(each)[name] for each in cameras]) for name in vars(cameras[0])})

    def to(self, device: torch.device | str) -> "PhotoCamera":
        return PhotoCamera(**{name: value.to(device) for name, value in vars(self).items()})

    def cameras(self, size: int) -> Cameras:
        """Cameras [n] of the ``size`` x ``size`` crop."""
        cameras = Cameras.orbit(self.azimuth, self.elevation, self.distance, size=size)
        focal = self.log_scale.exp() * self.distance / UNIT_RADIUS * (size / 2)
        intrinsics = torch.zeros(*focal.shape, 3, 3, dtype=focal.dtype, device=focal.device)
        intrinsics[..., 0, 0] = focal
        intrinsics[..., 1, 1] = focal
        intrinsics[..., 0, 2] = (self.centre_x + 1) * (size / 2)
        intrinsics[..., 1, 2] = (self.centre_y + 1) * (size / 2)
        intrinsics[..., 2, 2] = 1.0
        return replace(cameras, intrinsics=intrinsics)
