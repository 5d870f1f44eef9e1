"""Protocol S2: real posed pictures, one of which is the photo while others are held back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.evaluation.protocols.scene_case import SceneCase, in_photo_frame
from mvdiff.evaluation.protocols.scene_config import SceneEvaluationConfig
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.io.views import colmap, rgbd

#: Pictures are squeezed onto the square that the network works on.
SIZE = 128
_LOADED_SIDE = 512


@dataclass(frozen=True)
class RealFrames:
    """Posed pictures with what is known of their depth."""

    name: str
    c2w: Float[Tensor, "v 4 4"]
    load: Callable[[Sequence[int]], ViewSet]
    """Views [1 v] of the frames with these numbers; depth is 0 where it was not measured."""
    medians: Sequence[float | None] | None = None
    """Median depth of each frame, where maps of depth do not tell it."""


@dataclass(frozen=True)
class RealJob:
    """One photo with its held frames."""

    frames: RealFrames
    photo: int
    held: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.frames.name}/{self.photo}"

    def make(self) -> SceneCase:
        views = upright(self.frames.load([self.photo, *self.held]), up_of(self.frames.c2w))
        median = None if self.frames.medians is None else self.frames.medians[self.photo]
        views = in_photo_frame(views, 0, median)
        assert views.depth is not None
        return SceneCase(
            name=self.name,
            kind="real",
            truth=views,
            photo=views.rgb[0, 0],
            roles=("photo", *["path"] * len(self.held)),
            stations=(0,) * (1 + len(self.held)),
            seed=self.photo,
            measured=views.depth[0, :, 0] > 0,
        )


def real_jobs(config: SceneEvaluationConfig) -> list[RealJob]:
    """Start frames spread over the data, each with held frames spread over those within reach."""
    assert config.data is not None
    frames = open_frames(config.data)
    count, medians = len(frames.c2w), frames.medians
    usable = [k for k in range(count) if medians is None or medians[k] is not None]
    starts = [usable[k] for k in _spread(len(usable), config.scenes)]
    jobs = []
    for photo in starts:
        away = (frames.c2w[:, :3, 3] - frames.c2w[photo, :3, 3]).norm(dim=-1)
        near = [k for k in range(count) if k != photo and float(away[k]) <= config.reach]
        if near:
            jobs.append(RealJob(frames, photo, tuple(near[k] for k in _spread(len(near), config.held_frames))))
    if not jobs:
        raise InputError(f"No two frames of '{config.data}' lie within {config.reach:g}: choose a larger --reach.")
    return jobs


def open_frames(path: Path) -> RealFrames:
    """An RGB-D sequence, or a COLMAP model with its sparse points. Raises :class:`InputError`."""
    if rgbd.find(path):
        sequence = rgbd.RgbdSequence.open(path)
        return RealFrames(path.name, sequence.c2w, lambda frames: sequence.load(frames, (SIZE, SIZE)))
    if colmap.find(path) is None:
        raise InputError(
            f"'{path}' holds no data of known scale: give a COLMAP text model with {colmap.POINTS}, or frames of "
            f"color, depth and pose."
        )
    medians = colmap.median_depths(path)
    if not any(median is not None for median in medians):
        raise InputError(f"'{path}' has no {colmap.POINTS}, so its scale is unknown: export the points from COLMAP.")
    views = squeezed(colmap.load(path, max_side=_LOADED_SIDE, whole=True))
    return RealFrames(path.name, views.cameras.c2w[0], lambda k: views.select_views(list(k)), medians)


def squeezed(views: ViewSet) -> ViewSet:
    """Pictures [1 v] as squares of :data:`SIZE`, without depth's being known."""
    rgb = torch.nn.functional.interpolate(views.rgb[0], (SIZE, SIZE), mode="area")[None]
    one = torch.ones_like(rgb[:, :, :1])
    cameras = views.cameras.reshape(-1).resized(SIZE, SIZE).reshape(1, -1)
    return ViewSet(rgb, one, cameras, depth=torch.zeros_like(one))


def up_of(c2w: Float[Tensor, "v 4 4"]) -> Float[Tensor, "3"]:
    """Upward direction of the data's world: the mean of the pictures' own."""
    return torch.nn.functional.normalize(-c2w[:, :3, 1].mean(0), dim=0)


def upright(views: ViewSet, up: Float[Tensor, "3"]) -> ViewSet:
    """The same views in a world whose ``up`` is +Y (Rodrigues' rotation)."""
    target = up.new_tensor([0.0, 1.0, 0.0])
    axis, cosine = torch.linalg.cross(up, target), float(up @ target)
    matrix = torch.eye(4)
    if cosine < -1 + 1e-6:
        matrix[1, 1] = matrix[2, 2] = -1  # upside down: half a turn about x
    else:
        x, y, z = axis.tolist()
        cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        matrix[:3, :3] = torch.eye(3) + cross + cross @ cross / (1 + cosine)
    return replace(views, cameras=views.cameras.transformed(matrix))


def _spread(total: int, count: int) -> list[int]:
    """``count`` of ``total`` numbers, evenly spread."""
    count = min(count, total)
    return [int((k + 0.5) * total / count) for k in range(count)]
