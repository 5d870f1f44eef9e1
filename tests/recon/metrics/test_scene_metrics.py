"""Scores of scenes against truths in closed form."""

import math

import pytest
import torch
from box_room import BOX, box_room, gaussian_crps, looking

from recon.metrics.covisibility import pixels_seen_from
from recon.metrics.depth import abs_rel, median_scale, normal_degrees, within_ratio
from recon.metrics.image import gradient_similarity, masked_psnr, psnr, ssim, ssim_map
from recon.metrics.points import PointScores
from recon.metrics.probabilistic import crps
from recon.metrics.registration import register
from recon.metrics.shape import SurfacePoints


def rotation(degrees: float, axis: int = 1) -> torch.Tensor:
    a = math.radians(degrees)
    twist = torch.zeros(3, 3)
    i, j = (k for k in range(3) if k != axis)
    twist[i, j], twist[j, i] = -a, a
    return torch.linalg.matrix_exp(twist)


def test_depth_that_is_a_tenth_too_large_is_so_until_it_is_aligned():
    truth = torch.rand(8, 8) + 1
    mask = torch.rand(8, 8) > 0.3
    assert abs_rel(1.1 * truth, truth, mask).item() == pytest.approx(0.1, abs=1e-6)
    assert within_ratio(1.3 * truth, truth, mask) == 0
    assert within_ratio(truth / 1.2, truth, mask) == 1
    assert median_scale(1.1 * truth, truth, mask).item() == pytest.approx(1 / 1.1)
    assert abs_rel(truth, truth, torch.zeros_like(mask)).isnan()


def test_turned_normals_are_off_by_the_angle_of_the_turn():
    normal = torch.nn.functional.normalize(torch.tensor([1.0, 0.0, 2.0]), dim=0)[:, None, None].expand(3, 4, 4)
    turned = torch.einsum("ij,jhw->ihw", rotation(10), normal)
    mask = torch.ones(4, 4, dtype=torch.bool)
    assert normal_degrees(turned, normal, mask).item() == pytest.approx(10, abs=1e-3)
    assert normal_degrees(normal, normal, mask) < 1e-5


def test_masked_pictures_score_what_is_in_the_mask_alone():
    a = torch.rand(2, 3, 16, 16)
    b = a.clone()
    mask = torch.zeros(2, 16, 16, dtype=torch.bool)
    mask[:, :8] = True
    b[:, :, 8:] = 0
    assert (masked_psnr(a, b, mask) == 100).all()
    torch.testing.assert_close(masked_psnr(a, b, torch.ones_like(mask)), psnr(a, b))
    assert masked_psnr(a, b, mask, least_pixels=129).isnan().all()
    assert ssim_map(a, b).shape == (2, 3, 6, 6)
    torch.testing.assert_close(ssim_map(a, b).mean((1, 2, 3)), ssim(a, b))


def test_gradients_tell_edges_and_not_brightness():
    a = torch.zeros(1, 3, 12, 12)
    a[..., 6:] = 0.5
    assert torch.allclose(gradient_similarity(a, a + 0.2), torch.ones(1, 12, 12))
    assert gradient_similarity(a, torch.zeros_like(a))[0, 6, 6] < 0.1


@pytest.mark.parametrize("truth", [-0.5, 0.3, 2.0])
def test_crps_of_gaussian_draws_is_the_closed_form(truth):
    draws = 0.4 + 0.7 * torch.randn(20_000, dtype=torch.float64)
    assert crps(draws, torch.tensor(truth, dtype=torch.float64)).item() == pytest.approx(
        gaussian_crps(0.4, 0.7, truth), abs=0.01
    )


def test_crps_is_its_definition_and_copies_score_their_error():
    draws, truth = torch.randn(5, 7), torch.randn(7)
    by_pairs = (draws - truth).abs().mean(0) - (draws[:, None] - draws[None]).abs().mean((0, 1)) / 2
    torch.testing.assert_close(crps(draws, truth), by_pairs)
    torch.testing.assert_close(crps(draws[:1].expand(4, 7), truth), (draws[0] - truth).abs())


