"""Groups of views: what is drawn for each task, and that they are one world."""

import pytest
import torch
from box_rooms import box_store

from mvdiff.data.scenes.stream import SceneStore
from mvdiff.models.encoding import SceneCode
from mvdiff.training.scenes.batch import draw_batch, mirrored
from mvdiff.training.scenes.config import SceneBatchConfig, SceneMixture
from mvdiff.training.scenes.groups import PATH, PHOTO, SPHERE, Task, choose, task_counts
from recon.rendering.warp import forward_warp, seen_in

PLAIN = SceneBatchConfig(exposure=0.0, augment_photo=0.0)


@pytest.fixture(scope="module")
def store() -> SceneStore:
    return box_store(3, size=32)


def test_tasks_share_a_batch_as_the_mixture_says():
    assert task_counts(192, SceneMixture()) == {
        Task.SPHERE: 96,
        Task.KNOWN_RGB: 19,
        Task.TWO_PHOTOS: 10,
        Task.STATION: 67,
    }
    assert sum(task_counts(7, SceneMixture()).values()) == 7


def test_each_task_gets_its_kind_of_views(store):
    choice = choose(store.role.long(), store.place, 64, torch.Generator().manual_seed(0), PLAIN)
    role = store.role[choice.scene[:, None], choice.views]
    place = store.place[choice.scene[:, None], choice.views]
    assert (role[:, 0] == PHOTO).all()
    assert all(len(set(views)) == 9 for views in choice.views.tolist())
    spheres = slice(choice.counts[Task.SPHERE])
    assert (place[spheres] == place[spheres, :1]).all()
    assert ((role[spheres, 1:] == SPHERE) | (role[spheres, 1:] == PATH)).all()
    stations = choice.stations
    for views, sources, given in zip(choice.views[stations], choice.sources, choice.given[stations], strict=True):
        assert torch.equal(views[: 1 + given], sources[: 1 + given])
        assert not set(views[1 + given :].tolist()) & set(sources.tolist())
    assert not choice.given[: stations.start].any()
    assert set(choice.given[stations].tolist()) == {0, 1, 2, 3, 4, 5}


def test_groups_are_the_same_under_autocast(store):
    plain = draw_batch(store, 3, 12, torch.Generator().manual_seed(1), SceneBatchConfig())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = draw_batch(store, 3, 12, torch.Generator().manual_seed(1), SceneBatchConfig())
    assert torch.equal(plain.cameras.c2w, mixed.cameras.c2w)
    assert mixed.cameras.c2w.dtype == torch.float32
    assert torch.equal(plain.views, mixed.views)


def test_where_the_photo_alone_is_known_its_own_sphere_is_new(store):
    config = SceneBatchConfig(mixture=SceneMixture(0, 1, 0, 0), stations_here=0.5)
    choice = choose(store.role.long(), store.place, 64, torch.Generator().manual_seed(0), config)
    alone = (choice.sources == choice.views[:, :1]).all(1)
    assert 0.2 < alone.float().mean() < 0.8
    assert not choice.given[alone].any()
    role = store.role[choice.scene[:, None], choice.views][alone]
    place = store.place[choice.scene[:, None], choice.views][alone]
    assert (place == place[:, :1]).all()
    assert (role[:, 1:] == SPHERE).all()
    batch = draw_batch(store, 3, 64, torch.Generator().manual_seed(0), config)
    assert torch.equal(batch.alone.flatten(), alone)


def test_all_views_of_a_group_are_one_world_whose_unit_is_the_photos_depth(store):
    batch = draw_batch(store, 3, 12, torch.Generator().manual_seed(1), PLAIN)
    views = SceneCode().decode(batch.views, batch.cameras)
    depth = views.depth[:, 0].flatten(1)
    for row in depth:
        assert float(row[row > 0].median()) == pytest.approx(1.5, abs=0.02)
    assert batch.cameras.position[:, 0].abs().max() < 1e-5
    assert batch.cameras.c2w[:, 0, 0, 2].abs().max() < 1e-5  # heading along -Z, whatever the pitch
    assert (batch.cameras.c2w[:, 0, 2, 2] < 0).all()
    assert torch.equal(batch.photo, batch.views[:, 0, :3])
    # What the photo shows, moved into the other views, is what they show: cameras, depths, normals, mirrored or not.
    warped = forward_warp(views.select_views([0]), batch.cameras[:, 1:])
    valid = warped.valid.bool()
    assert valid.float().mean() > 0.03
    assert float((warped.rgb - views.rgb[:, 1:]).abs()[valid.expand_as(warped.rgb)].mean()) < 0.03
    surface = valid & (views.depth[:, 1:] > 0) & (warped.depth > 0)
    assert float((warped.depth / views.depth[:, 1:].clamp_min(0.1) - 1).abs()[surface].median()) < 0.03


def test_mirroring_twice_changes_nothing_and_once_keeps_the_world_whole(store):
    batch = draw_batch(store, 3, 4, torch.Generator().manual_seed(1), PLAIN)
    views = SceneCode().decode(batch.views, batch.cameras)
    once = mirrored(views)
    twice = mirrored(once)
    assert torch.equal(twice.rgb, views.rgb)
    assert torch.allclose(twice.cameras.c2w, views.cameras.c2w)
    assert torch.allclose(torch.linalg.det(once.cameras.c2w[..., :3, :3]), torch.tensor(1.0), atol=1e-4)
    before, after = (seen_in(each, each.select_views([0])) for each in (views, once))
    assert (before.flip(-1) == after).float().mean() > 0.99
