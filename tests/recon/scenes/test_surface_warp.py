"""Warping over torn surfaces: identity, magnified walls without cracks, gaps that stay unknown, views that disagree."""

from dataclasses import replace

import pytest
import torch
from box_rooms import box_views
from furnished_room import Room

from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.rendering.warp import forward_warp
from recon.scenes.surface_warp import surface_warp

SIZE = 48


def cameras(*places: tuple[float, float, float], ahead: tuple[float, float, float] = (0.0, 0.0, -1.0)) -> Cameras:
    position = torch.tensor([places])
    return Cameras.look_at(position, position + torch.tensor(ahead), fov=70.0, size=SIZE)


def test_the_identity_pose_keeps_what_is_known():
    views = box_views(cameras((0.3, 0.1, 0.2)))
    warped = surface_warp(views, views.cameras)
    known = warped.valid > 0.5
    assert known.float().mean() > 0.85
    assert float((warped.rgb - views.rgb).abs().mean(2, keepdim=True)[known].max()) < 0.05
    error = (warped.depth[known] / views.depth[known] - 1).abs()
    assert float(error.quantile(0.9)) < 2e-3  # the room's own creases are rounded


def test_a_wall_that_comes_near_has_no_cracks():
    """Four times nearer: points leave most pixels empty, a surface none of its own."""
    far, near = cameras((0.0, 0.0, 2.5)), cameras((0.0, 0.0, -1.7))
    views, truth = box_views(far), box_views(near)
    warped = surface_warp(views, near)
    assert warped.valid.mean() > 0.97
    assert forward_warp(views, near).valid.mean() < 0.5
    known = warped.valid > 0.5
    assert torch.allclose(warped.depth[known], truth.depth[known], rtol=2e-3)
    assert float((warped.rgb - truth.rgb).abs().mean()) < 0.03


def test_what_is_too_coarse_stays_unknown():
    views = box_views(cameras((0.0, 0.0, 2.7)))
    assert not surface_warp(views, cameras((0.0, 0.0, -2.6))).valid.any()


def two_walls() -> ViewSet:
    """A near plate before a far wall."""
    views = box_views(cameras((0.0, 0.0, 2.0)))
    depth, normal, rgb = views.depth.clone(), torch.zeros_like(views.normal), views.rgb.clone()
    normal[:, :, 2] = 1.0
    depth.fill_(4.0)
    depth[..., 16:32, 16:32] = 1.5
    rgb[..., 16:32, 16:32] = 0.0
    return replace(views, depth=depth, normal=normal, rgb=rgb)


def test_behind_an_edge_nothing_is_known():
    warped = surface_warp(two_walls(), cameras((0.6, 0.0, 2.0)))
    depth = warped.depth[0, 0, 0]
    row = depth[SIZE // 2]
    plate, wall = (row - 1.5).abs() < 0.1, (row - 4.0).abs() < 0.1
    assert plate.sum() > 8
    assert wall.sum() > 8
    # No surface is stretched between plate and wall: the gap on the plate's right side is a hole.
    assert (plate | wall | (row == 0)).all()
    last = int(plate.nonzero().max())
    assert (row[last + 3 : last + 6] == 0).all()


def test_surfaces_are_not_seen_from_behind():
    views = two_walls()
    back = cameras((0.0, 0.0, -1.0), ahead=(0.0, 0.0, 1.0))  # between plate and wall, facing the plate's back
    assert not surface_warp(views, back).valid.any()


def test_a_surface_that_others_look_through_goes_unless_it_is_the_photos():
    places = [(0.1 * k, 0.0, 2.0) for k in range(5)]
    views = box_views(cameras(*places))
    depth = views.depth.clone()
    depth[0, 2, 0, 20:28, 20:28] = 1.0  # floats before the wall in one view alone
    views = replace(views, depth=depth)
    target = cameras((0.2, 0.0, 1.9))
    assert not ((surface_warp(views, target, torch.full((1, 5), 0.5)).depth - 0.9).abs() < 0.15).any()
    trusted = torch.tensor([[0.5, 0.5, 1.0, 0.5, 0.5]])
    assert ((surface_warp(views, target, trusted).depth - 0.9).abs() < 0.15).any()


def test_views_that_disagree_a_little_give_one_smooth_surface():
    views = box_views(cameras(*[(0.15 * k, 0.0, 2.0) for k in range(6)]))
    scales = torch.tensor([1.0, 1.02, 0.99, 1.015, 0.985, 1.01])
    views = replace(views, depth=views.depth * scales[:, None, None, None])
    target = cameras((0.4, 0.0, 0.5))
    truth = box_views(target).depth[0, 0, 0]

    def roughness(depth: torch.Tensor) -> float:
        ratio = (depth[0, 0, 0] / truth)[8:-8, 8:-8]
        steps = ratio.diff(dim=-1)[(ratio[:, 1:] > 0) & (ratio[:, :-1] > 0)]
        return float(steps.abs().mean())

    assert roughness(surface_warp(views, target).depth) < 0.5 * roughness(forward_warp(views, target).depth)


def test_hypotheses_do_not_mix(small_room: Room):
    views = ViewSet.cat([small_room.views, replace(small_room.views, rgb=1 - small_room.views.rgb)])
    targets = small_room.views.cameras[:, 1:3].expand(2, 2)
    both = surface_warp(views, targets)
    alone = surface_warp(views[1], targets[1:])
    assert torch.equal(both.rgb[1:], alone.rgb)
    known = (both.valid > 0.5).expand_as(both.rgb)
    assert torch.allclose(both.rgb[0][known[0]], 1 - both.rgb[1][known[1]], atol=1e-5)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_trust_is_that_of_the_views(share):
    views = box_views(cameras((0.0, 0.0, 2.0)))
    warped = surface_warp(views, views.cameras, torch.full((1, 1), share))
    middle = warped.provenance[0, 0, 0, 20:28, 20:28]
    assert torch.allclose(middle, torch.full_like(middle, share), atol=0.05)
