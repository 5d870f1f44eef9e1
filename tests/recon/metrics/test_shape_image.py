"""Shape and picture metrics against closed forms and against scikit-image."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from recon import Cameras, TexturedMesh
from recon.metrics.image import mask_iou, psnr, ssim
from recon.metrics.shape import (
    SurfaceComparison,
    SurfacePoints,
    align_upright,
    nearest,
    thin_points,
    visible_points,
    volume_iou,
)
from recon.ops.voxelize import winding_inside
from recon.posterior import VoxelGrid
from recon.rendering import render_mesh
from recon.rendering.visibility import sees


def ball(radius: float) -> TexturedMesh:
    import trimesh

    sphere = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return TexturedMesh.from_arrays(sphere.vertices, sphere.faces)


def box(extents: tuple[float, float, float], shift: tuple[float, float, float] = (0, 0, 0)) -> TexturedMesh:
    import trimesh

    made = trimesh.creation.box(extents)
    return TexturedMesh.from_arrays(made.vertices + np.array(shift), made.faces)


def ring() -> Cameras:
    return Cameras.orbit([22.5 * k for k in range(16)], 30.0, size=128)


def surface(mesh: TexturedMesh, voxel: float = 0.01) -> SurfacePoints:
    return visible_points(render_mesh(mesh, ring(), supersample=1), voxel)


def sphere_points(radius: float, count: int = 20_000) -> SurfacePoints:
    normal = torch.nn.functional.normalize(torch.randn(count, 3), dim=-1)
    return SurfacePoints(normal * radius, normal)


def test_concentric_spheres_are_the_difference_of_their_radii_apart():
    found = SurfaceComparison.between(sphere_points(0.4), sphere_points(0.5))
    # The nearest sample lies a little aside of the nearest point: sqrt(0.1^2 + spacing^2).
    assert found.chamfer == pytest.approx(0.1, rel=0.01)
    assert found.normal_consistency == pytest.approx(1.0, abs=1e-3)
    assert found.f_score(0.05) == 0.0
    assert found.f_score(0.15) == 1.0


def test_f_score_of_half_a_truth():
    truth = sphere_points(0.5)
    upper = SurfacePoints(truth.points[truth.points[:, 1] > 0], truth.normals[truth.points[:, 1] > 0])
    found = SurfaceComparison.between(upper, truth)
    recall = 0.5 + 0.05 / 0.5 / 2  # a zone's area goes with its height; the rim reaches 0.05 further
    assert found.f_score(0.05) == pytest.approx(2 * recall / (1 + recall), abs=0.02)


def test_visible_points_lie_on_the_surface_and_only_where_it_is_seen():
    import trimesh

    inner, outer = trimesh.creation.icosphere(3, 0.2), trimesh.creation.icosphere(5, 0.5)
    both = trimesh.util.concatenate([inner, outer])
    seen = surface(TexturedMesh.from_arrays(both.vertices, both.faces))
    assert seen.points.norm(dim=-1).min() > 0.49  # the hidden ball inside does not count
    assert (seen.points.norm(dim=-1) - 0.5).abs().max() < 0.005
    assert (seen.normals * seen.points).sum(-1).min() > 0.49 * 0.98
    # From 30 degrees above, a sphere's underside is not seen below the cameras' horizon circle (thinly sampled there).
    lowest = -math.degrees(math.asin(math.sqrt(1 - (0.5 / 1.5) ** 2))) + 30
    assert lowest - 0.5 < math.degrees(math.asin(seen.points[:, 1].min() / 0.5)) < lowest + 4


def test_thinning_leaves_one_mean_point_for_each_cell():
    points = torch.tensor([[0.001, 0.0, 0.0], [0.003, 0.0, 0.0], [-0.001, 0.0, 0.0]])
    thin = thin_points(SurfacePoints(points, torch.tensor([[0.0, 0.0, 1.0]] * 3)), 0.01)
    assert sorted(thin.points[:, 0].tolist()) == pytest.approx([-0.001, 0.002])


def test_nearest_by_all_pairs_equals_the_tree():
    a, b = torch.rand(50, 3), torch.rand(40, 3)
    distance, index = nearest(a, b)
    assert torch.allclose(distance, torch.cdist(a, b).amin(-1), atol=1e-6)
    assert torch.equal(index, torch.cdist(a, b).argmin(-1))


def test_parts_of_the_truth_are_judged_apart():
    truth = sphere_points(0.5)
    half = truth.points[:, 2] > 0
    bent = truth.points.clone()
    bent[~half] *= 1.2
    found = SurfaceComparison.between(SurfacePoints(bent, truth.normals), truth)
    assert found.chamfer_of(half) < 0.003
    assert found.chamfer_of(~half) == pytest.approx(0.1, rel=0.05)
    assert found.chamfer_of(torch.zeros_like(half)) is None


def test_shifted_cubes_share_what_they_must():
    grid = VoxelGrid(torch.zeros(3), 1.0, 64)
    a = winding_inside(box((0.5, 0.5, 0.5)), grid)
    b = winding_inside(box((0.5, 0.5, 0.5), (0.25, 0, 0)), grid)
    assert volume_iou(a, a) == 1.0
    assert volume_iou(a, b) == pytest.approx(1 / 3, abs=0.02)
    assert volume_iou(torch.zeros_like(a), torch.zeros_like(a)) == 1.0


def test_a_camera_sees_the_near_cap_of_a_ball():
    ball_ = ball(0.5)
    points = sphere_points(0.5, 4000).points
    seen = sees(ball_, Cameras.orbit([0.0], 0.0, size=256), points, tolerance=0.005)[0]
    horizon = 0.5**2 / 1.5
    assert bool(seen[points[:, 2] > horizon + 0.05].all())
    assert not bool(seen[points[:, 2] < horizon - 0.05].any())


def test_alignment_recovers_yaw_scale_and_shift():
    chair = torch.cat(
        [box((0.6, 0.1, 0.5)).sample_surface(1500), box((0.1, 0.6, 0.3), (0.25, 0.3, 0.1)).sample_surface(1500)]
    )
    angle, scale, shift = math.radians(100), 0.8, torch.tensor([0.1, -0.05, 0.02])
    turn = torch.tensor([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]])
    moved = scale * chair @ turn.T + shift
    matrix = align_upright(moved, chair)
    assert torch.allclose(moved @ matrix[:3, :3].T + matrix[:3, 3], chair, atol=0.01)


def test_picture_metrics_agree_with_scikit_image():
    a = torch.rand(2, 3, 48, 40)
    b = (a + 0.1 * torch.randn_like(a)).clamp(0, 1)
    for k in range(2):
        one, other = a[k].permute(1, 2, 0).double().numpy(), b[k].permute(1, 2, 0).double().numpy()
        assert float(psnr(a, b)[k]) == pytest.approx(peak_signal_noise_ratio(one, other, data_range=1.0), abs=1e-3)
        reference = structural_similarity(
            one, other, data_range=1.0, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert float(ssim(a, b)[k]) == pytest.approx(reference, abs=1e-3)
    assert float(psnr(a, a)[0]) == pytest.approx(100.0)
    assert float(ssim(a, a)[0]) == pytest.approx(1.0)


def test_masks():
    a, b = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    a[..., :2], b[..., 1:3] = 1, 1
    assert float(mask_iou(a, b)) == pytest.approx(1 / 3)
    assert float(mask_iou(a * 0, b * 0)) == 1.0
