"""Gradient refinement of all hypotheses' fields at once, by volume rendering against their views."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.grid import VoxelGrid
from recon.core.views import ViewSet
from recon.fields import Field, FieldConfig, make_field
from recon.fields.color import ColorGrid
from recon.fusion.rays import RayBatch, RayPool
from recon.ops.cuda_graphs import CapturedGraph
from recon.ops.ragged import padded_nonzero
from recon.rendering.volume import Backend, render_rays


@dataclass(frozen=True)
class FitConfig:
    steps: int = 30
    """0 keeps the closed form."""
    rays: int = 4096
    """For each hypothesis and step."""
    samples: int = 16
    """Along each ray, within ``band`` of the surface that its view or the field shows."""
    band: float = 0.06
    learning_rate: float = 1.25e-3
    sharpness: tuple[float, float] = (250.0, 1000.0)
    """NeuS sharpness at the first and last step."""
    alpha_weight: float = 1.0
    depth_weight: float = 4.0
    normal_weight: float = 0.05
    color_weight: tuple[float, float] = (0.0, 1.0)
    """With depth, which says more, and without."""
    eikonal_weight: float = 0.02
    anchor_weight: float = 50.0
    """Pull towards the closed form: what no view corrects stays as it was."""
    robust: float = 0.03
    """Depth errors beyond this are a view that disagrees, and pull no more."""
    points: int = 2048
    """Near the surface, for the terms that need no view, for each hypothesis and step."""
    field: FieldConfig = field(default_factory=FieldConfig)
    backend: Backend = "torch"
    """Implementation of the volume rendering weights; all give the same numbers."""

    @property
    def recordable(self) -> bool:
        """Whether a GPU may record a step: its kernels are the same every time."""
        return self.backend == "torch" and self.field.kind == "dense"


def fit(
    views: ViewSet,
    grid: VoxelGrid,
    initial: Float[Tensor, "n g g g"],
    trust: Float[Tensor, "n v"],
    config: FitConfig,
    seed: int = 0,
    confidence: Float[Tensor, "n v 1 h w"] | None = None,
) -> Float[Tensor, "n g g g"]:
    """Signed distances that render closer to the views than ``initial`` does; each view counts as far as it is trusted.

    ``confidence`` multiplies that trust pixel by pixel.

    Every hypothesis is drawn the same random numbers and has its own loss, so that it does not depend on the others.
    """
    if config.steps == 0:
        return initial
    device, truncation = views.device, float(initial.abs().amax())
    generator = torch.Generator(device).manual_seed(seed)
    shape = make_field(config.field, initial, grid, seed)
    parameters = [{"params": list(shape.parameters()), "lr": config.learning_rate}]
    pool = RayPool(views, trust, confidence)
    middle = pool.surface_distances(initial, grid)
    color = None
    if config.color_weight[views.depth is None] > 0:
        color = _colors(pool, middle, grid)
        parameters.append({"params": list(color.parameters()), "lr": 0.02})
    near = _Near(initial, truncation)
    optimizer = torch.optim.Adam(parameters, betas=(0.9, 0.99))
    rates = [group["lr"] for group in optimizer.param_groups]

    def descent(
        progress: Float[Tensor, ""],
        rays: Float[Tensor, "r"],
        steps: Float[Tensor, "r s"],
        points: Float[Tensor, "p"],
        jitter: Float[Tensor, "p 3"],
    ) -> Float[Tensor, ""]:
        """Leaves the loss' slope with the parameters; all but ``progress`` is random, in 0…1."""
        index = pool.drawn(rays)
        steps = (torch.arange(config.samples, device=device) + steps) / config.samples * 2 - 1
        t = middle.gather(1, index)[..., None] + config.band * steps
        loss = _rendering_loss(shape, color, pool.take(index), t, config, progress)
        loss = loss + _shape_loss(shape, near.drawn(grid, points, jitter), config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        return loss.detach()

    sizes = ((config.rays,), (config.rays, config.samples), (config.points,), (config.points, 3))
    if device.type == "cuda" and color is None and config.recordable:
        descent = CapturedGraph(descent, *(torch.zeros(size, device=device) for size in ((), *sizes)))
    for step in range(config.steps):
        progress = step / max(1, config.steps - 1)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1 - 0.9 * progress)
        drawn = (torch.rand(size, generator=generator, device=device) for size in sizes)
        descent(torch.full((), progress, device=device), *drawn)
        optimizer.step()
    return shape.distances(grid)


