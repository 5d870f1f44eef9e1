"""The network as a sampler of cases: its order, its memory, and what a revisit may look at."""

from dataclasses import replace
from functools import lru_cache

import torch
from box_room import box_room, looking, room_case

from mvdiff.evaluation.protocols.scene_config import SceneSampling
from mvdiff.evaluation.protocols.scene_model import SceneModel, groups
from mvdiff.models import MultiViewTransformer
from mvdiff.pipelines.scene_diffusion import SceneDiffusionPipeline
from mvdiff.sampling.scene_memory import covering
from mvdiff.sampling.schedulers import make_scheduler

SHAPE = {"sample_size": 16, "patch_size": 8, "reference_channels": 0, "width": 64, "depth": 1, "heads": 2}


@lru_cache
def model() -> SceneModel:
    torch.manual_seed(0)
    network = MultiViewTransformer(**SHAPE, noise_groups=2, condition_channels=6).eval()
    for weight in network.parameters():
        if weight.abs().max() == 0:  # begun at zero it would ignore its inputs
            torch.nn.init.normal_(weight, std=0.05)
    pipeline = SceneDiffusionPipeline(network, make_scheduler())
    pipeline.set_progress_bar_config(disable=True)
    return SceneModel(pipeline, SceneSampling(num_inference_steps=2, station_steps=2), group=3)


@lru_cache
def case():
    return room_case(16)


def test_places_are_sampled_in_turn_spheres_first():
    assert groups(case(), 3) == [[1, 2, 3], [4], [5, 6], [7]]


def test_views_come_back_in_the_order_of_the_cameras_with_the_photo_first():
    views = model()(case(), 2, 5)
    assert views.rgb.shape == (2, 8, 3, 16, 16)
    torch.testing.assert_close(views.cameras.c2w[1], case().cameras.c2w)
    torch.testing.assert_close(views.rgb[0, 0], case().photo, atol=1e-3, rtol=0)
    assert not torch.allclose(views.rgb[0, 1], views.rgb[1, 1])


def test_a_hypothesis_is_the_same_for_any_number_of_them():
    one, two = model()(case(), 1, 5), model()(case(), 2, 5)
    for name in ("rgb", "depth"):
        torch.testing.assert_close(getattr(one, name)[0], getattr(two, name)[0], atol=2e-4, rtol=1e-3)


def test_a_revisit_reads_neither_photo_nor_sphere(monkeypatch):
    asked = []
    pipeline = model().pipeline
    original = type(pipeline).__call__

    def watched(self, photo, photo_cameras, targets, **known):
        asked.append((photo, targets, known))
        return original(self, photo, photo_cameras, targets, **known)

    monkeypatch.setattr(type(pipeline), "__call__", watched)
    views = model()(case(), 2, 5)
    photo, targets, known = asked[-1]
    assert targets.shape == (1,)
    further = views.rgb[:, 5:7].flatten(0, 1)
    assert any(torch.equal(photo, view) for view in further)
    shown = known["known_views"].rgb[0]
    assert all(any(torch.equal(view, other) for other in further) for view in shown)
    before = asked[-3]
    torch.testing.assert_close(before[0], case().photo)


def test_views_that_show_the_targets_are_remembered():
    cameras = looking([(0.0, 0.0, 0.0)] * 4, [0.0, 90.0, 180.0, 185.0], size=24)
    views, target = box_room(cameras), looking([(0.1, 0.0, 0.1)], [178.0], size=24)
    assert covering(views, target, [0, 1, 2, 3], 1)[0] in (2, 3)
    assert 0 not in covering(views, target, [0, 1, 2, 3], 3)
    assert covering(replace(views, depth=views.depth), target, [0], 3) == []
