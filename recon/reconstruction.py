"""Views of N hypotheses in, N textured watertight meshes out."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon.agreement import Agreement
from recon.errors import InputError
from recon.fit import FitConfig, fit
from recon.fuse import FuseConfig, fuse
from recon.grid import VoxelGrid
from recon.mesh import TexturedMesh
from recon.readings import VoteMaps
from recon.residuals import Residuals
from recon.stopwatch import Stopwatch
from recon.surface.cleanup import closed, decimated, significant_parts
from recon.surface.isosurface import Isosurface, isosurface
from recon.surface.smoothing import smoothed_field, smoothed_surface
from recon.surface.texture import TextureConfig, textured
from recon.validation import checked
from recon.views import ViewSet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReconstructionConfig:
    """From views to meshes; see :meth:`preset` for sets of values that belong together."""

    resolution: int = 96
    """Cells along each side of the grid."""
    extent: float = 0.55
    """Half side of the grid's cube around the origin, in world units."""
    smoothing: tuple[int, int] = (8, 20)
    """Rounds of the filter that takes roughness off the surface without shrinking it: for views of one object, and for
    views that contradict each other."""
    blur: float = 0.8
    """Width in cells of the Gaussian that takes crumbs off the field of views that contradict each other entirely; less
    in proportion where they agree, none where they show one object."""
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
    """Watertight, UV-textured; without faces where the views show no object. Its attribute ``inconsistency`` says how
    far the views that see a vertex are from it, in world units."""
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
    photo: Sequence[ViewSet] | None = None,
) -> list[Reconstruction]:
    """All hypotheses of ``views`` [n v]: fused (and fitted) together, then meshed and painted one by one.

    Raises :class:`InputError` for views that no object can be made of (see :mod:`recon.validation`).
    ``photo`` is, for each hypothesis, a picture with its light and the hypothesis' idea of its camera, [1 1]; it adds
    its pixels to the texture. ``watch`` learns what the stages fuse, fit, surface and texture take.
    """
    config, watch = config or ReconstructionConfig(), watch or Stopwatch()
    views = checked(views, config.extent)
    fields, grid = fitted_fields(views, config, watch)

    def finish(k: int) -> Reconstruction:
        with watch.stage("surface"):
            field = fields[k]
            mesh = decimated(_closed_surface(field, grid, views[k], config), config.max_faces)
            residuals = Residuals.of(mesh, views[k])
            mesh = replace(mesh, attributes=mesh.attributes | {"inconsistency": residuals.vertices})
            field = redistanced(field, grid.spacing)
        with watch.stage("texture"):
            if len(mesh):
                mesh = textured(mesh, views[k], config.texture, None if photo is None else photo[k])
        return Reconstruction(mesh, field, config.extent, residuals.views)

    made = []
    for k in range(len(views)):
        made.append(finish(k))
        if progress:
            progress(k + 1, len(views))
    return made


def fitted_fields(
    views: ViewSet, config: ReconstructionConfig, watch: Stopwatch | None = None
) -> tuple[Float[Tensor, "n g g g"], VoxelGrid]:
    """Fields that are negative inside and true near their zero level, before anything is meshed; and their grid."""
    watch = watch or Stopwatch()
    grid = VoxelGrid(torch.zeros(3, device=views.device), config.extent, config.resolution)
    with watch.stage("fuse"):
        fields = fuse(views, grid, config.fuse)
    with watch.stage("fit"):
        if config.fit.steps:
            fields = fit(views, grid, fields, config.fit)
    fields = [smoothed_field(f, config.blur * (1 - _consistency(views[k], config))) for k, f in enumerate(fields)]
    solid = [f if bool((f < 0).any()) else _least_contradicted(f, k) for k, f in enumerate(fields)]
    return torch.stack(solid), grid


def untextured(
    field: Float[Tensor, "g g g"], grid: VoxelGrid, views: ViewSet, config: ReconstructionConfig
) -> Reconstruction:
    """One fitted field and its views [1 v] as geometry only: neither thinned nor painted, which its shape needs not."""
    mesh = _closed_surface(field, grid, views, config)
    residuals = Residuals.of(mesh, views)
    return Reconstruction(mesh, redistanced(field, grid.spacing), config.extent, residuals.views)


def _closed_surface(
    field: Float[Tensor, "g g g"], grid: VoxelGrid, views: ViewSet, config: ReconstructionConfig
) -> TexturedMesh:
    """The zero level's large parts, watertight; smoothed the longer, the more ``views`` [1 v] contradict each other."""
    parts = significant_parts(isosurface(field, grid, config.isosurface), config.min_part)
    low, high = config.smoothing
    return smoothed_surface(closed(parts), round(high + (low - high) * _consistency(views, config)))


def _consistency(views: ViewSet, config: ReconstructionConfig) -> float:
    """From 0 (``views`` [1 v] contradict each other) to 1 (they show one object)."""
    return Agreement.of(VoteMaps.of(views, 1.5 * config.fuse.truncation)).consistency


def _least_contradicted(field: Float[Tensor, "g g g"], index: int) -> Float[Tensor, "g g g"]:
    """Where views carve each other away entirely, what they agree on most; its residual says how little that is."""
    low, level = float(field.min()), float(field.flatten().kthvalue(max(1, field.numel() // 200)).values)
    if level - low < 1e-4:
        logger.warning("The views of hypothesis %d show no object.", index)
        return field
    logger.warning("The views of hypothesis %d contradict each other everywhere; its shape means little.", index)
    return field - level


def redistanced(sdf: Float[Tensor, "g g g"], spacing: float) -> Float[Tensor, "g g g"]:
    """A truncated field carried on to a distance everywhere; kept as it is next to the surface."""
    from scipy.ndimage import distance_transform_edt

    inside = (sdf < 0).cpu().numpy()
    if not inside.any() or inside.all():
        return sdf
    far = distance_transform_edt(~inside) - distance_transform_edt(inside)
    far = torch.from_numpy((far - np.sign(far) * 0.5) * spacing).to(sdf)
    return torch.where(far.abs() < 1.5 * spacing, sdf, far)
