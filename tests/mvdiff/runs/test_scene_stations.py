"""Stations: they stand on free floor, add views, and change none of those before."""

import torch
from box_rooms import box_views
from tiny_scene_network import tiny_scene_network

from mvdiff.pipelines.scene_diffusion import SceneDiffusionPipeline
from mvdiff.runs.scene_result import SceneSample
from mvdiff.runs.scene_stations import next_place, with_station
from mvdiff.sampling.scene_camera import SceneCamera, sphere_cameras
from mvdiff.sampling.scene_photo import ScenePhoto
from mvdiff.sampling.scene_settings import SceneGenerationConfig
from mvdiff.sampling.schedulers import make_scheduler
from recon.core.cameras import Cameras
from recon.core.views import ViewSet

CAMERA = SceneCamera(70.0, 0.0, 0.0, 1.5)


def room(size: int = 32) -> ViewSet:
    return box_views(Cameras.cat([CAMERA.cameras(size), sphere_cameras(size)]).reshape(1, -1))


def test_a_station_adds_views_or_says_why_not():
    views = room()
    place = next_place(views)
    pipeline = SceneDiffusionPipeline(tiny_scene_network(), make_scheduler())
    pipeline.set_progress_bar_config(disable=True)
    config = SceneGenerationConfig(stations=1, station_steps=1)
    photo = ScenePhoto(views.rgb[0, 0])
    more = with_station(pipeline, photo, SceneSample(views, CAMERA), config, torch.Generator().manual_seed(0))
    assert (more.views.num_views == 17) != bool(more.notes)
    assert torch.equal(more.views.depth[:, :9], views.depth)
    if place is not None:
        assert place.norm() < 3.5
