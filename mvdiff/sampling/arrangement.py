"""Relative pose and size of several objects of one photo, which stand on one plane.

Each object was reconstructed alone, in a frame in which its bounding sphere has radius 0.5 and its photographed side
faces +Z. One photo does not say whether an object is small and near or large and far; that all stand on the same
horizontal plane does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.sampling.photo_camera import RADIUS, PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from recon.core.cameras import DEFAULT_FOV

#: Least height of the photo's camera above the plane, in units of an object: below it sizes have no bounds.
_LEAST_HEIGHT = 0.05


@dataclass(frozen=True)
class PhotographedObject:
    """One hypothesis of one object, and where it is in the photo."""

    reference: ReferenceImage
    camera: PhotoCamera
    """[1]"""
    lowest: float
    """Least height of its vertices in its own frame."""


@dataclass(frozen=True)
class Arrangement:
    """Objects [m] on the plane y = 0; the largest keeps its own size."""

    matrices: Float[Tensor, "m 4 4"]
    """Similarities from each object's own frame."""
    sizes: Float[Tensor, "m"]
    """Radii of the bounding spheres relative to the largest."""
    camera: Float[Tensor, "4 4"]
    """Camera-to-world of the whole photo, OpenCV axes."""
    pitch: float
    """Degrees by which the photo's camera looks down."""
    disagreement: float
    """Standard deviation in degrees of that angle among the objects, each of which gives its own."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "sizes": [round(value, 4) for value in self.sizes.tolist()],
            "matrices": self.matrices.tolist(),
            "photo_camera": self.camera.tolist(),
            "photo_pitch_degrees": round(self.pitch, 3),
            "pitch_disagreement_degrees": round(self.disagreement, 3),
        }


def arrange(objects: Sequence[PhotographedObject], fov: float = DEFAULT_FOV) -> Arrangement:
    """Place objects of one photo, whose vertical field of view is ``fov`` degrees, on one plane.

    The angle by which the camera looks down is the mean of those that the objects' own elevations imply. Along the
    ray through its center an object's distance is proportional to its size, and its size follows from its lowest
    point being on the plane.
    """
    lens = 0.5 * objects[0].reference.source_size[1] / math.tan(math.radians(fov) / 2)
    rays = torch.stack([_ray(each, lens) for each in objects])
    depths = torch.tensor([_own_depth(each, lens) for each in objects], dtype=torch.float64)
    elevations = torch.tensor([float(each.camera.elevation[0]) for each in objects], dtype=torch.float64).deg2rad()
    pitches = _pitches(rays, elevations)
    pitch = pitches.mean()
    axes = _camera_axes(pitch)
    directions = rays @ axes.T  # in the world, one unit of depth long
    lowest = torch.tensor([each.lowest for each in objects], dtype=torch.float64)
    sizes = 1 / (-directions[:, 1] * depths - lowest).clamp_min(_LEAST_HEIGHT)  # the camera is at height 1
    unit, sizes = sizes.max(), sizes / sizes.max()
    centers = directions * (depths * sizes)[:, None]
    height = 1 / unit
    middle = torch.stack([centers[:, 0].mean(), -height, centers[:, 2].mean()])
    camera = torch.eye(4, dtype=torch.float64)
    camera[:3, :3], camera[:3, 3] = axes, -middle
    matrices = torch.stack([_similarity(s, c, -middle) for s, c in zip(sizes, centers, strict=True)])
    spread = float(pitches.std(correction=0).rad2deg())
    return Arrangement(matrices.float(), sizes.float(), camera.float(), float(pitch.rad2deg()), spread)


def _ray(thing: PhotographedObject, lens: float) -> Float[Tensor, "3"]:
    """Through the object's center, in camera axes, with depth 1."""
    left, top, side = thing.reference.crop
    width, height = thing.reference.source_size
    x = left + (float(thing.camera.centre_x[0]) + 1) * side / 2
    y = top + (float(thing.camera.centre_y[0]) + 1) * side / 2
    return torch.tensor([(x - width / 2) / lens, (y - height / 2) / lens, 1.0], dtype=torch.float64)


def _own_depth(thing: PhotographedObject, lens: float) -> float:
    """Depth of its center in units in which its sphere has radius 0.5."""
    return lens * RADIUS / (math.exp(float(thing.camera.log_scale[0])) * thing.reference.crop[2] / 2)


def _pitches(rays: Float[Tensor, "m 3"], elevations: Float[Tensor, "m"]) -> Float[Tensor, "m"]:
    """Angles by which the camera looks down, from the elevation at which each object is seen."""
    across = (1 + rays[:, 1] ** 2).sqrt()
    return (rays.norm(dim=1) * elevations.sin() / across).clamp(-1, 1).asin() - rays[:, 1].atan()


def _camera_axes(pitch: Float[Tensor, ""]) -> Float[Tensor, "3 3"]:
    """Right, down and forward of a camera without roll that looks towards -Z and down."""
    sin, cos, zero = pitch.sin(), pitch.cos(), torch.zeros_like(pitch)
    right = torch.stack([zero + 1, zero, zero])
    return torch.stack([right, torch.stack([zero, -cos, sin]), torch.stack([zero, -sin, -cos])], 1)


def _similarity(size: Float[Tensor, ""], center: Float[Tensor, "3"], shift: Float[Tensor, "3"]) -> Float[Tensor, "4 4"]:
    """Turned about the vertical axis so that the photographed side faces the camera, which is at the origin."""
    back = torch.nn.functional.normalize(-center[[0, 2]], dim=0)
    matrix = torch.eye(4, dtype=center.dtype)
    matrix[0, 0], matrix[0, 2] = back[1], back[0]
    matrix[2, 0], matrix[2, 2] = -back[0], back[1]
    matrix[:3, :3] *= size
    matrix[:3, 3] = center + shift
    return matrix
