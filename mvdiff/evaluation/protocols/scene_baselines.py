"""Samplers without a network: the truth itself, the photo's depth extruded, its mean color, the nearest known scene."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.evaluation.protocols.scene_case import SceneCase
from recon.core.cameras import Cameras
from recon.core.views import ViewSet

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
    """The photo's pixels at their true depth, moved into every view; holes as :func:`mean_color`. N times.

    What a perfect single-image depth network without invention reaches.
    """
    blank, photo = _blank(case), case.truth.select_views([0])
    assert blank.depth is not None
    values = torch.cat([photo.rgb, photo.alpha, photo.normal, photo.depth], 2)[0, 0].flatten(1).T
    shown = case.surface[0].flatten()
    points = case.cameras[0].unproject(case.depth[0]).reshape(-1, 3)
    rows = torch.cat([blank.rgb, blank.alpha, blank.normal], 2)[0].clone()
    depth = blank.depth[0, :, 0].clone()
    for k in range(case.truth.num_views):
        _splat(case.cameras[k], points[shown], values[shown, :7], rows[k], depth[k])
    own = case.truth
    rows[0, :3], rows[0, 3:4], rows[0, 4:7], depth[0] = own.rgb[0, 0], own.alpha[0, 0], own.normal[0, 0], case.depth[0]
    made = ViewSet(rows[None, :, :3], rows[None, :, 3:4], case.truth.cameras, rows[None, :, 4:7], depth[None, :, None])
    return made[[0] * num_hypotheses]


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
