"""Cameras as the network was taught them: +Z up, the front at +X, OpenGL axes, twice this package's size."""

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.conventions import camera_to_opencv, world_rotation

#: Size of the network's world in this package's units. The bounding sphere of radius 0.5 then just touches the planes,
#: which end at 1; the published pictures have cameras at 4 and fill a sphere of 1.07, whose rim the planes would cut.
SCALE = 2.0
WORLD = "z_up_front_x"


def camera_vectors(cameras: Cameras) -> Float[Tensor, "*batch 16"]:
    """Pose (3 x 4, row by row), focal lengths and principal point in shares of the picture's sides."""
    world = world_rotation(WORLD).to(cameras.c2w)
    pose = camera_to_opencv(world.T @ cameras.c2w, "opengl")[..., :3, :].clone()
    pose[..., 3] *= SCALE
    lens, width, height = cameras.intrinsics, cameras.width, cameras.height
    shares = [lens[..., 0, 0] / width, lens[..., 1, 1] / height, lens[..., 0, 2] / width, lens[..., 1, 2] / height]
    return torch.cat([pose.flatten(-2), torch.stack(shares, -1)], -1)


def network_points(points: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
    """Points of this package's world in the network's."""
    return points @ world_rotation(WORLD)[:3, :3].to(points) * SCALE
