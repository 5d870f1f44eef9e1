"""Samplers without a network: the truth itself, the photo's depth extruded, its mean color, the nearest known scene."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.evaluation.protocols.scene_case import SceneCase
from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.rendering.warp import depth_edges

#: Points to a pixel's side of an extruded photo, and the distance of its sky in median depths.
_FINER, _SKY = 3, 1e4

#: From a case, the number of hypotheses and a seed to views [n v] of the case's cameras with depth and normals, in its
#: unit. A network reads the photo, the cameras and the unit alone.
SceneSampler = Callable[[SceneCase, int, int], ViewSet]


def truth(case: SceneCase, num_hypotheses: int, seed: int) -> ViewSet:
    """The true views, N times."""
    return case.truth[[0] * num_hypotheses]


def mean_color(case: SceneCase, num_hypotheses: int, seed: int) -> ViewSet:
    """A wall of the photo's mean color at its median depth before every camera, N times."""
    blank = _blank(case)
    return blank[[0] * num_hypotheses]


def extruded(case: SceneCase, num_hypotheses: int, seed: int) -> ViewSet:
    """The photo's surface at its true depth, moved into every view; holes as :func:`mean_color`. N times.

    What a perfect single-image depth network without invention reaches.
    """
    blank = _blank(case)
    assert blank.depth is not None
    rows, depth = torch.cat([blank.rgb, blank.alpha, blank.normal], 2)[0].clone(), blank.depth[0, :, 0].clone()
    points, values = _fine_surface(case)
    for k in range(1, case.truth.num_views):
        _splat(case.cameras[k], points, values, rows[k], depth[k])
    depth = torch.where(rows[:, 3] > 0.5, depth, 0.0)
    own = case.truth
    rows[0], depth[0] = torch.cat([own.rgb[0, 0], own.alpha[0, 0], own.normal[0, 0]]), case.depth[0]
    rgb, alpha, normal = rows[None].split([3, 1, 3], 2)
    return ViewSet(rgb, alpha, own.cameras, normal, depth[None, :, None])[[0] * num_hypotheses]


def _fine_surface(case: SceneCase) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 7"]]:
    """Points of the photo's surface, ``_FINER`` to a pixel's side, with color, alpha and normal; the sky stands far.

    Between pixels 1 / depth is interpolated, except at edges of depth, where a pixel is extended.
    """
    depth, truth = case.depth[0], case.truth
    inverse = torch.where(depth > 0, 1 / depth.clamp_min(1e-6), 1 / (_SKY * case.unit))
    maps = torch.cat([truth.rgb[0, 0], truth.alpha[0, 0], truth.normal[0, 0], inverse[None]])[None]
    edge = torch.nn.functional.max_pool2d(depth_edges(depth)[None, None].float(), 3, 1, 1)
    smooth = torch.nn.functional.interpolate(maps, scale_factor=_FINER, mode="bilinear")
    blocks, edge = (torch.nn.functional.interpolate(x, scale_factor=_FINER) for x in (maps, edge))
    fine = torch.where(edge > 0, blocks, smooth)[0]
    camera = case.cameras[0].resized(_FINER * truth.rgb.shape[-1], _FINER * truth.rgb.shape[-2])
    return camera.unproject(1 / fine[7]).reshape(-1, 3), fine[:7].flatten(1).T


def copied(sampler: SceneSampler) -> SceneSampler:
    """The first hypothesis of another sampler, N times: what a single guess is worth as a distribution."""

    def one_guess(case: SceneCase, num_hypotheses: int, seed: int) -> ViewSet:
        return sampler(case, 1, seed)[[0] * num_hypotheses]

    return one_guess


@dataclass(frozen=True)
class KnownScene:
    """A training scene that can be looked at from anywhere."""

    photo: Float[Tensor, "3 h w"]
    render: Callable[[Cameras], ViewSet]
    """Views [1 v] of cameras [v] in its own photo's frame and unit."""


@dataclass(frozen=True)
class NearestScene:
    """The views of the training scenes whose photos are most like the asked one, one scene a hypothesis.

    Photos are compared as thumbnails by mean squared difference of color.
    """

    bank: Sequence[KnownScene]
    side: int = 16

    def __call__(self, case: SceneCase, num_hypotheses: int, seed: int) -> ViewSet:
        own = self._thumbnail(case.photo)
        apart = torch.stack([(self._thumbnail(each.photo) - own).square().mean() for each in self.bank])
        nearest = apart.argsort()[:num_hypotheses].tolist()
        nearest = (nearest * num_hypotheses)[:num_hypotheses]
        rendered = {k: self.bank[k].render(case.cameras) for k in set(nearest)}
        return ViewSet.cat([rendered[k] for k in nearest])

    def _thumbnail(self, photo: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 s s"]:
        return torch.nn.functional.adaptive_avg_pool2d(photo, self.side)


def _blank(case: SceneCase) -> ViewSet:
    _, v, _, h, w = case.truth.rgb.shape
    rgb = case.photo.mean((1, 2))[:, None, None].expand(1, v, 3, h, w)
    normal = -case.cameras.c2w[:, :3, 2][None, :, :, None, None].expand(1, v, 3, h, w)
    one = torch.ones_like(rgb[:, :, :1])
    return ViewSet(rgb, one, case.truth.cameras, normal, one * case.unit)


def _splat(
    camera: Cameras,
    points: Float[Tensor, "p 3"],
    values: Float[Tensor, "p c"],
    rows: Float[Tensor, "c h w"],
    depth: Float[Tensor, "h w"],
) -> None:
    """Draw points with a z-buffer into ``rows`` and ``depth``, where they fall; pinholes between them are closed."""
    pixel, z = camera.project(points)
    place = pixel.floor().long()
    wide = torch.full_like(depth, torch.inf)
    for radius in (1, 0):
        offsets = [(dx, dy) for dx in range(-radius, radius + 1) for dy in range(-radius, radius + 1)]
        near = torch.full_like(depth, torch.inf).flatten()
        at = [_cells(place + torch.tensor(o), z, camera) for o in offsets]
        for cell, kept in at:
            near.scatter_reduce_(0, cell, z[kept], "amin")
        limit = 1.04 * wide.flatten()  # a far point shining through a pinhole of a near surface is dropped
        for cell, kept in at:
            first = (z[kept] <= near[cell]) & (z[kept] <= limit[cell])
            rows.flatten(1)[:, cell[first]] = values[kept][first].T
            depth.flatten()[cell[first]] = z[kept][first]
        wide = near.reshape(depth.shape)


def _cells(place: Tensor, z: Tensor, camera: Cameras) -> tuple[Tensor, Tensor]:
    """Flat pixel numbers and which points have one."""
    x, y = place.unbind(-1)
    kept = ((z > 1e-3) & (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)).nonzero()[:, 0]
    return y[kept] * camera.width + x[kept], kept
