"""Views of N hypotheses in, N textured watertight meshes out."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.errors import InputError
from recon.core.grid import VoxelGrid
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.fusion.photo_consistency import CarveConfig, carve
from recon.fusion.photo_geometry import PhotoObservation
from recon.fusion.reconstructor import Reconstructor
from recon.fusion.refine import FitConfig, fit
from recon.fusion.residuals import Residuals
from recon.fusion.tsdf import FuseConfig, FusedFields, fuse
from recon.fusion.validation import validate_views
from recon.ops.parallel import each, in_threads
from recon.ops.sdf import reinitialize
from recon.ops.stopwatch import Stopwatch
from recon.surface.cleanup import decimate, make_watertight, significant_parts
from recon.surface.isosurface import Isosurface, isosurface
from recon.surface.smoothing import smooth_fields, smooth_surface
from recon.surface.texture import TextureConfig, bake_texture

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReconstructionConfig:
    """Settings of the way from views to meshes; see :meth:`preset` for sets of values."""

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
    carve: CarveConfig = field(default_factory=CarveConfig)
    """For views without depth."""
    fit: FitConfig = field(default_factory=FitConfig)
    texture: TextureConfig = field(default_factory=TextureConfig)

    @staticmethod
    def preset(name: str) -> "ReconstructionConfig":
        """``fast`` (a draft), ``default``, or ``quality`` (a finer grid, refined by volume rendering)."""
        presets = {
            "fast": ReconstructionConfig(
                resolution=64,
                carve=CarveConfig(steps=0),
                fit=FitConfig(steps=0),
                max_faces=8_000,
                texture=TextureConfig(size=256),
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
    """One hypothesis as geometry; all but the painted mesh, which is where its views are, on the processor."""

    mesh: TexturedMesh
    """Watertight, UV-textured; without faces where the views show no object. Its attribute ``inconsistency`` says how
    far the views that see a vertex are from it, in world units."""
    sdf: Float[Tensor, "g g g"]
    """Signed distance, negative inside, at the cell centers of the cube [-extent, extent]^3."""
    extent: float
    residuals: Float[Tensor, "v"]
    """Distance of each view from the finished mesh: mean depth error in world units, or that of a wrong silhouette."""

    @property
    def residual(self) -> float:
        return float(self.residuals.mean())


def reconstruct(
    views: ViewSet,
    config: ReconstructionConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
    watch: Stopwatch | None = None,
    photo: Sequence[ViewSet] | None = None,
    reconstructor: Reconstructor | None = None,
    observation: PhotoObservation | None = None,
) -> list[Reconstruction]:
    """All hypotheses of ``views`` [n v]: fused (and fitted) together, then meshed and painted side by side.

    Raises :class:`InputError` for views that no object can be made of (see :mod:`recon.fusion.validation`).
    ``photo`` is, for each hypothesis, a picture with its light and the hypothesis' idea of its camera, [1 1]; it adds
    its pixels to the texture. ``watch`` learns what the stages fuse, fit, surface and texture take. A
    ``reconstructor`` takes the place of fusion and fitting. ``observation`` is what an estimator says about the photo's
    visible side; it needs views with depth.
    """
    config, watch = config or ReconstructionConfig(), watch or Stopwatch()
    views = validate_views(views, config.extent)
    fields = fitted_fields(views, config, watch, reconstructor, observation)

    def painted(k: int) -> Reconstruction:
        mesh = bare[k].mesh.to(views.device)
        if len(mesh):
            if fields.colors is not None:
                mesh = replace(mesh, colors=fields.grid.sample(fields.colors[k], mesh.vertices).T)
            mesh = bake_texture(mesh, views[k], config.texture, None if photo is None else photo[k])
        return replace(bare[k], mesh=mesh)

    count = len(views)
    with watch.stage("surface"):
        bare = extract_untextured(fields, views, config, config.max_faces)
    with watch.stage("texture"):
        return in_threads(painted, range(count), None if progress is None else lambda done: progress(done, count))


def fitted_fields(
    views: ViewSet,
    config: ReconstructionConfig,
    watch: Stopwatch | None = None,
    reconstructor: Reconstructor | None = None,
    observation: PhotoObservation | None = None,
) -> FusedFields:
    """Fields that are true near their zero level, before anything is meshed. Carving counts as fitting.

    With a ``reconstructor`` they are its own, neither fitted nor blurred. Raises :class:`InputError` for an
    ``observation`` beside views without depth or beside a ``reconstructor``.
    """
    watch = watch or Stopwatch()
    grid = VoxelGrid(torch.zeros(3, device=views.device), config.extent, config.resolution)
    if reconstructor is not None:
        if observation is not None:
            raise InputError("Geometry of the photo is fused, which a reconstructor replaces: leave one of them out.")
        with watch.stage("fuse"):
            return reconstructor.fields(views, grid)
    with watch.stage("fuse"):
        fields, confidence = fuse(views, grid, config.fuse), None
        if observation is not None and observation.trust > 0:
            if views.depth is None:
                raise InputError("Geometry of the photo needs views with depth: leave it out for this backbone.")
            views, confidence = observation.joined(views, fields.values, fields.grid)
            fields = fuse(views, grid, config.fuse, confidence)
    with watch.stage("fit"):
        if views.depth is None and config.carve.steps:
            coarse = replace(grid, resolution=config.carve.resolution)
            deep = fuse(views, coarse, replace(config.fuse, truncation=config.carve.reach[1]))
            fields = carve(views, fields, deep, config.carve)
        if config.fit.steps:
            fields = replace(fields, values=_fitted(views, fields, config.fit, confidence))
    widths = config.blur * (1 - torch.tensor(fields.consistency))
    blurred = smooth_fields(fields.values, widths, config.blur)
    solid = (blurred < 0).flatten(1).any(1).tolist()
    solids = [f if solid[k] else _least_contradicted(f, k) for k, f in enumerate(blurred)]
    return replace(fields, values=torch.stack(solids))


def _fitted(
    views: ViewSet, fields: FusedFields, config: FitConfig, confidence: Float[Tensor, "n v 1 h w"] | None
) -> Float[Tensor, "n g g g"]:
    return fit(views, fields.grid, fields.values, fields.trust, config, confidence=confidence)


def extract_untextured(
    fields: FusedFields, views: ViewSet, config: ReconstructionConfig, max_faces: int | None = None
) -> list[Reconstruction]:
    """Fitted fields and their views [n v] as geometry only: not painted, which a shape needs not, and thinned where
    ``max_faces`` says so."""

    def surface(k: int) -> TexturedMesh:
        mesh = closed_surface(fields[k], config)
        return mesh if max_faces is None else decimate(mesh, max_faces)

    def judged(k: int) -> Reconstruction:
        residuals = Residuals.of(meshes[k].to(views.device), views[k])
        attributes = meshes[k].attributes | {"inconsistency": residuals.vertices.cpu()}
        mesh, sdf = replace(meshes[k], attributes=attributes), reinitialize(fields.values[k], fields.grid.spacing)
        return Reconstruction(mesh, sdf.cpu(), config.extent, residuals.views.cpu())

    # What works on triangles' connections is at home on the processor.
    meshes = in_threads(surface, range(len(fields)))
    return each(judged, range(len(fields)), views.device)


def closed_surface(fields: FusedFields, config: ReconstructionConfig) -> TexturedMesh:
    """One zero level's large parts, watertight; smoothed the longer, the more its views contradict each other."""
    whole = isosurface(fields.values[0], fields.grid, config.isosurface).to("cpu")
    parts = significant_parts(whole, config.min_part)
    low, high = config.smoothing
    return smooth_surface(make_watertight(parts), round(high + (low - high) * fields.consistency[0]))


def _least_contradicted(field: Float[Tensor, "g g g"], index: int) -> Float[Tensor, "g g g"]:
    """Fallback when inconsistent views leave nothing: raise the iso-level until about 0.5 % of the grid is inside."""
    low, level = float(field.min()), float(field.flatten().kthvalue(max(1, field.numel() // 200)).values)
    if level - low < 1e-4:
        logger.warning("The views of hypothesis %d show no object.", index)
        return field
    logger.warning("The views of hypothesis %d contradict each other everywhere; its shape means little.", index)
    return field - level
