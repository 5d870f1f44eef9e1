"""Poses of a mesh before the camera of a photo: which axis of its file points up, and where the photo was taken."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.conventions import world_rotation
from recon.core.photo_camera import PhotoCamera

FrameChoice = Literal["auto", "y-up", "z-up", "photo"]
#: Worlds in which meshes come, the usual ones first.
WORLDS = ("y_up", "z_up", "y_down", "z_down", "x_up", "x_down")
#: Prior probability of a world that programs rarely write, relative to the usual two.
_RARE = 0.05


@dataclass(frozen=True)
class Poses:
    """Poses [c] of one mesh that is centered and has radius 0.5."""

    world: Int[Tensor, "c"]
    """Index into :data:`WORLDS`."""
    camera: PhotoCamera
    """The photo's camera [c] around the mesh turned upright."""

    def __len__(self) -> int:
        return len(self.world)

    def __getitem__(self, index: slice | list[int] | Tensor) -> "Poses":
        return Poses(self.world[index], self.camera[index])

    @staticmethod
    def cat(poses: Sequence["Poses"]) -> "Poses":
        return Poses(torch.cat([p.world for p in poses]), PhotoCamera.cat([p.camera for p in poses]))

    @property
    def parameters(self) -> Float[Tensor, "c 6"]:
        """Azimuth and elevation in radians, center x and y, log scale, log distance."""
        camera = self.camera
        return torch.cat([camera.azimuth.deg2rad()[:, None], camera.parameters, camera.distance.log()[:, None]], -1)

    def moved(self, parameters: Float[Tensor, "c 6"]) -> "Poses":
        """The same worlds with other parameters."""
        camera = PhotoCamera.from_parameters(
            parameters[:, 1:5], parameters[:, 5].exp(), parameters[:, 0].rad2deg().remainder(360)
        )
        return Poses(self.world, camera)

    @property
    def upright(self) -> Float[Tensor, "c 3 3"]:
        """Rotations that turn the mesh of a file upright."""
        return world_rotations()[self.world]

    def cameras(self, size: int) -> Cameras:
        """Cameras [c] of the square photo in the mesh's own world."""
        cameras = self.camera.cameras(size)
        back = torch.zeros(len(self), 4, 4)
        back[:, :3, :3], back[:, 3, 3] = self.upright.mT, 1.0
        return Cameras(back @ cameras.c2w, cameras.intrinsics, size, size)

    @property
    def rotations(self) -> Float[Tensor, "c 3 3"]:
        """Rotations from the mesh's own axes to the camera's."""
        return self.cameras(1).c2w[:, :3, :3].mT

    @property
    def log_prior(self) -> Float[Tensor, "c"]:
        """Log prior probability of the world, up to a constant."""
        return torch.where(self.world < 2, 0.0, math.log(_RARE))


def world_rotations() -> Float[Tensor, "w 3 3"]:
    return torch.stack([world_rotation(name)[:3, :3] for name in WORLDS])


def angles_between(first: Float[Tensor, "a 3 3"], second: Float[Tensor, "b 3 3"]) -> Float[Tensor, "a b"]:
    """Angles in degrees of the rotations that carry one orientation into the other."""
    # From the Frobenius norm, which is exact for small angles: |A - B| = 2 sqrt(2) sin(angle / 2).
    chord = torch.cdist(first.flatten(1).double(), second.flatten(1).double())
    return (2 * (chord / math.sqrt(8)).clamp(0, 1).asin()).rad2deg().float()
