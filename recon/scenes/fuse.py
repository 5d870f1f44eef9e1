"""TSDF fusion over a box with free-space carving (Curless and Levoy 1996); what no ray reaches stays unknown."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.ops.parallel import each
from recon.scenes.depth_maps import DepthMaps, Pyramid
from recon.scenes.field import FREE, OCCUPIED, UNKNOWN, SceneField
from recon.scenes.grid import SceneGrid

#: Cells along each edge of the blocks that are culled together.
_BLOCK = 4
#: Blocks at a time: what is worked on stays in the processor's cache.
_TOGETHER = 4096


@dataclass(frozen=True)
class SceneFuseConfig:
    """Truncation and weights of the depth maps' votes for a scene's cells."""

    truncation: float = 3.0
    """Distance in cells before a surface up to which views measure; beyond it they vote for free space."""
    relative_truncation: float = 0.02
    """The same as a share of the depth, if that is more: far surfaces agree less well."""
    behind: float = 2.0
    """Distance in cells behind a surface up to which views measure; kept short, so that thin walls keep two sides."""
    free_space_weight: float = 0.2
    """Weight of a free-space vote relative to a measurement seen head-on."""
    grazing_power: float = 1.5
    """Power of the cosine between surface and ray in a measurement's weight."""
    behind_power: float = 2.0
    """Power of the fade of a measurement's weight behind the surface."""
    free_distance: float = 0.5
    """Distance in cells before the fused surface from which on a cell is free."""


def fuse_scene(
    views: ViewSet, grid: SceneGrid, config: SceneFuseConfig | None = None, trust: Float[Tensor, "n v"] | None = None
) -> SceneField:
    """Fuse views with depth and normals into occupied, free and unknown cells.

    Args:
        views: ``n`` hypotheses of ``v`` views, any pinhole lens each; alpha 0 is sky, whose rays carve without end.
        grid: The box that is fused.
        config: Truncation and weights.
        trust: Factor on the votes of each view, such as more for the photo than for views far from it.

    Returns:
        One field for each hypothesis.

    Raises:
        InputError: The views have no depth or no normals.
    """
    config, grid = config or SceneFuseConfig(), grid.to(views.device)
    if trust is not None and trust.shape != views.rgb.shape[:2]:
        raise InputError(f"Trust is one number for each view {list(views.rgb.shape[:2])}, not {list(trust.shape)}.")

    # Slabs of blocks, so that one hypothesis has work for all threads and none writes where another does.
    slabs = _corners(grid).chunk(1 if views.rgb.is_cuda else torch.get_num_threads())
    maps = each(lambda k: DepthMaps.of(views[k]), range(len(views)), views.device)

    def fused(job: tuple[int, int]) -> _Votes:
        k, slab = job
        own = views.rgb.new_ones(views.num_views) if trust is None else trust[k].to(views.rgb)
        return _Votes(grid, slabs[slab]).cast(maps[k], own, config)

    jobs = [(k, slab) for k in range(len(views)) for slab in range(len(slabs))]
    votes = each(fused, jobs, views.device)
    parts = [votes[start : start + len(slabs)] for start in range(0, len(votes), len(slabs))]
    return SceneField.cat([_Votes.cat(part).field(config) for part in parts])


def _corners(grid: SceneGrid) -> Float[Tensor, "b 3"]:
    """Centers of the first cells of all blocks."""
    return grid.coarser(_BLOCK).points().reshape(-1, 3) - (_BLOCK - 1) / 2 * grid.cell


