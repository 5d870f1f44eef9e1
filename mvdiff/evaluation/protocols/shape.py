"""Protocol P1 (EVALUATION): one photo to shape, as SyncDreamer and Wonder3D measure it, without any alignment."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.evaluation.jobs.objects import REFERENCE_SIZE, View
from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.metrics.image import psnr, ssim
from recon.metrics.shape import SurfaceComparison, SurfacePoints, align_upright, visible_points, volume_iou
from recon.ops.voxelize import winding_inside
from recon.posterior import VoxelGrid
from recon.rendering import render_mesh
from recon.rendering.visibility import sees

VOXEL = 0.01
THRESHOLD = 0.05
_GRID = VoxelGrid(torch.zeros(3), 1.0, 64)
_VIEWS, _VIEW_ELEVATION, _VIEW_SIZE = 16, 30.0, 256
_ALIGNED_POINTS = 1500


def protocol_cameras() -> Cameras:
    """The 16 cameras that say which points are visible, and from which pictures are compared."""
    return Cameras.orbit([360 / _VIEWS * k for k in range(_VIEWS)], _VIEW_ELEVATION, size=_VIEW_SIZE)


@dataclass(frozen=True)
class Frame:
    """P1's frame: the true mesh's own axes, its longest bounding-box side 1."""

    azimuth: float
    """Azimuth of the photo in the true mesh's axes, degrees."""
    scale: float

    @staticmethod
    def of(truth: TexturedMesh, view: View) -> "Frame":
        low, high = truth.bounds
        return Frame(view.azimuth, float(1 / (high - low).amax()))

    @property
    def from_photo(self) -> Float[Tensor, "4 4"]:
        """Turns the photo's frame (its side faces +Z) into the true mesh's."""
        angle = math.radians(self.azimuth)
        cos, sin = math.cos(angle), math.sin(angle)
        return torch.tensor([[cos, 0, sin, 0], [0, 1, 0, 0], [-sin, 0, cos, 0], [0, 0, 0, 1]])

    @property
    def scaling(self) -> Float[Tensor, "4 4"]:
        return torch.diag(torch.tensor([self.scale, self.scale, self.scale, 1.0]))


@dataclass(frozen=True)
class Subject:
    """One mesh in the true axes with all that P1 compares, each part made when it is first asked for."""

    mesh: TexturedMesh
    """In the true mesh's axes, at its world size (radius 0.5)."""
    frame: Frame

    @cached_property
    def pictures(self) -> ViewSet:
        return render_mesh(self.mesh, protocol_cameras(), supersample=1).to("cpu")

    @cached_property
    def surface(self) -> SurfacePoints:
        """In P1's frame. A prediction without a surface counts as a point at the origin."""
        if not bool((self.pictures.alpha > 0.5).any()):
            return SurfacePoints(torch.zeros(1, 3), torch.tensor([[0.0, 1.0, 0.0]]))
        seen = visible_points(self.pictures, VOXEL / self.frame.scale)
        return seen.transformed(self.frame.scaling)

    @cached_property
    def scaled(self) -> TexturedMesh:
        return self.mesh.transformed(self.frame.scaling)

    @cached_property
    def inside(self) -> Bool[Tensor, "g g g"]:
        return winding_inside(self.scaled, _GRID)


def seen_in_photo(truth: Subject, view: View) -> Bool[Tensor, "p"]:
    """Mask of the true surface points that the reference photo shows."""
    camera = Cameras.orbit([view.azimuth], view.elevation, size=REFERENCE_SIZE)
    return sees(truth.mesh, camera, truth.surface.points / truth.frame.scale, VOXEL / truth.frame.scale)[0]


def shape_scores(
    prediction: Subject, truth: Subject, seen: Bool[Tensor, "p"], align: bool = True
) -> dict[str, float | None]:
    """All of P1 for one hypothesis."""
    compared = SurfaceComparison.between(prediction.surface, truth.surface)
    pictures, true_pictures = (subject.pictures.composited(1.0)[0] for subject in (prediction, truth))
    return {
        "cd": compared.chamfer,
        "cd_visible": compared.chamfer_of(seen),
        "cd_hidden": compared.chamfer_of(~seen),
        "fscore": compared.f_score(THRESHOLD),
        "normal_consistency": compared.normal_consistency,
        "iou": volume_iou(prediction.inside, truth.inside),
        "psnr": float(psnr(pictures, true_pictures).mean()),
        "ssim": float(ssim(pictures, true_pictures).mean()),
        "cd_aligned": _aligned(prediction.surface, truth.surface, compared.chamfer) if align else None,
    }


def _aligned(prediction: SurfacePoints, truth: SurfacePoints, as_it_is: float) -> float:
    """Chamfer distance after the best yaw, scale and translation, found on some of the points."""
    if len(prediction) < 3:
        return as_it_is
    some = [s.points[torch.linspace(0, len(s) - 1, min(len(s), _ALIGNED_POINTS)).long()] for s in (prediction, truth)]
    moved = prediction.transformed(align_upright(*some))
    return min(as_it_is, SurfaceComparison.between(moved, truth).chamfer)
