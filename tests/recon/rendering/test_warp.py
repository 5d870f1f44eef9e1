"""Forward warping: identity, a plane under translation, occlusion, cracks, the sky."""

import torch

from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.rendering.warp import DEPTH_TEST, depth_edges, forward_warp

SIZE = 32


def camera(position=(0.0, 0.0, 0.0), toward=(0.0, 0.0, -1.0), fov: float = 60.0) -> Cameras:
    position = torch.tensor([[position]])
    return Cameras.look_at(position, position + torch.tensor(toward), fov=fov, size=SIZE)


def wall(z: float = 2.0, cameras: Cameras | None = None) -> ViewSet:
    """A fronto-parallel wall with a color of its own at each pixel."""
    cameras = camera() if cameras is None else cameras
    generator = torch.Generator().manual_seed(0)
    rgb = torch.rand(1, 1, 3, SIZE, SIZE, generator=generator)
    depth = torch.full((1, 1, 1, SIZE, SIZE), z)
    normal = torch.zeros_like(rgb)
    normal[:, :, 2] = 1.0
    return ViewSet(rgb, torch.ones_like(depth), cameras, normal, depth)


def test_the_identity_pose_is_the_identity():
    views = wall()
    views.depth[..., SIZE // 2 :] = 2.5  # an edge, which is left out
    warped = forward_warp(views, views.cameras)
    kept = ~depth_edges(views.depth[:, :, 0])[:, :, None]
    assert kept.float().mean() > 0.9
    assert (warped.valid.bool() | ~kept).all()
    assert torch.equal(warped.rgb * kept, views.rgb * kept)
    assert torch.allclose(warped.depth * kept, views.depth * kept, atol=1e-5)


def test_a_plane_under_sideways_translation_moves_by_whole_pixels():
    views = wall(2.0)
    shift = 3 * 2.0 / float(views.cameras.intrinsics[0, 0, 0, 0])  # three pixels at that depth
    warped = forward_warp(views, camera((shift, 0.0, 0.0)))
    assert torch.equal(warped.rgb[..., : SIZE - 3], views.rgb[..., 3:])
    assert not warped.valid[..., SIZE - 3 :].any()
    assert torch.allclose(warped.depth[..., : SIZE - 3], torch.tensor(2.0))


def test_magnified_surfaces_have_no_cracks_and_hide_what_is_behind():
    near, far = wall(1.0), wall(3.0)
    far.rgb.fill_(0.0)
    near.rgb.fill_(1.0)
    both = ViewSet(*(torch.cat(pair, 1) for pair in ((near.rgb, far.rgb), (near.alpha, far.alpha))),
                   Cameras.cat([near.cameras, far.cameras], 1), torch.cat([near.normal, far.normal], 1),
                   torch.cat([near.depth, far.depth], 1))  # fmt: skip
    warped = forward_warp(both, camera((0.0, 0.0, -0.4)))
    inner = (..., slice(2, -2), slice(2, -2))
    assert warped.valid[inner].all()
    assert (warped.rgb[inner] == 1).all()
    assert ((warped.depth[inner] - 0.6).abs() < DEPTH_TEST * 0.6).all()


def test_the_sky_turns_with_the_camera_and_does_not_move_with_it():
    views = wall()
    sky = ViewSet(views.rgb, views.alpha * 0, views.cameras, views.normal * 0, views.depth * 0)
    moved = forward_warp(sky, camera((5.0, 2.0, 1.0)))
    assert torch.equal(moved.rgb, sky.rgb)
    assert moved.valid.all()
    assert not moved.depth.any()
    assert not forward_warp(sky, camera(toward=(0.0, 0.0, 1.0))).valid.any()


def test_trust_falls_with_the_grazing_angle_and_with_the_view():
    views = wall()
    views.normal.copy_(torch.nn.functional.normalize(torch.tensor([0.9, 0.0, 0.436]), dim=0)[:, None, None])
    warped = forward_warp(views, views.cameras, torch.tensor([[0.5]]))
    assert (warped.provenance[warped.valid > 0] < 0.5).all()
    views.normal.copy_(torch.tensor([1.0, 0.0, 0.0])[:, None, None])
    grazing = forward_warp(views, views.cameras).valid
    assert grazing[..., SIZE // 2 + 4].sum() == 0


def test_edges_are_jumps_of_depth_and_not_slanted_planes():
    rows = torch.arange(1, SIZE + 1).float()
    floor = (40.0 / rows)[:, None].expand(SIZE, SIZE)  # z of a floor is linear in nearness
    assert not depth_edges(floor).any()
    jump = floor.clone()
    jump[:, 16:] *= 1.3
    assert depth_edges(jump)[1:-1, 15:17].all()
    assert not depth_edges(jump)[:, :14].any()
