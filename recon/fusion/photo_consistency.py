"""Photo-consistency carving (Kutulakos and Seitz 2000): the visual hull is carved to where colors agree.

Each pixel samples its ray inside the hull. At the true surface the other views show the pixel's color, in front of it
they show the background. A depth is found for each pixel as in plane-sweep stereo, but all pixels share one field,
which is smooth, has little area, and must not be carved through silhouettes. Without color contrast that prior alone
shapes the hull.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.grid import VoxelGrid
from recon.core.views import ViewSet
from recon.fields.interpolation import trilinear
from recon.fields.opacity import neus_alpha
from recon.fusion.rays import RayBatch, RayPool, first_crossings
from recon.fusion.tsdf import FusedFields
from recon.ops.windows import max_pool_window, min_pool_window
from recon.rendering.volume import ray_weights


@dataclass(frozen=True)
class CarveConfig:
    """Distances are in world units."""

    steps: int = 80
    """Optimization steps; 0 keeps the hull."""
    resolution: int = 48
    """Cells along each side of the carved offset, which is smooth; the hull keeps the silhouettes' detail."""
    picture: int = 64
    """Size of the compared views: pixels along the longer side."""
    rays: int = 2048
    """Rays per hypothesis and step."""
    samples: int = 40
    """Samples along each ray."""
    reach: tuple[float, float] = (-0.02, 0.3)
    """Interval of the samples along each ray, from the hull's surface."""
    learning_rate: float = 4e-3
    sharpness: tuple[float, float] = (60.0, 200.0)
    """NeuS sharpness at the first and last step, annealed from a soft to a sharp surface."""
    rounds: int = 2
    """Number of times that occlusion is recomputed."""
    occlusion_depth: float = 0.15
    """Depth below the current surface at which a view counts as occluded (scale of a Gaussian)."""
    unknown: float = 0.06
    """Photo-consistency cost of samples no other view sees; at least the best visible cost on that ray."""
    robust: float = 0.25
    """Color differences are clamped to this value."""
    texture_tolerance: float = 0.5
    """Fraction of the local color range that is ignored in comparisons, so that pixel-scale texture does not carve at
    random."""
    color_weight: float = 5.0
    opacity_weight: float = 20.0
    """Weight of object pixels that the carving makes transparent."""
    smooth_weight: float = 0.02
    area_weight: float = 0.02
    min_thickness: tuple[float, float] = (0.02, 0.05)
    """Thickness of hull parts below which they are never carved, and above which carving is unrestricted: colors are
    too coarse for wires and handles."""


