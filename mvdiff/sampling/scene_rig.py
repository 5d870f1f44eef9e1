"""Cameras in scenes: poses by angles, and the sphere of eight views around a place."""

from dataclasses import dataclass

import torch

from recon.core.cameras import Cameras

#: Views of a sphere: six around, up, down; degrees.
SPHERE_VIEWS = 8
_AROUND_FOV, _POLE_FOV = 90.0, 100.0


@dataclass(frozen=True)
class Pose:
    """Pose of one camera: position in the scene, angles and lens in degrees."""

    position: tuple[float, float, float]
    yaw: float
    """0 looks along -Z, 90 along +X."""
    pitch: float
    """Positive looks up."""
    roll: float
    """Positive turns the camera clockwise."""
    fov: float


def cameras_of(poses: list[Pose], size: int) -> Cameras:
    """Square pictures of ``size`` pixels, OpenCV axes."""
    yaw, pitch, roll = (torch.deg2rad(torch.tensor([getattr(p, n) for p in poses], dtype=torch.float64))
                        for n in ("yaw", "pitch", "roll"))  # fmt: skip
    ahead = torch.stack([yaw.sin() * pitch.cos(), pitch.sin(), -yaw.cos() * pitch.cos()], -1)
    level = torch.stack([yaw.cos(), torch.zeros_like(yaw), yaw.sin()], -1)
    under = torch.linalg.cross(ahead, level)
    c, s = roll.cos()[:, None], roll.sin()[:, None]
    c2w = torch.eye(4, dtype=torch.float64).repeat(len(poses), 1, 1)
    position = torch.tensor([p.position for p in poses], dtype=torch.float64)
    c2w[:, :3] = torch.stack([c * level + s * under, c * under - s * level, ahead, position], -1)
    focal = size / 2 / torch.tan(torch.deg2rad(torch.tensor([p.fov for p in poses], dtype=torch.float64)) / 2)
    intrinsics = torch.eye(3, dtype=torch.float64).repeat(len(poses), 1, 1)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = size / 2
    return Cameras(c2w.float(), intrinsics.float(), size, size)


def sphere_rig(position: tuple[float, float, float], yaw: float) -> list[Pose]:
    """Six views around from ``yaw`` on, clockwise from above, then straight up, then straight down."""
    around = [Pose(position, yaw + 60.0 * k, 0.0, 0.0, _AROUND_FOV) for k in range(6)]
    return [*around, Pose(position, yaw, 90.0, 0.0, _POLE_FOV), Pose(position, yaw, -90.0, 0.0, _POLE_FOV)]
