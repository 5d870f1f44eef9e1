"""The next photo of a place: where to stand and look so that it tells most about which scene is the true one."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.runs.scene_photo_pose import spread_places
from mvdiff.runs.scene_result import SceneResult
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.ops.parallel import in_threads
from recon.posterior.scene_posterior import NextPhoto, PhotoNoise, candidate_cameras
from recon.scenes import Body
from recon.scenes.surface_warp import surface_warp

#: Directions from each place, places beside the photo's own, lens and size of the pictures that are compared.
YAWS, _PLACES, _FOV, _SIZE = 12, 8, 75.0, 32
#: Pixels a side whose errors are one and the same: a sampled wall or piece of furniture is wrong as a whole.
_CORRELATION = 16.0
#: Bits that a meter of walking costs in the choice of the next step.
BITS_PER_METER = 0.05
_SAFE = 0.95


@dataclass(frozen=True)
class ScenePhotoPlan:
    """Candidate photos of a place, ranked. Lengths in meters of the median scale of the hypotheses."""

    photo: NextPhoto
    places: Float[Tensor, "p 3"]
    """Positions in meters, the first photo's place first; +X right, +Y up, -Z ahead."""
    safe: Float[Tensor, "q 2"]
    """Ground positions x, z in meters of the cells over which a body is free with a probability of at least .95."""
    cell: float
    """Edge of such a cell in meters."""
    level: float = _SAFE

    def pose(self, candidate: int) -> tuple[Float[Tensor, "3"], float]:
        """Position and yaw in degrees to the right of the first photo."""
        return self.places[candidate // YAWS], (candidate % YAWS) * 360.0 / YAWS

    @property
    def safe_area(self) -> float:
        """Square meters."""
        return len(self.safe) * self.cell**2

    @property
    def next_step(self) -> int:
        """The candidate with the most bits after the cost of walking there."""
        walk = self.places[:, [0, 2]].norm(dim=-1).repeat_interleave(YAWS)
        return int((self.photo.information - BITS_PER_METER * walk).argmax())

    def to_dict(self) -> dict[str, Any]:
        views = [
            self._record(k) | {"expected_entropy_left_bits": round(max(self.photo.entropy - bits, 0.0), 4)}
            for k, bits in zip(self.photo.chosen, self.photo.cumulative, strict=True)
        ]
        return {
            "entropy_bits": round(self.photo.entropy, 4),
            "left_after_random_bits": round(self.photo.left_after_random, 4),
            "views": views,
            "next_step": self._record(self.next_step),
            "safe_to_walk": {"probability": self.level, "square_meters": round(self.safe_area, 2)},
        }

    def _record(self, candidate: int) -> dict[str, Any]:
        position, yaw = self.pose(candidate)
        bits = round(float(self.photo.information[candidate]), 4)
        return {"yaw": yaw, "position": [round(value, 3) for value in position.tolist()], "information_bits": bits}


def plan_photos(result: SceneResult, count: int = 3) -> ScenePhotoPlan:
    """Rank photos from the first one's place and from places that are safe to walk to.

    Each hypothesis predicts each photo by what its views show. What the first photo shows in any hypothesis tells
    nothing new: there hypotheses differ by the camera that they drew. The information is the mutual one between the
    photo and the number of the hypothesis.

    Raises:
        InputError: There is one hypothesis, about which nothing is open.
    """
    if len(result) < 2:
        raise InputError("One scene leaves nothing open: run `mvdiff scene` with --num-hypotheses 2 or more.")
    meters = float(torch.tensor([sample.metres for sample in result.samples]).median())
    safe, cell = _safe_cells(result, meters)
    places = torch.cat([torch.zeros(1, 3), spread_places(safe, _PLACES)])
    cameras = candidate_cameras(places, YAWS, fov=_FOV, size=_SIZE)
    predicted = ViewSet.cat(in_threads(lambda k: _predicted(result.samples[k].views, cameras), range(len(result))))
    shown = in_threads(lambda k: _predicted(result.samples[k].views.select_views([0]), cameras), range(len(result)))
    new = 1 - torch.cat([views.alpha for views in shown]).amax(0, keepdim=True)
    noise = PhotoNoise(size=_SIZE, correlation=_CORRELATION)
    photo = result.posterior.next_photo(replace(predicted, alpha=predicted.alpha * new), count, noise)
    return ScenePhotoPlan(photo, places * meters, safe[:, [0, 2]] * meters, cell * meters)


def _safe_cells(result: SceneResult, meters: float) -> tuple[Float[Tensor, "q 3"], float]:
    """Eye positions in units over the ground that is safe for a body, one for each column of cells, and their edge."""
    probabilities, body = result.posterior.probabilities, Body.person(meters)
    grid = probabilities.grid
    eyes = float(torch.tensor([sample.camera.height for sample in result.samples]).median()) / meters
    # The body stands where the photographer's feet would: the photo's height above the floor.
    level = int(((-eyes - float(grid.origin[1])) / grid.cell).__floor__()) + 1
    if not 0 <= level < grid.shape[1]:
        return torch.zeros(0, 3), grid.cell
    x, z = probabilities.safe_to_walk(body, _SAFE)[:, level].nonzero().unbind(-1)
    across = grid.origin[[0, 2]] + (torch.stack([x, z], -1) + 0.5) * grid.cell
    return torch.stack([across[:, 0], torch.zeros(len(across)), across[:, 1]], -1), grid.cell


def _predicted(views: ViewSet, cameras: Cameras) -> ViewSet:
    """Prediction of each camera's picture by the views of one hypothesis; alpha is 0 where they show nothing."""
    warped = surface_warp(views, cameras.reshape(1, -1))
    return ViewSet(warped.rgb, warped.valid, cameras.reshape(1, -1), torch.zeros_like(warped.rgb), warped.depth)