class _Near:
    """Cells near the closed form's surface."""

    def __init__(self, initial: Float[Tensor, "n g g g"], truncation: float) -> None:
        self.initial = initial
        self.cells, used = padded_nonzero(initial.flatten(1).abs() < 0.9 * truncation)
        self.count = used.sum(1)

    def drawn(
        self, grid: VoxelGrid, uniform: Float[Tensor, "p"], jitter: Float[Tensor, "p 3"]
    ) -> tuple[Float[Tensor, "n p 3"], Float[Tensor, "n p"]]:
        """Cell centers moved by up to half a cell; and the closed form at the centers themselves."""
        cell = self.cells.gather(1, (uniform * self.count[:, None]).long().clamp_max(self.cells.shape[1] - 1))
        g = grid.resolution
        place = torch.stack([cell // g**2, cell // g % g, cell % g], -1) + 0.5
        return place * grid.spacing - grid.extent + grid.center, self.initial.flatten(1).gather(1, cell)


def _rendering_loss(
    shape: Field,
    color: ColorGrid | None,
    rays: RayBatch,
    t: Float[Tensor, "n r s"],
    config: FitConfig,
    progress: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Means over each hypothesis' rays, summed over hypotheses."""
    low, high = config.sharpness
    made = render_rays(shape, rays.origin, rays.direction, t, low + (high - low) * progress, config.backend)
    entropy = torch.nn.functional.binary_cross_entropy(made.opacity.clamp(1e-3, 1 - 1e-3), rays.alpha, reduction="none")
    loss = config.alpha_weight * (entropy * rays.trust).mean(1)
    hit = ((rays.distance > 0) & (rays.alpha > 0.5)) * rays.trust
    share = hit.sum(1).clamp_min(1e-3)
    error = (made.distance - rays.distance).abs().clamp_max(config.robust) * made.opacity.detach()
    loss = loss + config.depth_weight * (error * hit).sum(1) / share
    if rays.normal is not None:
        surface = rays.origin + rays.direction * made.distance.detach()[..., None]
        normal = torch.nn.functional.normalize(shape.gradient(surface), dim=-1)
        disagreement = (1 - (normal * rays.normal).sum(-1)).clamp_max(0.8)
        loss = loss + config.normal_weight * (disagreement * hit).sum(1) / share
    if color is not None:
        middles = (t[..., 1:] + t[..., :-1]) / 2
        points = rays.origin[:, :, None] + rays.direction[:, :, None] * middles[..., None]
        seen = color.evaluate(points.flatten(1, 2)).unflatten(1, middles.shape[1:])
        shown = (made.weights[..., None] * seen).sum(2) / made.opacity.clamp_min(1e-2)[..., None]
        solid = (rays.alpha > 0.9) * rays.trust
        difference = (shown - rays.rgb).abs().mean(-1).clamp_max(0.3)
        loss = loss + config.color_weight[1] * (difference * solid).sum(1) / solid.sum(1).clamp_min(1e-3)
    return loss.sum()


def _shape_loss(
    shape: Field, near: tuple[Float[Tensor, "n p 3"], Float[Tensor, "n p"]], config: FitConfig
) -> Float[Tensor, ""]:
    """A distance grows by one per unit of length (Gropp et al. 2020), and stays where nothing moves it."""
    points, initial = near
    stay = ((shape.evaluate(points) - initial) ** 2).mean(1)
    slope = shape.gradient(points).norm(dim=-1)
    return (config.anchor_weight * stay + config.eikonal_weight * ((slope - 1) ** 2).mean(1)).sum()


def _colors(pool: RayPool, middle: Float[Tensor, "n r"], grid: VoxelGrid) -> ColorGrid:
    """The mean color of the pixels whose rays meet the first surface in a cell; gray where none does."""
    n, g = len(middle), grid.resolution
    surface = pool.all.origin + pool.all.direction * middle[..., None]
    place = grid.indices(surface).round().long().clamp(0, g - 1)
    cell = (place[..., 0] * g + place[..., 1]) * g + place[..., 2]
    weight = (pool.all.alpha > 0.9).float()[..., None]
    values = torch.cat([pool.all.rgb * weight, weight], -1)
    total = values.new_zeros(n, g**3, 4).scatter_add(1, cell[..., None].expand(-1, -1, 4), values)
    total = total.reshape(n, g, g, g, 4).movedim(-1, 1)
    # Spread to the neighbors, so that the color is known on both sides of the surface.
    for _ in range(3):
        total = total + 0.5 * torch.nn.functional.avg_pool3d(total, 3, 1, 1)
    color = (total[:, :3] + 0.5e-6) / (total[:, 3:] + 1e-6)
    return ColorGrid(color.movedim(1, -1), grid)
