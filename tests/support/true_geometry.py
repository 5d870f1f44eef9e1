"""Geometry of a known mesh in place of an estimator's output, and errors of a hypothesis' visible side."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.sampling.photo_camera import PhotoCamera
from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.fusion.photo_geometry import PhotoGeometry
from recon.metrics.shape import nearest
from recon.rendering import render_mesh


def true_camera(crop: tuple[float, float, float], elevation: float) -> PhotoCamera:
    """Camera [1] of a framed photo's crop."""
    return PhotoCamera.from_parameters(torch.tensor([[math.radians(elevation), *crop]]))


def true_geometry(
    mesh: TexturedMesh,
    camera: Cameras,
    noise: float = 0.0,
    channels: str = "depth normal",
    disparity: bool = False,
    metric: bool = False,
) -> PhotoGeometry:
    """Depth under an unknown affine map, and normals in camera axes, with smooth errors of ``noise`` world units.

    ``metric``: depth up to a factor, with the focal length.
    """
    seen = render_mesh(mesh, camera, 2)
    depth, alpha = seen.depth[0, 0, 0], seen.alpha[0, 0, 0]
    normal = torch.einsum("ji,jhw->ihw", camera.c2w[0, :3, :3], seen.normal[0, 0])
    generator = torch.Generator().manual_seed(0)

    def bumps(channels: int) -> Tensor:
        coarse = torch.randn(1, channels, 12, 12, generator=generator)
        return torch.nn.functional.interpolate(coarse, depth.shape, mode="bicubic")[0]

    depth = depth + noise * bumps(1)[0]
    normal = torch.nn.functional.normalize(normal + 10 * noise * bumps(3), dim=0)
    values = 2.7 * (1 / depth.clamp_min(0.1)) - 0.4 if disparity else 0.31 * depth + (0.0 if metric else 1.9)
    said = (alpha > 0.5) & (seen.depth[0, 0, 0] > 0)
    return PhotoGeometry(
        "disparity" if disparity else "depth",
        torch.where(said, values, 0.0) if "depth" in channels else None,
        normal * said if "normal" in channels else None,
        said.float(),
        float(camera.intrinsics[0, 0, 0]) if metric else None,
    )


def visible_points(mesh: TexturedMesh, camera: Cameras) -> Float[Tensor, "p 3"]:
    depth = render_mesh(mesh, camera, 1).depth[0, :, 0]
    return camera.unproject(depth)[depth > 0]


def visible_chamfer(mesh: TexturedMesh, truth: TexturedMesh, camera: Cameras, shifted: bool = False) -> float:
    """Mean of the distances both ways between what the camera sees of the two surfaces, in world units.

    ``shifted``: after a move along the line of sight that cancels the median error of depth, which relative depth
    cannot know.
    """
    own, true = visible_points(mesh, camera), visible_points(truth, camera)
    if shifted:
        depths = [render_mesh(each, camera, 1).depth[0, 0, 0] for each in (mesh, truth)]
        both = (depths[0] > 0) & (depths[1] > 0)
        own = own + (depths[1] - depths[0])[both].median() * camera.c2w[0, :3, 2]
    return float((nearest(own, true)[0].mean() + nearest(true, own)[0].mean()) / 2)
