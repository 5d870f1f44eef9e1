"""TSDF fusion (Curless and Levoy 1996): depths and silhouettes of all views, averaged into a signed distance grid."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.grid import VoxelGrid
from recon.core.views import ViewSet
from recon.fusion.consistency import ViewConsistency
from recon.fusion.observations import ObservationMaps, showing
from recon.ops.parallel import each


@dataclass(frozen=True)
class FuseConfig:
    """Weights of the measurements. Pairs of values are for consistent views and for inconsistent ones: settings that
    measure best in the first case tear thin parts apart in the second."""

    truncation: float = 0.04
    """Truncation distance in world units; beyond it only the sign of a measurement counts."""
    free_space_weight: tuple[float, float] = (0.15, 0.5)
    """Weight of a free-space observation relative to a distance measurement."""
    grazing_power: tuple[float, float] = (2.0, 0.75)
    """Exponent of the cosine between normal and line of sight in a measurement's weight."""
    behind_surface_decay: tuple[float, float] = (1.0, 0.0)
    """Decay of the weights behind the surface: the back of a thin sheet should not cancel its front."""
    prior: float = 1e-3
    """Weight of the prior that unobserved space is inside."""
    chunk: int = 2**17
    """Voxels per chunk, which bounds the memory. A GPU takes eight times as many."""


@dataclass(frozen=True)
class FusedFields:
    """One fused SDF per hypothesis, with the consistency of the views behind it."""

    values: Float[Tensor, "n g g g"]
    """Signed distance, negative inside."""
    grid: VoxelGrid
    trust: Float[Tensor, "n v"]
    """Trust in each view; 0 if it shows nothing."""
    consistency: tuple[float, ...]
    """Consistency of each hypothesis' views, from 0 (contradicting) to 1 (one object)."""
    colors: Float[Tensor, "n 3 g g g"] | None = None
    """Predicted sRGB near the surface, for what no view shows; a fusion predicts none."""

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int | slice) -> "FusedFields":
        """Hypotheses ``index``; an int keeps the leading axis."""
        index = slice(index, index + 1 or None) if isinstance(index, int) else index
        colors = None if self.colors is None else self.colors[index]
        return FusedFields(self.values[index], self.grid, self.trust[index], self.consistency[index], colors)

    def to(self, device: torch.device | str) -> "FusedFields":
        grid = self.grid.to(device)
        colors = None if self.colors is None else self.colors.to(device)
        return replace(self, values=self.values.to(device), grid=grid, trust=self.trust.to(device), colors=colors)


def fuse(views: ViewSet, grid: VoxelGrid, config: FuseConfig) -> FusedFields:
    """Signed distances, truncated to +-``truncation``.

    With depth every view measures its own surface; without it the silhouettes alone carve (the visual hull).
    Pictures are assumed to hold the whole object: what lies outside a picture is outside the silhouette.
    """
    grid = grid.to(views.device)

    def fused(k: int) -> tuple[Float[Tensor, "g g g"], Float[Tensor, "v"], float]:
        maps = ObservationMaps.of(views[k])
        agreement = ViewConsistency.of(maps)
        # The agreement is of the views that show something.
        trust = torch.zeros_like(views.alpha[k, :, 0, 0, 0]).masked_scatter(showing(views[k])[0], agreement.trust)
        return _fused(maps, agreement, grid, config), trust, agreement.consistency

    values, trust, consistency = zip(*each(fused, range(len(views)), views.device), strict=True)
    return FusedFields(torch.stack(values), grid, torch.stack(trust), consistency)


def _fused(
    maps: ObservationMaps, agreement: ViewConsistency, grid: VoxelGrid, config: FuseConfig
) -> Float[Tensor, "g g g"]:
    """A grid of half the resolution first, then those cells of the fine one that a surface is near."""

    def votes(points: Float[Tensor, "p 3"]) -> Float[Tensor, "p"]:
        chunk = config.chunk * (8 if points.is_cuda else 1)
        return torch.cat([_vote(maps, agreement, part, config) for part in points.split(chunk)])

    size = (grid.resolution,) * 3
    half = VoxelGrid(grid.center, grid.extent, grid.resolution // 2)
    if grid.resolution % 2 or half.spacing > 0.75 * config.truncation:
        return votes(grid.points().reshape(-1, 3)).reshape(size)
    coarse = votes(half.points().reshape(-1, 3)).reshape(1, 1, *(half.resolution,) * 3)
    field = torch.nn.functional.interpolate(coarse, size, mode="trilinear", align_corners=False)[0, 0].flatten()
    change = torch.nn.functional.max_pool3d(coarse, 3, 1, 1) + torch.nn.functional.max_pool3d(-coarse, 3, 1, 1)
    unsure = torch.nn.functional.interpolate((change > 0.02 * config.truncation).float(), size)[0, 0]
    unsure = unsure.flatten().nonzero()[:, 0]
    field[unsure] = votes(grid.points().reshape(-1, 3)[unsure])
    return field.reshape(size)


def _vote(
    maps: ObservationMaps, agreement: ViewConsistency, points: Float[Tensor, "p 3"], config: FuseConfig
) -> Float[Tensor, "p"]:
    limit, seen = config.truncation, maps.read(points[None])
    outside = torch.where(seen.visible, seen.outside, -limit)
    if maps.surface is None:
        return _intersection(outside.clamp(-limit, limit))

    def between(pair: tuple[float, float]) -> float:
        return pair[1] + (pair[0] - pair[1]) * agreement.consistency

    trust, near = agreement.trust[:, None], seen.covered & (seen.ahead.abs() <= limit)
    fade = (1 + seen.ahead.clamp_max(0) / limit).clamp_min(0) ** between(config.behind_surface_decay)
    # Grazing views measure badly.
    measured = near * trust * seen.weight * seen.cosine.clamp(0.1, 1) ** between(config.grazing_power) * fade
    # Emptiness grows with the distance from the silhouette, so that a border that is a pixel off does not carve.
    beside = (outside / (0.5 * limit)).clamp(0, 1)
    empty = torch.where(seen.covered, (seen.ahead > limit) * seen.weight, beside)
    # Low-trust views contribute depth but not free space.
    empty = between(config.free_space_weight) * (1.5 * trust - 0.5).clamp_min(0) * empty
    distance = torch.where(seen.covered, seen.ahead, outside).clamp(-limit, limit)
    # A view says nothing about points behind its surface. Points that no view measures count as inside.
    votes = measured + empty
    return ((votes * distance).sum(0) - config.prior * limit) / (votes.sum(0) + config.prior)


def _intersection(outside: Float[Tensor, "v p"]) -> Float[Tensor, "p"]:
    """Distance to the visual hull; with many views a single dissenting one is ignored."""
    tolerated = len(outside) // 8
    return outside.topk(tolerated + 1, dim=0).values[-1]
