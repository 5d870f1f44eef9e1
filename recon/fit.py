"""Gradient refinement of all hypotheses' signed-distance grids at once, by volume rendering against their views."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.grid import VoxelGrid
from recon.rendering.volume import neus_weights, trilinear
from recon.views import ViewSet


@dataclass(frozen=True)
class FitConfig:
    steps: int = 40
    """0 keeps the closed form."""
    rays: int = 1536
    """For each hypothesis and step."""
    samples: int = 40
    """Along each ray, within ``band`` of the closed form's surface."""
    band: float = 0.08
    learning_rate: float = 1.5e-3
    sharpness: tuple[float, float] = (150.0, 400.0)
    """Of the NeuS logistic, at the first and at the last step."""
    depth_weight: float = 4.0
    normal_weight: float = 0.02
    eikonal_weight: float = 0.02
    stay_weight: float = 50.0
    """Pull towards the closed form: what no view corrects stays as it was."""
    robust: float = 0.03
    """Depth errors beyond this are a view that disagrees, and pull no more."""


def fit(
    views: ViewSet, grid: VoxelGrid, initial: Float[Tensor, "n g g g"], config: FitConfig, seed: int = 0
) -> Float[Tensor, "n g g g"]:
    """Fields that render closer to the views than ``initial`` does."""
    device = views.device
    sdf = initial.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([sdf], lr=config.learning_rate, betas=(0.9, 0.99))
    generator = torch.Generator(device).manual_seed(seed)
    pixels = _Pixels.of(views)
    for step in range(config.steps):
        progress = step / max(1, config.steps - 1)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - 0.9 * progress)
        index = torch.randint(pixels.count, (len(views), config.rays), generator=generator, device=device)
        loss = _rendering_loss(sdf, pixels, index, grid, config, progress, generator)
        near = (initial.abs() < 0.9 * initial.abs().amax()).float()
        loss = loss + config.stay_weight * ((sdf - initial) ** 2 * near).sum() / near.sum().clamp_min(1)
        loss = loss + config.eikonal_weight * _eikonal(sdf, grid.spacing, near)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return sdf.detach()


@dataclass(frozen=True)
class _Pixels:
    """All pixels in and around the silhouettes, each hypothesis the same number (drawn with repetition)."""

    origin: Float[Tensor, "n q 3"]
    direction: Float[Tensor, "n q 3"]
    alpha: Float[Tensor, "n q"]
    distance: Float[Tensor, "n q"]
    """Along the ray to the surface that the view shows; 0 where it shows none."""
    normal: Float[Tensor, "n q 3"] | None

    @property
    def count(self) -> int:
        return self.alpha.shape[1]

    @staticmethod
    def of(views: ViewSet) -> "_Pixels":
        n = len(views)
        origin, direction = (value.flatten(1, 2) for value in views.cameras.rays())
        alpha = views.alpha.flatten(1)
        near = torch.nn.functional.max_pool2d(views.alpha.flatten(0, 1), 7, 1, 3).reshape(n, -1) > 0.3
        count = int(near.sum(1).amax().clamp_min(1))
        # Repeats of a shorter list keep every pixel as likely as the others.
        chosen = torch.stack([_cycled(row.nonzero()[:, 0], count) for row in near])
        forward = views.cameras.c2w[..., None, :3, 2].expand(*views.cameras.shape, alpha.shape[1] // views.num_views, 3)
        cosine = (direction * forward.flatten(1, 2)).sum(-1)
        depth = torch.zeros_like(alpha) if views.depth is None else views.depth.flatten(1)
        normal = None if views.normal is None else views.normal.movedim(2, -1).flatten(1, 3)

        def take(value: Tensor) -> Tensor:
            return value.gather(1, chosen[..., None].expand(-1, -1, value.shape[-1]) if value.ndim == 3 else chosen)

        return _Pixels(
            take(origin), take(direction), take(alpha), take(depth / cosine), None if normal is None else take(normal)
        )


def _cycled(index: Int[Tensor, "p"], count: int) -> Int[Tensor, "{count}"]:
    if len(index) == 0:
        return torch.zeros(count, dtype=torch.long, device=index.device)
    return index.repeat(-(-count // len(index)))[:count]


def _rendering_loss(
    sdf: Float[Tensor, "n g g g"],
    pixels: _Pixels,
    index: Int[Tensor, "n r"],
    grid: VoxelGrid,
    config: FitConfig,
    progress: float,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    def take(value: Tensor) -> Tensor:
        return value.gather(1, index[..., None].expand(-1, -1, value.shape[-1]) if value.ndim == 3 else index)

    origin, direction, alpha = take(pixels.origin), take(pixels.direction), take(pixels.alpha)
    distance = take(pixels.distance)
    n, r = index.shape
    shown = distance > 0
    # Around the surface that the view shows; through the whole sphere where it shows none.
    middle = torch.where(shown, distance, -(origin * direction).sum(-1))
    half = torch.where(shown, config.band, grid.extent)
    jitter = torch.rand(n, r, config.samples, generator=generator, device=sdf.device)
    steps = (torch.arange(config.samples, device=sdf.device) + jitter) / config.samples * 2 - 1
    t = middle[..., None] + half[..., None] * steps
    points = origin[:, :, None] + direction[:, :, None] * t[..., None]
    values = trilinear(sdf, points.flatten(1, 2), grid.extent).unflatten(1, (r, config.samples))
    low, high = config.sharpness
    weights = neus_weights(values, low + (high - low) * progress)
    opacity = weights.sum(-1)
    loss = torch.nn.functional.binary_cross_entropy(opacity.clamp(1e-3, 1 - 1e-3), alpha.clamp(0, 1))
    hit = shown & (alpha > 0.5)
    if bool(hit.any()):
        rendered = (weights * (t[..., 1:] + t[..., :-1]) / 2).sum(-1) / opacity.clamp_min(1e-3)
        error = (rendered - distance).abs().clamp_max(config.robust) * opacity.detach()
        loss = loss + config.depth_weight * (error * hit).sum() / hit.sum()
        if pixels.normal is not None:
            surface = (origin + direction * rendered.detach()[..., None])[:, :, None]
            offsets = torch.eye(3, device=sdf.device) * grid.spacing
            around = torch.cat([surface + offsets, surface - offsets], 2).flatten(1, 2)
            ahead, back = trilinear(sdf, around, grid.extent).unflatten(1, (r, 6)).split(3, -1)
            normal = torch.nn.functional.normalize(ahead - back, dim=-1)
            disagreement = (1 - (normal * take(pixels.normal)).sum(-1)).clamp_max(0.8)
            loss = loss + config.normal_weight * (disagreement * hit).sum() / hit.sum()
    return loss


def _eikonal(sdf: Float[Tensor, "n g g g"], spacing: float, near: Float[Tensor, "n g g g"]) -> Float[Tensor, ""]:
    """A distance grows by one per unit of length (Gropp et al. 2020)."""
    inner = sdf[:, :-1, :-1, :-1]
    slopes = [sdf[:, 1:, :-1, :-1], sdf[:, :-1, 1:, :-1], sdf[:, :-1, :-1, 1:]]
    norm = sum(((s - inner) / spacing) ** 2 for s in slopes).clamp_min(1e-8).sqrt()
    mask = near[:, :-1, :-1, :-1]
    return ((norm - 1) ** 2 * mask).sum() / mask.sum().clamp_min(1)