class _Votes:
    """Sums over views for each cell, in blocks of cells that lie together: [blocks, cells of a block]."""

    def __init__(self, grid: SceneGrid, corners: Float[Tensor, "b 3"]) -> None:
        self.grid, self.corners = grid, corners
        axis = torch.arange(_BLOCK, device=corners.device) * grid.cell
        self.offsets = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
        self.weight, self.total, self.free = corners.new_zeros(3, len(corners), _BLOCK**3).unbind(0)

    @staticmethod
    def cat(parts: "Sequence[_Votes]") -> "_Votes":
        """The blocks of several slabs, in their order."""
        whole = _Votes(parts[0].grid, torch.cat([part.corners for part in parts]))
        for name in ("weight", "total", "free"):
            torch.cat([getattr(part, name) for part in parts], out=getattr(whole, name))
        return whole

    def cast(self, maps: DepthMaps, trust: Float[Tensor, "v"], config: SceneFuseConfig) -> "_Votes":
        """Add the votes of all views."""
        cell = self.grid.cell
        finite = torch.where(torch.isinf(maps.depth), 0.0, maps.depth)
        front = (config.relative_truncation * finite).clamp_min(config.truncation * cell)
        free, hidden = maps.limits(front, config.behind * cell)
        least_free, most_hidden = Pyramid.of(-free), Pyramid.of(hidden)
        for number in range(len(maps.depth)):
            weight = float(trust[number])
            if weight <= 0:
                continue
            cleared, mixed = self._culled(maps, number, least_free, most_hidden)
            self.free[cleared] += config.free_space_weight * weight
            view = _View.of(maps, number, free, hidden, front)
            for part in mixed.split(_TOGETHER):
                self._cast_cells(view, part, weight, config)
        return self

    def _culled(
        self, maps: DepthMaps, number: int, least_free: Pyramid, most_hidden: Pyramid
    ) -> tuple[Int[Tensor, "p"], Int[Tensor, "q"]]:
        """Blocks that one view sees free altogether, and those whose cells have to be looked at."""
        radius = _BLOCK * self.grid.cell * 3**0.5 / 2
        camera, focal = maps.cameras[number : number + 1], maps.cameras.intrinsics[number].diagonal()[:2].max()
        pixels, z = (value[0] for value in camera.project((self.corners + self.offsets[-1] / 2)[None]))
        # Pixels from the center's to those of the sphere around the block; the lens stretches towards its border.
        size = pixels.new_tensor([camera.width, camera.height])
        stretch = 1 + ((pixels - size / 2) / focal).norm(dim=-1)
        reach = focal * radius * stretch / (z - radius).clamp_min(1e-6)
        ahead, near = z > radius, (z > -radius) & (z <= radius)
        margin = torch.minimum(pixels, size - pixels).amin(-1)
        candidates = (ahead & (margin > -reach)).nonzero()[:, 0]
        pixels, z, reach, margin = pixels[candidates], z[candidates], reach[candidates], margin[candidates]
        inside = (margin >= reach) & (z + radius < -least_free.around(number, pixels, reach))
        seen = z - radius <= most_hidden.around(number, pixels, reach)
        return candidates[inside], torch.cat([candidates[~inside & seen], near.nonzero()[:, 0]])

    def _cast_cells(self, view: "_View", blocks: Int[Tensor, "b"], weight: float, config: SceneFuseConfig) -> None:
        u, v, z = view.projected(self.corners[blocks], self.offsets)
        column, row = u.floor(), v.floor()
        inside = (z > 1e-6) & (column >= 0) & (column < view.width) & (row >= 0) & (row < view.height)
        pixel = torch.where(inside, row * view.width + column, 0.0).long()
        free = inside & (z < view.free[pixel])
        at = (inside & ~free & (z < view.hidden[pixel]) & view.measures[pixel]).flatten().nonzero()[:, 0]
        distance, front, quality = view.measured(*(value.flatten()[at] for value in (u, v, z, pixel)))
        behind = config.behind * self.grid.cell
        measured = (distance >= -behind) & (distance <= front)
        fade = (1 + distance.clamp_max(0) / behind).clamp_min(0) ** config.behind_power
        sharpness = (self.grid.cell * view.focal / z.flatten()[at]).clamp_max(1)
        share = measured * weight * quality**config.grazing_power * fade * sharpness
        empty = torch.zeros_like(z).flatten()
        empty[free.flatten()] = config.free_space_weight * weight
        empty[at[distance > front]] = config.free_space_weight * weight
        self.free.index_add_(0, blocks, empty.reshape(z.shape))
        place = blocks[at // z.shape[1]] * z.shape[1] + at % z.shape[1]
        self.weight.view(-1).index_add_(0, place, share)
        limit = config.truncation * self.grid.cell
        self.total.view(-1).index_add_(0, place, share * distance.clamp_max(limit))

    def field(self, config: SceneFuseConfig) -> SceneField:
        cell, limit = self.grid.cell, config.truncation * self.grid.cell
        weight = self.weight + self.free
        distance = (self.total + self.free * limit) / weight.clamp_min(1e-12)
        state = torch.where(distance > config.free_distance * cell, FREE, OCCUPIED)
        state = torch.where(weight > 0, state, UNKNOWN).to(torch.uint8)
        return SceneField(self.grid, *(self._dense(values)[None] for values in (state, distance, weight)))

    def _dense(self, values: Tensor) -> Tensor:
        counts = self.grid.coarser(_BLOCK).shape
        cells = values.reshape(*counts, *(_BLOCK,) * 3).permute(0, 3, 1, 4, 2, 5)
        x, y, z = self.grid.shape
        return cells.reshape(*(count * _BLOCK for count in counts))[:x, :y, :z].contiguous()


@dataclass(frozen=True)
class _View:
    """One view's maps, flattened for look-ups."""

    projection: Float[Tensor, "3 4"]
    width: int
    height: int
    focal: float
    free: Float[Tensor, "p"]
    hidden: Float[Tensor, "p"]
    measures: Tensor
    slope: Float[Tensor, "p"]
    cosine: Float[Tensor, "p"]
    front: Float[Tensor, "p"]
    inverse: Float[Tensor, "p"]
    across: Float[Tensor, "p"]
    down: Float[Tensor, "p"]

    @staticmethod
    def of(
        maps: DepthMaps,
        number: int,
        free: Float[Tensor, "v h w"],
        hidden: Float[Tensor, "v h w"],
        front: Float[Tensor, "v h w"],
    ) -> "_View":
        camera = maps.cameras[number]
        gradients = (maps.gradient[:, 0], maps.gradient[:, 1])
        named = (free, hidden, maps.measures, maps.slope, maps.cosine, front, maps.inverse, *gradients)
        focal = float(camera.intrinsics.diagonal()[:2].mean())
        flat = (values[number].flatten() for values in named)
        return _View(camera.intrinsics @ camera.w2c[:3], camera.width, camera.height, focal, *flat)

    def projected(self, corners: Float[Tensor, "b 3"], offsets: Float[Tensor, "c 3"]) -> tuple[Tensor, Tensor, Tensor]:
        """Pixel coordinates and z-depth [b c] of all sums of a corner and an offset: additions instead of products."""
        start = corners @ self.projection[:, :3].T + self.projection[:, 3]
        step = offsets @ self.projection[:, :3].T
        x, y, z = (start[:, None, i] + step[:, i] for i in range(3))
        scale = 1 / z.clamp_min(1e-6)
        return x * scale, y * scale, z

    def measured(
        self, u: Float[Tensor, "p"], v: Float[Tensor, "p"], z: Float[Tensor, "p"], pixel: Int[Tensor, "p"]
    ) -> tuple[Float[Tensor, "p"], Float[Tensor, "p"], Float[Tensor, "p"]]:
        """Signed distance to the surface along its normal, truncation in front of it, and cosine."""
        across, down = u - pixel % self.width - 0.5, v - pixel // self.width - 0.5
        inverse = self.inverse[pixel] + self.across[pixel] * across + self.down[pixel] * down
        depth = 1 / inverse.clamp_min(1e-6)
        return (depth - z) * self.slope[pixel], self.front[pixel], self.cosine[pixel]
