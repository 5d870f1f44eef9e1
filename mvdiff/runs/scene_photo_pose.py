"""The camera of a further photo of a scene: stated, or searched among places where the photographer can stand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.runs.scene_result import SceneResult, SceneSample, floor_distance
from mvdiff.sampling.scene_camera import FOV_PRIOR
from mvdiff.sampling.scene_photo import ScenePhoto
from mvdiff.sampling.scene_rig import Pose, cameras_of
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.posterior.scene_evidence import photo_log_likelihood
from recon.scenes import Body, SceneConfig, fuse_scene, scene_grid, walkable
from recon.scenes.surface_warp import surface_warp

_CELLS = 100_000
#: Directions and places that are tried first, and the finer turns around the best of them, in degrees.
_YAWS, _PLACES = 16, 8
_TURNS, _TILTS, _BEST = (-10.0, 0.0, 10.0), (-10.0, 0.0, 10.0), 3
_PITCH = -3.0
#: Share of a photo that the first one must show for its camera to be believed.
_LEAST_OVERLAP = 0.3
_DOUBTFUL = (
    "Where it was estimated to stand, the second photo hardly overlaps the first one, and a guessed place tells no "
    "camera: state --yaw and --position."
)
#: Longest way from the first photo in units.
_REACH = 3.0


@dataclass(frozen=True)
class SecondPhoto:
    """A further photo of the same place. Angles in degrees, lengths in meters.

    +X right, +Y up, the first photo's camera at the origin looking along -Z.
    """

    photo: ScenePhoto
    yaw: float | None = None
    """From the first photo's direction, positive to the right; estimated by default."""
    pitch: float | None = None
    position: tuple[float, float, float] | None = None
    """The first photo's place by default where ``yaw`` is given."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        for name in ("yaw", "pitch"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise InputError(f"The {name} of the second photo is an angle in degrees, not {value}.")
        if self.position is not None and not all(math.isfinite(value) and abs(value) < 1e3 for value in self.position):
            raise InputError("The position of the second photo is three lengths in meters: X Y Z.")
        if self.position is not None and self.yaw is None:
            raise InputError("A second photo with a position needs --yaw, too: the degrees to the right of the first.")

    def record(self) -> dict[str, Any]:
        own = {"yaw": self.yaw, "pitch": self.pitch, "position": None if self.position is None else list(self.position)}
        return {"kind": "photo", "sha256": self.photo.sha256, "fov": self.photo.fov, **own}

    def located(self, result: SceneResult) -> "LocatedPhoto":
        """The camera of the photo in each hypothesis, and how well each predicts it.

        A stated camera is taken as it is. Otherwise the likelihood is searched over walkable places and directions,
        then around the best ones; each hypothesis takes its own best camera, and its evidence is the mean over all.
        """
        fov = FOV_PRIOR[0] if self.photo.fov is None else self.photo.fov
        if self.yaw is not None:
            poses = [[self._stated(sample, fov)] for sample in result.samples]
            return LocatedPhoto(self, result, poses, self._likelihood(result, poses))
        coarse = [_candidates(sample, fov) for sample in result.samples]
        first = self._likelihood(result, coarse)
        best = first.topk(min(_BEST, first.shape[1]), 1).indices.tolist()
        fine = [[turned for k in own for turned in _around(poses[k])] for own, poses in zip(best, coarse, strict=True)]
        second = self._likelihood(result, fine)
        both = [[*a, *b] for a, b in zip(coarse, fine, strict=True)]
        return LocatedPhoto(self, result, both, torch.cat([first, second], 1))

    def _stated(self, sample: SceneSample, fov: float) -> Pose:
        x, y, z = (value / sample.metres for value in self.position or (0.0, 0.0, 0.0))
        assert self.yaw is not None
        return Pose((x, y, z), self.yaw, _PITCH if self.pitch is None else self.pitch, 0.0, fov)

    def _likelihood(self, result: SceneResult, poses: Sequence[Sequence[Pose]]) -> Float[Tensor, "n c"]:
        size = result.views.rgb.shape[-1]
        cameras = Cameras.cat([cameras_of(list(own), size).reshape(1, -1) for own in poses])
        return photo_log_likelihood(result.views, self.photo.rgb, cameras)


@dataclass(frozen=True)
class LocatedPhoto:
    """A further photo with candidate cameras in each hypothesis."""

    second: SecondPhoto
    result: SceneResult
    poses: Sequence[Sequence[Pose]]
    log_likelihood: Float[Tensor, "n c"]

    @cached_property
    def best(self) -> list[Pose]:
        """The likeliest pose in each hypothesis."""
        return [own[k] for own, k in zip(self.poses, self.log_likelihood.argmax(1).tolist(), strict=True)]

    @property
    def evidence(self) -> Float[Tensor, "n"]:
        """Log-likelihood of each hypothesis: the mean over its cameras."""
        return self.log_likelihood.logsumexp(1) - math.log(self.log_likelihood.shape[1])

    def views(self, sources: Sequence[int], size: int) -> ViewSet:
        """The photo as a view [n 1] of hypotheses made from the old ones ``sources``."""
        rgb = torch.nn.functional.interpolate(
            self.second.photo.rgb[None], (size, size), mode="bilinear", antialias=True
        ).clamp(0, 1)
        cameras = cameras_of([self.best[k] for k in sources], size).reshape(-1, 1)
        count = len(sources)
        return ViewSet(rgb[None].expand(count, -1, -1, -1, -1), rgb.new_ones(count, 1, 1, size, size), cameras)

    @cached_property
    def overlap(self) -> list[float]:
        """Share of the photo that the first photo shows, too, in each hypothesis."""
        size = self.result.views.rgb.shape[-1]
        cameras = cameras_of(self.best, size).reshape(-1, 1)
        return surface_warp(self.result.views.select_views([0]), cameras).valid.flatten(1).mean(1).tolist()

    def record(self) -> dict[str, Any]:
        """Camera in each hypothesis, in meters and degrees, with the share of the likelihood that lies near it."""
        share = self.log_likelihood.softmax(1)
        cameras = []
        for k, pose in enumerate(self.best):
            near = torch.tensor([_near(pose, other) for other in self.poses[k]])
            position = [round(value * self.result.samples[k].metres, 3) for value in pose.position]
            angles = {"yaw": round(pose.yaw, 1), "pitch": round(pose.pitch, 1)}
            found = {"likelihood_share": round(float(share[k][near].sum()), 4), "overlap": round(self.overlap[k], 3)}
            cameras.append({**angles, "position": position, **found})
        estimated = self.second.yaw is None
        doubtful = estimated and max(self.overlap) < _LEAST_OVERLAP
        return {"estimated": estimated, "cameras": cameras, "warning": _DOUBTFUL if doubtful else None}


def _near(one: Pose, other: Pose) -> bool:
    """Whether two poses are the same up to the search's step."""
    turn = abs((one.yaw - other.yaw + 180) % 360 - 180)
    return turn <= 360 / _YAWS and math.dist(one.position, other.position) < 0.3


