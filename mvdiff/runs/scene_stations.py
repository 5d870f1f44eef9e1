"""Further places of a sampled scene: where they stand, and their views, conditioned on what is known already."""

import math
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.runs.scene_result import SceneSample, floor_distance
from mvdiff.sampling.scene_alignment import settled
from mvdiff.sampling.scene_camera import sphere_cameras
from mvdiff.sampling.scene_memory import MEMORY, covering, joined
from mvdiff.sampling.scene_photo import ScenePhoto
from mvdiff.sampling.scene_settings import SceneGenerationConfig
from mvdiff.sampling.schedulers import make_scheduler
from recon.core.views import ViewSet
from recon.rendering.warp import forward_warp
from recon.scenes import Body, SceneConfig, fuse_scene, scene_grid, walkable
from recon.scenes.surface_warp import surface_warp

#: Shift of the noise levels of stations, as in training.
_SHIFT = 3.0
_CELLS = 150_000
#: In units: farthest from the photo, nearest to other places, and distance kept from surfaces.
_REACH, _APART, _CLEAR = 2.25, 0.5, 0.35
#: Places compared, pixels of the pictures they are compared by, and the least share of new pixels.
_CANDIDATES, _SIZE, _LEAST_NEW = 8, 32, 0.02
#: Residual of log-depth from which a station is rejected.
_WORST = math.log(1.1)


def with_station(
    pipeline: Any,
    photo: ScenePhoto,
    sample: SceneSample,
    config: SceneGenerationConfig,
    generator: torch.Generator,
) -> SceneSample:
    """The sample with eight views more, from the free place that shows most of what is not known yet.

    Where nothing new can be reached on foot, or the new views contradict the known ones, the sample stays as it was and
    says so.
    """
    place = next_place(sample.views)
    if place is None:
        return replace(sample, notes=(*sample.notes, "no further place that is known to be free shows anything new"))
    views, size = sample.views, pipeline.transformer.config.sample_size
    targets = sphere_cameras(size, (float(place[0]), float(place[1]), float(place[2])))
    warp = surface_warp(views, targets.reshape(1, -1), sample.trust[None])
    memory = covering(views, targets, range(1, views.num_views), MEMORY)
    new = pipeline(
        photo.rgb,
        sample.camera.cameras(size),
        targets,
        num_hypotheses=1,
        photo_geometry=views.select_views([0]),
        known_views=views.select_views(memory) if memory else None,
        warp=warp,
        num_inference_steps=config.station_steps,
        guidance_scale=config.guidance_scale,
        scheduler=make_scheduler("unipc", _SHIFT),
        generator=[generator],
    ).views.to("cpu")
    settled_views, residual = settled(new.select_views(slice(1, None)), warp)
    if float(residual) > _WORST:
        note = f"a further place contradicts the others by {float(residual):.0%} of depth and is left out"
        return replace(sample, notes=(*sample.notes, note))
    return replace(sample, views=joined(views, settled_views.rounded()))


def next_place(views: ViewSet) -> Float[Tensor, "3"] | None:
    """The walkable place, at the photo's height above the floor, from which most new pixels are seen nearby."""
    eyes = floor_distance(views)
    field = fuse_scene(views, scene_grid(views, SceneConfig(cells=_CELLS)))
    floor = walkable(field, Body(1.1 * eyes, _CLEAR, 0.2 * eyes))
    places = field.grid.origin + (floor.cells + 0.5) * field.grid.cell
    places = places + places.new_tensor([0.0, eyes - field.grid.cell / 2, 0.0])
    taken = views.cameras.position[0]
    apart = torch.cdist(places, taken).amin(1) if len(places) else places.new_zeros(0)
    places = places[(apart >= _APART) & (places[:, [0, 2]].norm(dim=-1) <= _REACH)]
    if not len(places):
        return None
    places = places[torch.linspace(0, len(places) - 1, min(_CANDIDATES, len(places))).round().long()]
    gains = [_gain(views, place) for place in places]
    best = max(range(len(gains)), key=gains.__getitem__)
    return places[best] if gains[best] >= _LEAST_NEW else None


def _gain(views: ViewSet, place: Float[Tensor, "3"]) -> float:
    """Share of pixels around ``place`` that are not known; places farther away count less."""
    targets = sphere_cameras(_SIZE, (float(place[0]), float(place[1]), float(place[2])))
    unknown = 1 - float(forward_warp(views, targets.reshape(1, -1)).valid.mean())
    return unknown * (1 - float(place.norm()) / (2 * _REACH))
