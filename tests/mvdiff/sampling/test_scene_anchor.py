"""The second pass of a scene's sampling: what the photo shows is turned into other views and kept there."""

import pytest
import torch
from box_rooms import box_store

from mvdiff.sampling.scene_anchor import turned
from recon.core.cameras import Cameras
from recon.core.views import ViewSet


@pytest.fixture(scope="module")
def room() -> ViewSet:
    """The photo and the sphere of one place of a box-shaped room [1 9]."""
    store = box_store(1, size=64)
    here = (store.place[0] == store.place[0, 0]).nonzero()[:9, 0]
    rgba, depth = store.rgba[0, here].float() / 255, store.depth[0, here].float()
    cameras = Cameras(store.c2w[0, here].float(), store.intrinsics[0, here].float(), 64, 64)
    return ViewSet(rgba[None, :, :3], rgba[None, :, 3:], cameras.reshape(1, 9), depth=depth[None, :, None])


def test_a_turned_photo_is_what_the_other_views_show(room):
    warp = turned(room.select_views([0]), room.cameras[:, 1:])
    valid = warp.valid[0, :, 0] > 0.5
    assert 0.05 < valid.float().mean() < 0.6
    color = (warp.rgb - room.rgb[:, 1:]).abs().mean(2)[0]
    assert float(color[valid].mean()) < 0.03
    known = valid & (warp.depth[0, :, 0] > 0) & (room.depth[0, 1:, 0] > 0)
    ratio = warp.depth[0, :, 0][known] / room.depth[0, 1:, 0][known]
    assert float((ratio - 1).abs().median()) < 0.02
    assert not warp.rgb[0].movedim(1, -1)[~valid].any()


def test_a_view_turned_by_nothing_is_itself(room):
    own = room.select_views([0])
    warp = turned(own, own.cameras)
    assert warp.valid.all()
    assert torch.allclose(warp.rgb, own.rgb, atol=1e-4)
    assert torch.allclose(warp.depth, torch.where(own.alpha > 0.5, own.depth, 0.0), rtol=1e-4)


def test_hypotheses_are_turned_each_by_its_own_cameras(room):
    both = room[[0, 0]]
    other = both.cameras[:, [2, 1]]
    together = turned(both.select_views([0]), other)
    alone = turned(room.select_views([0]), other[:1])
    assert torch.equal(together.rgb[:1], alone.rgb)