def _candidates(sample: SceneSample, fov: float) -> list[Pose]:
    """The photo's own place and places spread over the floor of one hypothesis, as many for each of them."""
    eyes = floor_distance(sample.views)
    field = fuse_scene(sample.views, scene_grid(sample.views, SceneConfig(cells=_CELLS)))
    floor = walkable(field, Body(1.05 * eyes, 0.2, 0.2 * eyes))
    places = field.grid.origin + (floor.cells + 0.5) * field.grid.cell
    places = places + places.new_tensor([0.0, eyes - field.grid.cell / 2, 0.0])
    places = spread_places(places[places.norm(dim=-1) <= _REACH], _PLACES)
    found = [(0.0, 0.0, 0.0), *(tuple(place) for place in places.tolist())]
    found += [found[0]] * (1 + _PLACES - len(found))  # the same number in each hypothesis
    return [Pose(place, 360.0 / _YAWS * k, _PITCH, 0.0, fov) for place in found for k in range(_YAWS)]


def spread_places(places: Float[Tensor, "p 3"], count: int) -> Float[Tensor, "q 3"]:
    """Up to ``count`` places far from each other and from the origin (farthest-point sampling)."""
    if not len(places):
        return places
    apart, chosen = places.norm(dim=-1), []
    for _ in range(min(count, len(places))):
        chosen.append(int(apart.argmax()))
        apart = torch.minimum(apart, (places - places[chosen[-1]]).norm(dim=-1))
    return places[chosen]


def _around(pose: Pose) -> list[Pose]:
    return [
        Pose(pose.position, pose.yaw + turn, pose.pitch + tilt, 0.0, pose.fov)
        for turn in _TURNS
        for tilt in _TILTS
        if turn or tilt
    ]
