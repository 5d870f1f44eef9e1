"""Views of N hypotheses in, N textured watertight meshes out."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon.errors import InputError
from recon.fit import FitConfig, fit
from recon.fuse import FuseConfig, fuse
from recon.grid import VoxelGrid
from recon.mesh import TexturedMesh
from recon.rendering.visibility import visibility
from recon.stopwatch import Stopwatch
from recon.surface.cleanup import closed, decimated, significant_parts
from recon.surface.isosurface import Isosurface, isosurface
from recon.surface.texture import TextureConfig, textured
from recon.views import ViewSet

logger = logging.getLogger(__name__)

#: What a pixel of a contradicting silhouette counts in the residual, in world units.
_MISMATCH = 0.1


@dataclass(frozen=True)
class ReconstructionConfig:
    """From views to meshes; see :meth:`preset` for sets of values that belong together."""

    resolution: int = 96
    """Cells along each side of the grid."""
    extent: float = 0.55
    """Half side of the grid's cube around the origin, in world units."""
    smoothing: float = 1.0
    """Width of the Gaussian that takes the voting's roughness off the finished field, in cells; 0 is none."""
    isosurface: Isosurface = "marching_cubes"
    """Or flexicubes, which needs kaolin and keeps edges sharper."""
    max_faces: int = 20_000
    min_part: float = 0.003
    """Parts of less than this share of the largest part's volume are dropped."""
    fuse: FuseConfig = field(default_factory=FuseConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    texture: TextureConfig = field(default_factory=TextureConfig)

    @staticmethod
    def preset(name: str) -> "ReconstructionConfig":
        """``fast`` (a draft), ``default``, or ``quality`` (a finer grid, refined by volume rendering)."""
        presets = {
            "fast": ReconstructionConfig(
                resolution=64, fit=FitConfig(steps=0), max_faces=8_000, texture=TextureConfig(size=256)
            ),
            "default": ReconstructionConfig(),
            "quality": ReconstructionConfig(
                resolution=128, fit=FitConfig(steps=60), texture=TextureConfig(size=1024), max_faces=40_000
            ),
        }
        if name not in presets:
            raise InputError(f"There is no reconstruction preset '{name}': use {', '.join(presets)}.")
        return presets[name]


@dataclass(frozen=True)
class Reconstruction:
    """One hypothesis as geometry."""

    mesh: TexturedMesh
    """Watertight, UV-textured; without faces where the views show no object."""
    sdf: Float[Tensor, "g g g"]
    """Signed distance, negative inside, at the cell centres of the cube [-extent, extent]^3."""
    extent: float
    residuals: Float[Tensor, "v"]
    """How far each view is from the finished mesh: mean depth error in world units, or that of a wrong silhouette."""

    @property
    def residual(self) -> float:
        return float(self.residuals.mean())


def reconstruct(
    views: ViewSet,
    config: ReconstructionConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
    watch: Stopwatch | None = None,
    photo: ViewSet | None = None,
) -> list[Reconstruction]:
    """All hypotheses of ``views`` [n v]: fused (and fitted) together, then meshed and painted one by one.

    ``photo`` [n 1] is a picture with its light (and each hypothesis' idea of its camera); it adds its pixels to the
    texture. ``watch`` learns what the stages fuse, fit, surface and texture take.
    """
    config, watch = config or ReconstructionConfig(), watch or Stopwatch()
    grid = VoxelGrid(torch.zeros(3, device=views.device), config.extent, config.resolution)
    with watch.stage("fuse"):
        fields = fuse(views, grid, config.fuse)
    with watch.stage("fit"):
        if config.fit.steps:
            fields = fit(views, grid, fields, config.fit)
        fields = smoothed(fields, config.smoothing)

    def finish(k: int) -> Reconstruction:
        with watch.stage("surface"):
            field = fields[k] if bool((fields[k] < 0).any()) else _least_contradicted(fields[k], k)
            mesh = isosurface(field, grid, config.isosurface)
            mesh = decimated(closed(significant_parts(mesh, config.min_part)), config.max_faces)
            residuals = residuals_of(mesh, views[k])
            field = redistanced(field, grid.spacing)
        with watch.stage("texture"):
            if len(mesh):
                mesh = textured(mesh, views[k], config.texture, None if photo is None else photo[k])
        return Reconstruction(mesh, field, config.extent, residuals)

    # One after the other: fast-simplification keeps its mesh in global variables, so that threads would mix objects.
    made = []
    for k in range(len(views)):
        made.append(finish(k))
        if progress:
            progress(k + 1, len(views))
    return made


def _least_contradicted(field: Float[Tensor, "g g g"], index: int) -> Float[Tensor, "g g g"]:
    """Where views carve each other away entirely, what they agree on most; its residual says how little that is."""
    low, level = float(field.min()), float(field.flatten().kthvalue(max(1, field.numel() // 200)).values)
    if level - low < 1e-4:
        logger.warning("The views of hypothesis %d show no object.", index)
        return field
    logger.warning("The views of hypothesis %d contradict each other everywhere; its shape means little.", index)
    return field - level


def smoothed(fields: Float[Tensor, "n g g g"], sigma: float) -> Float[Tensor, "n g g g"]:
    """Each field convolved with a Gaussian of ``sigma`` cells, its border continued outwards."""
    if sigma <= 0:
        return fields
    radius = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=fields.device) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(fields)
    for axis in (1, 2, 3):
        rows = fields.movedim(axis, -1)
        flat = torch.nn.functional.pad(rows.reshape(-1, 1, rows.shape[-1]), (radius, radius), mode="replicate")
        fields = torch.nn.functional.conv1d(flat, kernel[None, None]).reshape(rows.shape).movedim(-1, axis)
    return fields


def residuals_of(mesh: TexturedMesh, views: ViewSet) -> Float[Tensor, "v"]:
    """How much each view of ``views`` [1 v] contradicts ``mesh``."""
    own = visibility(mesh, views.cameras[0]).depth
    there, here = own > 0, views.alpha[0, :, 0] > 0.5
    error = torch.where(there == here, 0.0, _MISMATCH)
    if views.depth is not None:
        both = there & here
        error = torch.where(both, (own - views.depth[0, :, 0]).abs().clamp_max(_MISMATCH), error)
    union = (there | here).float().sum((-1, -2)).clamp_min(1)
    return error.sum((-1, -2)) / union


def redistanced(sdf: Float[Tensor, "g g g"], spacing: float) -> Float[Tensor, "g g g"]:
    """A truncated field carried on to a distance everywhere; kept as it is next to the surface."""
    from scipy.ndimage import distance_transform_edt

    inside = (sdf < 0).cpu().numpy()
    if not inside.any() or inside.all():
        return sdf
    far = distance_transform_edt(~inside) - distance_transform_edt(inside)
    far = torch.from_numpy((far - np.sign(far) * 0.5) * spacing).to(sdf)
    return torch.where(far.abs() < 1.5 * spacing, sdf, far)
