"""Canonical views brought into the frame of the photo."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.sampling.photo_camera import RADIUS, PhotoCamera
from recon import ReconstructionConfig, ViewSet, reconstruct
from recon.core.cameras import Cameras
from recon.registration import register_to_photo
from recon.registration.matching import Encoder

#: Pixels along each side of the pictures that registration reconstructs.
_SIZE = 128


def in_photo_frame(
    views: ViewSet, photo: Float[Tensor, "4 s s"], encoder: Encoder | None = None
) -> tuple[Cameras, PhotoCamera]:
    """Cameras [1 v] of one object's views in the photo's frame, and the photo's camera [1] at azimuth 0.

    The views [1 v] have the frame of an object that stands upright and faces +Z, whatever the photo shows of it. Their
    visual hull is registered to the cut-out photo; the object's bounding sphere gets the radius 0.5.
    The features of an ``encoder`` are compared beside silhouettes and colors.
    """
    mesh = reconstruct(_reduced(views).to("cpu"), ReconstructionConfig.preset("fast"))[0].mesh.to("cpu")
    found = register_to_photo(mesh.normalized(RADIUS), photo.cpu(), "y-up", encoder=encoder)
    low, high = mesh.bounds
    center = (low + high) / 2
    scale = RADIUS / float((mesh.vertices - center).norm(dim=-1).amax())
    cameras = views.cameras.to("cpu").rescaled(center, scale).transformed(found.matrix)
    return cameras, replace(found.camera, azimuth=torch.zeros(1))


def _reduced(views: ViewSet) -> ViewSet:
    size = min(_SIZE, views.cameras.width)

    def mean(values: Float[Tensor, "1 v c h w"]) -> Float[Tensor, "1 v c h2 w2"]:
        return torch.nn.functional.interpolate(values[0], (size, size), mode="area")[None]

    alpha = mean(views.alpha)
    color = mean(views.rgb * views.alpha) / alpha.clamp_min(1e-3)
    return ViewSet(color, alpha, views.cameras.resized(size, size))