def test_a_shifted_plane_is_missed_below_the_shift_and_met_above():
    grid = torch.stack(torch.meshgrid(torch.arange(30) * 0.01, torch.arange(30) * 0.01, indexing="ij"), -1)
    plane = torch.cat([grid.reshape(-1, 2), torch.zeros(900, 1)], -1)
    shifted = plane + torch.tensor([0.0, 0.0, 0.035])
    limits = [k / 100 for k in range(1, 11)]
    scores = PointScores.between(shifted, plane, limits)
    assert scores.precision == scores.recall == scores.f_scores == (0.0,) * 3 + (1.0,) * 7
    assert scores.area == pytest.approx((0.5 * 0.01 + 0.06) / 0.09)
    half = PointScores.between(plane[:450], plane, limits)
    assert half.precision[0] == 1
    assert half.recall[0] == pytest.approx(0.5 + 1 / 30)  # the row at the cut lies within .01
    assert half.f_scores[0] == pytest.approx(2 * half.recall[0] / (1 + half.recall[0]))
    assert PointScores.between(plane[:0], plane, limits).f_scores[-1] == 0


def test_a_camera_sees_what_it_shows_and_another_what_no_box_hides():
    cameras = looking([(0.0, 0.0, 0.0), (1.2, 0.2, -0.8)], [0.0, -30.0], size=64)
    depth = box_room(cameras).depth[0, :, 0]
    own = pixels_seen_from(cameras, depth, cameras[0], depth[0])
    assert own[0].all()
    # By rays: the segment from the photo's camera to the point meets no box, and the point is in the picture.
    points = cameras[1].unproject(depth[1]).reshape(-1, 3)
    pixel, z = cameras[0].project(points)
    inside = (z > 0) & ((pixel >= 0) & (pixel < 64)).all(-1)
    low, high = (points.new_tensor(c) for c in BOX)
    direction = torch.where(points.abs() < 1e-9, 1e-9, points)
    enter = torch.minimum(low / direction, high / direction).amax(-1)
    leave = torch.maximum(low / direction, high / direction).amin(-1)
    free = ~((enter < leave) & (enter < 0.999) & (leave > 0))
    expected = (inside & free).reshape(64, 64)
    assert expected.any()
    assert not expected.all()
    assert (own[1] == expected).float().mean() > 0.985  # all but silhouettes


def test_the_sky_is_seen_in_its_direction():
    cameras = looking([(0.0, 0.0, 0.0)] * 3, [0.0, 20.0, 180.0], size=32)
    views = box_room(cameras, open_top=True)
    depth = views.depth[0, :, 0]
    seen = pixels_seen_from(cameras, depth, cameras[0], depth[0])
    _, directions = cameras[1:2].rays()
    x, y, z = (directions[0] @ cameras[0].c2w[:3, :3]).reshape(32, 32, 3).unbind(-1)
    shown = (z > 0) & (torch.maximum(x.abs(), y.abs()) < z * math.tan(math.radians(35)))
    sky = depth[1] <= 0
    assert (sky & shown).sum() > 50
    assert (sky & ~shown).sum() > 20
    assert (seen[1] & sky == shown & sky).float().mean() > 0.98  # all but its border
    assert not seen[2].any()


def test_registration_finds_the_motion_of_a_camera():
    cameras = looking([(0.0, 0.0, 0.0)], [20.0], size=64)
    views = box_room(cameras)
    points = cameras.unproject(views.depth[0, :, 0])[0].reshape(-1, 3)
    normal = views.normal[0, 0].movedim(0, -1).reshape(-1, 3)
    back = torch.eye(4)
    back[:3, :3], back[:3, 3] = rotation(2.0), torch.tensor([0.03, -0.02, 0.05])
    moved = (points - back[:3, 3]) @ back[:3, :3]
    motion = register(moved[::3], SurfacePoints(points, normal))
    assert motion.degrees == pytest.approx(2.0, abs=0.05)
    torch.testing.assert_close(motion.matrix, back, atol=2e-3, rtol=0)
    still = register(points[::3], SurfacePoints(points, normal))
    assert still.degrees < 1e-3
    assert still.distance < 1e-5


def test_a_slide_along_the_only_wall_is_not_claimed():
    grid = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 40), indexing="ij"), -1)
    wall = torch.cat([grid.reshape(-1, 2), torch.full((1600, 1), 2.0)], -1)
    normal = torch.tensor([0.0, 0.0, -1.0]).expand(1600, 3)
    motion = register(wall + torch.tensor([0.1, 0.0, 0.02]), SurfacePoints(wall, normal))
    torch.testing.assert_close(motion.matrix[:3, 3], torch.tensor([0.0, 0.0, -0.02]), atol=1e-4, rtol=0)
    assert motion.degrees < 1e-3
