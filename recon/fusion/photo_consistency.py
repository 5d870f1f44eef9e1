"""What silhouettes cannot show: views without depth carve their hull to where their colours agree.

Every pixel looks along its ray into the hull. At the true surface the other views show the pixel's colour, in front of
it they show whatever stands behind; so a distance is found for each pixel, as in plane-sweep stereo, but all pixels
share one field, which is smooth, has little area, and is not carved through what a silhouette shows. Where colours
tell nothing that prior alone rounds the hull off.
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
from recon.ops.windows import greatest_around, least_around
from recon.rendering.volume import ray_weights


@dataclass(frozen=True)
class CarveConfig:
    """Distances are in world units."""

    steps: int = 80
    """0 keeps the hull."""
    resolution: int = 48
    """Cells along each side: what is carved away is smooth, the silhouettes' detail stays the hull's."""
    picture: int = 64
    """Pixels along the longer side of the views that are compared."""
    rays: int = 2048
    """For each hypothesis and step."""
    samples: int = 40
    """Along each ray."""
    reach: tuple[float, float] = (-0.02, 0.3)
    """Where the samples lie, from the hull's surface on."""
    learning_rate: float = 4e-3
    sharpness: tuple[float, float] = (60.0, 200.0)
    """Of the NeuS logistic, at the first and at the last step: from a sight of many cells to one of a few."""
    rounds: int = 2
    """How often it is found anew what hides what."""
    hidden: float = 0.15
    """Depth below the surface as known so far at which a view tells hardly anything any more."""
    unknown: float = 0.06
    """What a place costs that no other view sees, in differences of colour; more where none that is seen is better."""
    robust: float = 0.25
    """Colours that differ more are of different things."""
    uneven: float = 0.5
    """Share of the colour's mean change from pixel to pixel that a difference may have for nothing: patterns as fine as
    pixels tell no distance, and would otherwise carve at random."""
    color_weight: float = 5.0
    cover_weight: float = 20.0
    """Of pixels of the object that the carving lets through."""
    smooth_weight: float = 0.02
    area_weight: float = 0.02
    thin: tuple[float, float] = (0.02, 0.05)
    """Where the hull's inside is nowhere deeper than the first it stays, deeper than the second it may go: colours are
    too coarse for wires and handles."""


def carve(views: ViewSet, fields: FusedFields, deep: FusedFields, config: CarveConfig, seed: int = 0) -> FusedFields:
    """``fields``, the hulls of ``views``, with the hollows that the colours show.

    ``deep`` is the same hulls on a coarser grid, its distances true as deep as the carving may go. Hypotheses draw the
    same random numbers and have their own losses: none depends on the others.
    """
    if config.steps == 0:
        return fields
    small, grid, hull = _reduced(views, config.picture), deep.grid, deep.values
    pool = RayPool(small, fields.trust)
    rays = pool.all
    shown = ((rays.alpha > 0.4) * rays.trust).float()
    along = torch.linspace(*config.reach, config.samples, device=views.device)
    t = first_crossings(hull, grid, rays.origin, rays.direction, 64)[..., None] + along
    free = _thick(hull, config.thin)
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
        each = (config.color_weight * cost + config.cover_weight * open_by) * of_object
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
    """``fine`` with the coarse ``inset`` added, as truncated as it is. Beyond its truncation the coarse ``hull`` knows
    the distance: an inset that is longer would otherwise make cavities."""
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
    """In [0, 1]: whether the hull is deep somewhere within two cells."""
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
    """Between neighbouring samples: how far the pixel's colour is from what that other view shows there which agrees
    best, among those that see it if the surface is about where ``field`` has it."""
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
            difference = (color - rays.rgb[k, :, None]).abs().mean(-1) - config.uneven * seen[5]
            difference = difference.clamp(0, config.robust)
            below = (z.unflatten(0, best.shape) - seen[4]).clamp_min(0)
            sight = torch.exp(-((below / config.hidden) ** 2))
            tells = (sight > 0.3) & (seen[3] > 0.6) & (rays.view[k] != j)[:, None]
            best = torch.where(tells, best.minimum(config.unknown + sight * (difference - config.unknown)), best)
        # Where all contradict each other, going where none looks is no way out.
        unknown = torch.where(best.isinf(), config.robust, best).amin(-1, keepdim=True).clamp_min(config.unknown)
        made.append(torch.where(best.isinf(), unknown, best))
    return torch.stack(made)


def _unevenness(rgb: Float[Tensor, "v 3 h w"], alpha: Float[Tensor, "v 1 h w"]) -> Float[Tensor, "v 1 h w"]:
    """Half the range of the object's colours in each pixel's neighbourhood, mean over the channels."""
    inside = alpha > 0.4
    high = greatest_around(torch.where(inside, rgb, -1.0))
    low = least_around(torch.where(inside, rgb, 2.0))
    return ((high - low) / 2).clamp_min(0).mean(1, keepdim=True)


def _depths(cameras: Cameras, field: Float[Tensor, "g g g"], grid: VoxelGrid) -> Float[Tensor, "v 1 h w"]:
    """z-depth of the first surface of ``field``."""
    origin, direction = cameras.rays()
    crossing = first_crossings(field[None], grid, origin.flatten(0, 1)[None], direction.flatten(0, 1)[None], 64)
    depth = crossing.reshape(direction.shape[:-1]) * (direction * cameras.c2w[:, None, :3, 2]).sum(-1)
    return depth.reshape(len(cameras), 1, cameras.height, cameras.width)


def _prior(field: Float[Tensor, "n g g g"], grid: VoxelGrid, config: CarveConfig) -> Float[Tensor, ""]:
    """Bending near the surface, and its area; summed over hypotheses."""
    mean = torch.nn.functional.avg_pool3d(field[:, None], 3, 1)[:, 0]
    middle = field[:, 1:-1, 1:-1, 1:-1]
    near = torch.exp(-((middle.detach() / (2 * grid.spacing)) ** 2)).flatten(1)
    bending = (((mean - middle) / grid.spacing) ** 2).flatten(1)
    bending = (bending * near).sum(1) / near.sum(1).clamp_min(1e-3)
    corner = field[:, :-1, :-1, :-1]
    steps = [field[:, 1:, :-1, :-1], field[:, :-1, 1:, :-1], field[:, :-1, :-1, 1:]]
    slope = (sum((step - corner) ** 2 for step in steps) + 1e-8).sqrt() / grid.spacing
    # One at the surface, spread over its neighbouring cells.
    share = torch.sigmoid(corner / grid.spacing) * torch.sigmoid(-corner / grid.spacing) / grid.spacing
    area = (share * slope).flatten(1).sum(1) * grid.cell_volume
    return (config.smooth_weight * bending + config.area_weight * area).sum()
