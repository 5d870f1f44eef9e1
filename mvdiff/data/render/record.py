"""Everything training needs to know about one object, as 8-bit pictures."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from mvdiff.data.render.lighting import Light
from mvdiff.data.warp import Pattern, SeededRandom
from mvdiff.sampling.photo_camera import RADIUS, PhotoCamera
from mvdiff.sampling.reference import MARGIN
from recon.core.cameras import DEFAULT_DISTANCE, Cameras
from recon.core.mesh import TexturedMesh
from recon.rendering.shade import Surface, SurfacePoints, as_pictures, covered

_RANGES = {"size": (8, 2048), "supersample": (1, 8), "ring_views": (0, 360), "references": (0, 360)}


@dataclass
class RecordConfig:
    """Cameras and images of one object's record."""

    size: int = 128
    supersample: int = 2
    ring_views: int = 18
    """Targets around the object, at even azimuths; a multiple of 6. 0: references alone, for the camera estimator."""
    ring_elevations: tuple[float, float] = (20.0, -10.0)
    """Alternate along every six-view rig that the ring holds."""
    elevation_jitter: float = 4.0
    references: int = 6
    """Photo-like pictures, each with one target more from its own direction."""
    pattern_probability: float = 0.3
    scale_jitter: float = 0.04
    offset_jitter: float = 0.02

    def __post_init__(self) -> None:
        if self.ring_views % 6:
            raise ValueError(f"ring_views must be a multiple of 6, got {self.ring_views}.")
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} lies between {least} and {most}, got {getattr(self, name)}.")

    @property
    def num_targets(self) -> int:
        return self.ring_views + self.references if self.ring_views else 0


@dataclass(frozen=True)
class ObjectRecord:
    """``t`` delit targets (the ring, then one for each reference) and ``r`` references."""

    targets: UInt8[Tensor, "t 8 h w"]
    """Albedo, alpha, normal / 2 + 0.5 (world axes), z-depth - distance + 0.5."""
    target_angles: Float[Tensor, "t 2"]
    """Azimuth and elevation in degrees."""
    target_distances: Float[Tensor, "t"]
    """From the origin: the default, or where a photo was really taken; see :func:`target_cameras`."""
    references: UInt8[Tensor, "r 4 h w"]
    """Straight alpha."""
    reference_parameters: Float[Tensor, "r 6"]
    """Azimuth (degrees), then photo_camera.PARAMETERS, then distance."""
    known: Bool[Tensor, "8"]
    """Known channels of the targets; photos have neither normals nor depth."""


def target_cameras(angles: Float[Tensor, "*t 2"], distances: Float[Tensor, "*t"], size: int) -> Cameras:
    """Aimed at the origin, with a lens that holds the bounding sphere as the default lens does from its distance."""
    cameras = Cameras.orbit(angles[..., 0], angles[..., 1], distances, size=size)
    tangent = (distances.square() - RADIUS**2).sqrt() / math.sqrt(DEFAULT_DISTANCE**2 - RADIUS**2)
    intrinsics = cameras.intrinsics.clone()
    intrinsics[..., 0, 0] *= tangent
    intrinsics[..., 1, 1] *= tangent
    return replace(cameras, intrinsics=intrinsics)


def reference_cameras(parameters: Float[Tensor, "*r 6"]) -> PhotoCamera:
    return PhotoCamera.from_parameters(parameters[..., 1:5], parameters[..., 5], parameters[..., 0])


