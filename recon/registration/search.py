"""Search over all directions, in one batch of small pictures."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.cameras import DEFAULT_DISTANCE
from recon.core.mesh import TexturedMesh
from recon.core.photo_camera import PhotoCamera
from recon.registration.matching import Matcher
from recon.registration.poses import WORLDS, FrameChoice, Poses, angles_between
from recon.rendering.framing import framed_as


@dataclass(frozen=True)
class SearchConfig:
    azimuths: int = 24
    """Azimuths of the search, evenly around the object; a multiple of four, so that quarter turns are among them."""
    elevations: tuple[float, ...] = (-15.0, 0.0, 15.0, 30.0, 45.0, 60.0)
    """Elevations of the search, in degrees."""
    size: int = 32
    """Pixels along a side."""
    distance: float = DEFAULT_DISTANCE
    """Distance of the camera, in units in which the mesh has radius 0.5."""
    kept: int = 12
    """Poses that are refined."""
    separation: float = 20.0
    """Degrees between poses that count as different readings."""


def grid(frame: FrameChoice, config: SearchConfig) -> Poses:
    """All poses that are tried first; their lenses are still to be found."""
    worlds = {"auto": range(len(WORLDS)), "y-up": [0], "z-up": [1], "photo": [0]}[frame]
    count = 1 if frame == "photo" else config.azimuths
    azimuths = torch.arange(count) * (360 / count)
    every = torch.cartesian_prod(torch.tensor(list(worlds)).float(), azimuths, torch.tensor(config.elevations))
    world, azimuth, elevation = every.unbind(-1)
    zero = torch.zeros(len(world))
    return Poses(world.long(), PhotoCamera(elevation, zero, zero, zero, zero + config.distance, azimuth))


def hull_points(mesh: TexturedMesh) -> Float[Tensor, "k 3"]:
    """Corners of the convex hull; all vertices where they lie in a plane."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return mesh.vertices[torch.as_tensor(ConvexHull(mesh.vertices.double().numpy()).vertices).long()]
    except QhullError:
        return mesh.vertices


def framed(poses: Poses, hull: Float[Tensor, "k 3"], alpha: Float[Tensor, "s s"]) -> Poses:
    """The poses with lenses under which the hull's box fills the photo as the silhouette's does."""
    cameras = framed_as(hull, poses.cameras(2), alpha)  # 2 pixels: half the side is one
    camera = poses.camera
    scale = (cameras.intrinsics[:, 0, 0] * 0.5 / camera.distance).log()
    x, y = cameras.intrinsics[:, 0, 2] - 1, cameras.intrinsics[:, 1, 2] - 1
    return Poses(poses.world, PhotoCamera(camera.elevation, x, y, scale, camera.distance, camera.azimuth))


def search(
    matcher: Matcher, hull: Float[Tensor, "k 3"], alpha: Float[Tensor, "s s"], frame: FrameChoice, config: SearchConfig
) -> Poses:
    """The best poses that are ``separation`` degrees apart, and the quarter turns of the first; best first."""
    poses = framed(grid(frame, config), hull, alpha)
    misfit = matcher.misfits(poses, config.size, supersample=1) - poses.log_prior
    best = separated(poses, misfit, config.separation, config.kept)
    turned = quarter_turns(poses, best[:1]) if frame != "photo" else []
    return poses[best + [k for k in turned if k not in best]]


def separated(poses: Poses, misfit: Float[Tensor, "c"], degrees: float, count: int) -> list[int]:
    """Indices of the lowest misfits, each at least ``degrees`` from those before it."""
    rotations, left = poses.rotations, misfit.clone()
    chosen: list[int] = []
    while len(chosen) < count and math.isfinite(float(left.min())):
        chosen.append(int(left.argmin()))
        near: Bool[Tensor, "c"] = angles_between(rotations, rotations[chosen[-1:]])[:, 0] < degrees
        left[near] = math.inf
    return chosen


def quarter_turns(poses: Poses, first: list[int]) -> list[int]:
    """Indices of the poses that differ from the first by 90, 180 and 270 degrees of azimuth alone."""
    camera, index = poses.camera, first[0]
    same = (poses.world == poses.world[index]) & (camera.elevation == camera.elevation[index])
    turn = (camera.azimuth - camera.azimuth[index]).remainder(360)
    return [int((same & ((turn - goal).abs() < 1e-3)).nonzero()[0, 0]) for goal in (90.0, 180.0, 270.0)]