def carve(views: ViewSet, fields: FusedFields, deep: FusedFields, config: CarveConfig, seed: int = 0) -> FusedFields:
    """Carve the visual hulls ``fields`` of ``views`` to where the views' colors agree.

    ``deep`` holds the same hulls on a coarser grid, with distances that are exact as deep as carving may go. Hypotheses
    share random numbers and have separate losses, so none depends on the others.
    """
    if config.steps == 0:
        return fields
    small, grid, hull = _reduced(views, config.picture), deep.grid, deep.values
    pool = RayPool(small, fields.trust)
    rays = pool.all
    shown = ((rays.alpha > 0.4) * rays.trust).float()
    along = torch.linspace(*config.reach, config.samples, device=views.device)
    t = first_crossings(hull, grid, rays.origin, rays.direction, 64)[..., None] + along
    free = _thick(hull, config.min_thickness)
    inset = torch.zeros_like(hull, requires_grad=True)
    optimizer = torch.optim.Adam([inset], lr=config.learning_rate, betas=(0.9, 0.99))
    generator = torch.Generator(views.device).manual_seed(seed)
    for step in range(config.steps):
        field = hull + inset * free
        if step % -(-config.steps // config.rounds) == 0:
            costs = _costs(small, rays, t, field.detach(), grid, config)
        index = pool.drawn(torch.rand(config.rays, generator=generator, device=views.device))
        drawn, places = pool.take(index), t.gather(1, index[..., None].expand(-1, -1, config.samples))
        points = drawn.origin[:, :, None] + drawn.direction[:, :, None] * places[..., None]
        distance = trilinear(field, points.flatten(1, 2), grid).unflatten(1, places.shape[1:])
        low, high = config.sharpness
        weights = ray_weights(neus_alpha(distance, low * (high / low) ** (step / max(1, config.steps - 1))))
        cost = (weights * costs.gather(1, index[..., None].expand(-1, -1, config.samples - 1))).sum(-1)
        open_by = torch.relu(distance.amin(-1) + 0.25 * grid.spacing)
        of_object = shown.gather(1, index)
        each = (config.color_weight * cost + config.opacity_weight * open_by) * of_object
        loss = (each.sum(1) / of_object.sum(1).clamp_min(1)).sum() + _prior(field, grid, config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            inset.clamp_(min=0)
    return replace(fields, values=_lowered(fields.values, hull, (inset * free).detach()))


def _lowered(
    fine: Float[Tensor, "n g g g"], hull: Float[Tensor, "n i i i"], inset: Float[Tensor, "n i i i"]
) -> Float[Tensor, "n g g g"]:
    """Add the coarse ``inset`` to ``fine``, keeping its truncation. Beyond the truncation distances come from the
    coarse ``hull``; a longer inset would otherwise make cavities."""
    limit = float(fine.abs().amax())
    hull, inset = (
        torch.nn.functional.interpolate(value[:, None], fine.shape[1:], mode="trilinear", align_corners=False)[:, 0]
        for value in (hull, inset)
    )
    return (torch.where(fine.abs() < 0.98 * limit, fine, hull) + inset).clamp(-limit, limit)


def _reduced(views: ViewSet, longest: int) -> ViewSet:
    """The views at most ``longest`` pixels wide and high, without depth and normals."""
    h, w = views.alpha.shape[-2:]
    share = min(1.0, longest / max(h, w))
    size = max(1, round(h * share)), max(1, round(w * share))

    def mean(value: Float[Tensor, "n v c h w"]) -> Float[Tensor, "n v c i j"]:
        return torch.nn.functional.interpolate(value.flatten(0, 1), size, mode="area").unflatten(0, value.shape[:2])

    alpha = mean(views.alpha)
    return ViewSet(
        mean(views.rgb * views.alpha) / alpha.clamp_min(1e-3), alpha, views.cameras.resized(size[1], size[0])
    )


def _thick(hull: Float[Tensor, "n g g g"], thin: tuple[float, float]) -> Float[Tensor, "n g g g"]:
    """Thickness of the hull within two cells, mapped to [0, 1] by the limits ``thin``."""
    depth = torch.nn.functional.max_pool3d(-hull[:, None], 5, 1, 2)[:, 0]
    return ((depth - thin[0]) / (thin[1] - thin[0])).clamp(0, 1)


@torch.no_grad()
def _costs(
    views: ViewSet,
    rays: RayBatch,
    t: Float[Tensor, "n q s"],
    field: Float[Tensor, "n g g g"],
    grid: VoxelGrid,
    config: CarveConfig,
) -> Float[Tensor, "n q i"]:
    """Photo-consistency cost between neighboring samples: color difference to the best-matching other view, among
    those that see the point if the surface is near that of ``field``."""
    middles = (t[..., 1:] + t[..., :-1]) / 2
    made = []
    for k in range(len(views)):
        cameras = views.cameras[k]
        solid, depth = views.rgb[k] * views.alpha[k], _depths(cameras, field[k], grid)
        pictures = torch.cat([solid, views.alpha[k], depth, _unevenness(views.rgb[k], views.alpha[k])], 1)
        points = rays.origin[k, :, None] + rays.direction[k, :, None] * middles[k, ..., None]
        best = torch.full_like(middles[k], torch.inf)
        for j in range(len(cameras)):
            pixels, z = cameras[j].project(points.flatten(0, 1))
            where = pixels / pixels.new_tensor([cameras.width, cameras.height]) * 2 - 1
            seen = torch.nn.functional.grid_sample(
                pictures[j : j + 1], where[None, None], padding_mode="border", align_corners=False
            )[0, :, 0].unflatten(1, best.shape)
            color = (seen[:3] / seen[3].clamp_min(1e-2)).movedim(0, -1)
            difference = (color - rays.rgb[k, :, None]).abs().mean(-1) - config.texture_tolerance * seen[5]
            difference = difference.clamp(0, config.robust)
            below = (z.unflatten(0, best.shape) - seen[4]).clamp_min(0)
            sight = torch.exp(-((below / config.occlusion_depth) ** 2))
            usable = (sight > 0.3) & (seen[3] > 0.6) & (rays.view[k] != j)[:, None]
            best = torch.where(usable, best.minimum(config.unknown + sight * (difference - config.unknown)), best)
        # Otherwise the surface could escape inconsistent views by moving where no view looks.
        unknown = torch.where(best.isinf(), config.robust, best).amin(-1, keepdim=True).clamp_min(config.unknown)
        made.append(torch.where(best.isinf(), unknown, best))
    return torch.stack(made)


def _unevenness(rgb: Float[Tensor, "v 3 h w"], alpha: Float[Tensor, "v 1 h w"]) -> Float[Tensor, "v 1 h w"]:
    """Half the range of the object's colors around each pixel, averaged over channels."""
    inside = alpha > 0.4
    high = max_pool_window(torch.where(inside, rgb, -1.0))
    low = min_pool_window(torch.where(inside, rgb, 2.0))
    return ((high - low) / 2).clamp_min(0).mean(1, keepdim=True)


def _depths(cameras: Cameras, field: Float[Tensor, "g g g"], grid: VoxelGrid) -> Float[Tensor, "v 1 h w"]:
    """z-depth of the first surface of ``field``."""
    origin, direction = cameras.rays()
    crossing = first_crossings(field[None], grid, origin.flatten(0, 1)[None], direction.flatten(0, 1)[None], 64)
    depth = crossing.reshape(direction.shape[:-1]) * (direction * cameras.c2w[:, None, :3, 2]).sum(-1)
    return depth.reshape(len(cameras), 1, cameras.height, cameras.width)


def _prior(field: Float[Tensor, "n g g g"], grid: VoxelGrid, config: CarveConfig) -> Float[Tensor, ""]:
    """Regularizer: bending energy near the surface and surface area, summed over hypotheses."""
    mean = torch.nn.functional.avg_pool3d(field[:, None], 3, 1)[:, 0]
    middle = field[:, 1:-1, 1:-1, 1:-1]
    near = torch.exp(-((middle.detach() / (2 * grid.spacing)) ** 2)).flatten(1)
    bending = (((mean - middle) / grid.spacing) ** 2).flatten(1)
    bending = (bending * near).sum(1) / near.sum(1).clamp_min(1e-3)
    corner = field[:, :-1, :-1, :-1]
    steps = [field[:, 1:, :-1, :-1], field[:, :-1, 1:, :-1], field[:, :-1, :-1, 1:]]
    slope = (sum((step - corner) ** 2 for step in steps) + 1e-8).sqrt() / grid.spacing
    # One at the surface, spread over neighboring cells.
    share = torch.sigmoid(corner / grid.spacing) * torch.sigmoid(-corner / grid.spacing) / grid.spacing
    area = (share * slope).flatten(1).sum(1) * grid.cell_volume
    return (config.smooth_weight * bending + config.area_weight * area).sum()