def render_record(
    mesh: TexturedMesh, seed: int, config: RecordConfig, azimuths: tuple[float, float] = (0.0, 360.0)
) -> ObjectRecord:
    """Photograph ``mesh`` (radius 0.5) from all sides, on its own device; ``azimuths``: of the references, degrees."""
    dice = SeededRandom(seed)
    photos = _draw_photo_cameras(mesh, dice, config, azimuths)
    angles = torch.zeros(0, 2)
    if config.ring_views:
        angles = torch.cat([_ring(dice, config), torch.stack([photos.azimuth, photos.elevation], -1)])
    targets = Cameras.orbit(angles[:, 0], angles[:, 1], size=config.size)
    cameras = Cameras.cat([targets, photos.cameras(config.size)]).to(mesh.device)
    fine = cameras.resized(config.size * config.supersample, config.size * config.supersample)
    t, surface = len(targets), Surface(mesh)
    pattern = Pattern.draw(dice) if dice.chance(config.pattern_probability) else None
    lights = Light.draw(fine[t:], dice)
    delit = [torch.zeros(0, 8, config.size, config.size, dtype=torch.uint8, device=mesh.device)]  # there may be none
    delit += [_delit(_painted(points, pattern), config) for _, points in surface.parts(fine[:t])]
    lit = [
        _lit(_painted(points, pattern), lights[own], fine[t:][own], config) for own, points in surface.parts(fine[t:])
    ]
    parameters = torch.cat([photos.azimuth[:, None], photos.parameters, photos.distance[:, None]], -1)
    known = torch.ones(8, dtype=torch.bool)
    distances = torch.full((t,), DEFAULT_DISTANCE)
    return ObjectRecord(torch.cat(delit), angles, distances, torch.cat(lit), parameters, known)


def _painted(points: SurfacePoints, pattern: Pattern | None) -> SurfacePoints:
    return points if pattern is None else replace(points, albedo=pattern(points.position, points.albedo))


def _delit(points: SurfacePoints, config: RecordConfig) -> UInt8[Tensor, "t 8 h w"]:
    pixel, means = covered([points.albedo, points.normal, points.depth], points, config.supersample)
    albedo, normal, depth, alpha = means.split([3, 3, 1, 1], -1)
    normal = torch.nn.functional.normalize(normal, dim=-1) * 0.5 + 0.5
    values = to_bytes(torch.cat([albedo, alpha, normal, depth - 1], -1))
    return as_pictures(pixel, values, (points.shape[0], config.size, config.size))


def _lit(points: SurfacePoints, light: Light, cameras: Cameras, config: RecordConfig) -> UInt8[Tensor, "r 4 h w"]:
    pixel, means = covered([light(points, cameras)], points, config.supersample)
    return as_pictures(pixel, to_bytes(means), (points.shape[0], config.size, config.size))


def to_bytes(values: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    return values.clamp(0, 1).mul_(255).round_().to(torch.uint8)


def _ring(dice: SeededRandom, config: RecordConfig) -> Float[Tensor, "t 2"]:
    index = torch.arange(config.ring_views)
    azimuth = (index + dice.uniform(0, 1, 1)) * (360 / config.ring_views) + dice.uniform(-4, 4, config.ring_views)
    high, low = config.ring_elevations
    # Views a sixth of the ring apart alternate.
    elevation = torch.where((index // (config.ring_views // 6)) % 2 == 0, high, low)
    elevation = elevation + config.elevation_jitter * dice.normal(config.ring_views)
    return torch.stack([azimuth, elevation], -1)


def _draw_photo_cameras(
    mesh: TexturedMesh, dice: SeededRandom, config: RecordConfig, azimuths: tuple[float, float]
) -> PhotoCamera:
    """Random directions and perspectives; each crop is the object's own box with a margin, as ``prepare`` makes it."""
    r = config.references
    azimuth = dice.uniform(*azimuths, r)
    elevation = torch.where(dice.uniform(0, 1, r) < 0.75, dice.uniform(-5, 35, r), dice.uniform(-20, 70, r))
    distance = torch.where(
        dice.uniform(0, 1, r) < 0.4,
        dice.uniform(1.4, 1.6, r),
        torch.exp(dice.uniform(math.log(1.15), math.log(4.0), r)),
    )
    cameras = Cameras.orbit(azimuth, elevation, distance).to(mesh.device)
    local = (mesh.vertices - cameras.position[:, None]) @ cameras.c2w[:, :3, :3]
    image = (local[..., :2] / local[..., 2:]).cpu()  # focal length 1
    low, high = image.amin(1), image.amax(1)
    side = (high - low).amax(-1) * MARGIN * (1 + config.scale_jitter * dice.uniform(-1, 1, r))
    center = (low + high) / 2 + side[:, None] * config.offset_jitter * dice.uniform(-1, 1, r, 2)
    half = side / 2
    log_scale = torch.log(RADIUS / distance / half)
    return PhotoCamera(elevation, -center[:, 0] / half, -center[:, 1] / half, log_scale, distance, azimuth)
