"""Laws of the posterior on shapes whose volumes, distances and modes are known."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from posterior_shapes import SMALL, ball, box, field_ball, views

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.grid import VoxelGrid
from recon.core.mesh import TexturedMesh
from recon.io.meshes.atlas import vertex_colors
from recon.metrics.distances import iou_matrix, local_difference_matrix
from recon.posterior import Hypothesis, Posterior, PosteriorConfig, find_modes, load_posterior, save_posterior
from recon.posterior.intervals import weighted_quantile
from recon.posterior.modes import silhouette

# Weights


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5))
def test_weights_sum_to_one(weights: list[float]) -> None:
    config = PosteriorConfig(grid=16, samples=64)
    posterior = Posterior.from_hypotheses(
        [ball(0.2 + 0.02 * i, level=1, weight=w) for i, w in enumerate(weights)], config
    )
    assert float(posterior.weights.sum()) == pytest.approx(1, abs=1e-6)
    assert posterior.weights.tolist() == pytest.approx([w / sum(weights) for w in weights], rel=1e-4)
    assert sum(mode.mass for mode in posterior.modes) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_bad_weights_are_named(weight: float) -> None:
    with pytest.raises(InputError, match="Hypothesis 1 has weight"):
        Posterior.from_hypotheses([ball(), ball(weight=weight)], SMALL)


def test_no_hypothesis_and_no_faces_are_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        Posterior.from_hypotheses([], SMALL)
    empty = Hypothesis(TexturedMesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)))
    with pytest.raises(InputError, match="no faces"):
        Posterior.from_hypotheses([ball(), empty], SMALL)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.floats(0.01, 1.0), st.randoms())
def test_weighted_quantile_reaches_its_level(values: list[float], level: float, random) -> None:
    x = torch.tensor(values)
    w = torch.tensor([random.uniform(0.1, 1) for _ in values])
    w = w / w.sum()
    q = weighted_quantile(x, w, level)
    assert float(w[x <= q].sum()) >= level - 1e-5
    assert float(w[x < q].sum()) < level + 1e-5


# Laws


def test_equal_hypotheses_leave_no_doubt() -> None:
    posterior = Posterior.from_hypotheses([ball(seed=i) for i in range(5)], SMALL)
    assert posterior.ambiguity == 0
    assert posterior.diversity == 0
    assert float(posterior.entropy.max()) == 0
    assert posterior.ambiguous_volume() == 0
    for mesh in (posterior.representative, posterior.median):
        assert float(mesh.attributes["color_spread"].max()) < 1e-6
    assert float(posterior.representative.attributes["uncertainty"].max()) == 0
    assert float(posterior.representative.attributes["interval"].abs().max()) == 0
    assert len(posterior.modes) == 1
    assert posterior.warnings == ()


def test_order_does_not_matter() -> None:
    hypotheses = [ball(0.2 + 0.03 * i, (0.05 * i, 0, 0), seed=i, weight=1.0 + i) for i in range(4)]
    one = Posterior.from_hypotheses(hypotheses, SMALL)
    other = Posterior.from_hypotheses([hypotheses[i] for i in (2, 0, 3, 1)], SMALL)
    assert torch.allclose(one.probability, other.probability, atol=1e-6)
    assert one.ambiguity == pytest.approx(other.ambiguity, abs=1e-6)
    assert one.diversity == pytest.approx(other.diversity, abs=1e-6)
    assert one.seeds[one.representative_index] == other.seeds[other.representative_index]
    for name in ("uncertainty", "interval", "color_spread"):
        assert torch.allclose(one.representative.attributes[name], other.representative.attributes[name], atol=1e-5)


def test_shells_nest_and_are_the_balls() -> None:
    radii = [0.2, 0.25, 0.3, 0.35]
    posterior = Posterior.from_hypotheses([ball(r, level=4) for r in radii], PosteriorConfig(grid=48))
    found = [float(posterior.shell(level).vertices.norm(dim=-1).mean()) for level in (0.1, 0.5, 0.9)]
    assert found == pytest.approx([0.35, 0.3, 0.2], abs=3e-3)
    quantiles = [weighted_quantile(posterior.fields, posterior.weights, level) for level in (0.1, 0.5, 0.9)]
    assert (quantiles[0] <= quantiles[1]).all()
    assert (quantiles[1] <= quantiles[2]).all()
    # The shell bounds exactly the cells whose probability reaches the level.
    for level, quantile in zip((0.1, 0.5, 0.9), quantiles, strict=True):
        assert torch.equal(quantile < 0, posterior.probability >= level - 1e-6)
    with pytest.raises(InputError, match="level"):
        posterior.shell(0.0)


def test_two_balls_have_the_entropy_and_iou_of_their_volumes() -> None:
    posterior = Posterior.from_hypotheses([ball(0.2, level=4), ball(0.3, level=4)], PosteriorConfig(grid=64))
    small, large = (4 / 3 * math.pi * r**3 for r in (0.2, 0.3))
    assert posterior.ambiguity == pytest.approx(1 - small / large, abs=0.01)
    assert posterior.diversity == pytest.approx(0.1, abs=2e-3)
    assert posterior.ambiguous_volume() == pytest.approx(large - small, rel=0.03)
    # Half of the weight on either side is one bit in every cell between the two.
    summary = posterior.summary()
    assert summary["entropy"]["bit_volume"] == pytest.approx(large - small, rel=0.03)
    assert float(posterior.entropy.max()) == pytest.approx(1)


def test_intervals_hold_the_other_surfaces() -> None:
    posterior = Posterior.from_hypotheses([ball(r, level=4) for r in (0.26, 0.28, 0.3, 0.32, 0.34)], SMALL)
    assert posterior.representative_index == 2
    interval = posterior.representative.attributes["interval"]
    assert interval[:, 0].mean() == pytest.approx(-0.04, abs=2e-3)
    assert interval[:, 1].mean() == pytest.approx(0.04, abs=2e-3)
    rms = math.sqrt((2 * 0.04**2 + 2 * 0.02**2) / 5)
    assert posterior.representative.attributes["uncertainty"].mean() == pytest.approx(rms, abs=1e-3)


def test_only_the_part_that_differs_is_uncertain() -> None:
    bodies = [ball(0.25, level=4).mesh for _ in range(2)]
    bumps = [ball(0.08, (0.3, 0, 0)).mesh, ball(0.08, (0, 0, -0.3)).mesh]
    joined = [
        Hypothesis(TexturedMesh(torch.cat([a.vertices, b.vertices]), torch.cat([a.faces, b.faces + len(a.vertices)])))
        for a, b in zip(bodies, bumps, strict=True)
    ]
    posterior = Posterior.from_hypotheses(joined, SMALL)
    mesh = posterior.representative
    spread = mesh.attributes["uncertainty"]
    own = (0.3, 0, 0) if posterior.representative_index == 0 else (0, 0, -0.3)
    bump = (mesh.vertices - torch.tensor(own)).norm(dim=-1) < 0.09
    front = mesh.vertices[:, 2] > 0.15
    assert float(spread[bump].mean()) > 0.03
    assert float(spread[front & ~bump].mean()) < 0.005


def test_rigid_motion_moves_everything() -> None:
    hypotheses = [Hypothesis(box((0.6, 0.4, 0.2 + 0.05 * i)), seed=i) for i in range(3)]
    motion = torch.eye(4)
    motion[:3, :3] = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    motion[:3, 3] = torch.tensor([1.0, -2.0, 3.0])
    moved = [replace(h, mesh=h.mesh.transformed(motion)) for h in hypotheses]
    one, other = (Posterior.from_hypotheses(h, SMALL) for h in (hypotheses, moved))
    assert one.ambiguity == pytest.approx(other.ambiguity, abs=0.02)
    assert torch.allclose(one.distances, other.distances, atol=1e-4)
    assert torch.allclose(
        one.representative.attributes["uncertainty"], other.representative.attributes["uncertainty"], atol=1e-4
    )
    assert torch.allclose(one.representative.transformed(motion).vertices, other.representative.vertices, atol=1e-5)
    for expected, found in zip(one.median.transformed(motion).bounds, other.median.bounds, strict=True):
        assert torch.allclose(expected, found, atol=one.grid.spacing)


def test_an_outlier_never_lowers_the_spread() -> None:
    near = [ball(0.28 + 0.01 * i, level=3) for i in range(4)]
    without = Posterior.from_hypotheses(near, SMALL)
    with_it = Posterior.from_hypotheses([*near, ball(0.1, (0.3, 0.3, 0.3))], SMALL)
    assert with_it.ambiguity > without.ambiguity
    assert with_it.diversity > without.diversity


def test_one_hypothesis_is_a_posterior_with_a_warning() -> None:
    posterior = Posterior.from_hypotheses([ball()], SMALL)
    assert posterior.ambiguity == 0
    assert posterior.diversity == 0
    assert posterior.modes[0].members == (0,)
    assert any("One hypothesis" in warning for warning in posterior.warnings)


def test_a_median_of_strangers_is_empty_but_harmless(tmp_path) -> None:
    corners = [(-0.3, 0, 0), (0.3, 0, 0), (0, 0.3, 0), (0, -0.3, 0), (0, 0, 0.3)]
    posterior = Posterior.from_hypotheses([ball(0.05, c) for c in corners], SMALL)
    assert len(posterior.median) == 0
    assert posterior.ambiguity == 1
    assert len(load_posterior(save_posterior(posterior, tmp_path)).median) == 0


# Fields


def test_the_number_of_threads_changes_nothing() -> None:
    hypotheses = [ball(0.2 + 0.02 * k, color=(0.1 * k, 0.5, 0.5), sdf=field_ball(0.2 + 0.02 * k)) for k in range(5)]
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(Posterior.from_hypotheses(hypotheses, SMALL))
    finally:
        torch.set_num_threads(threads)
    one, several = found
    assert torch.equal(one.fields, several.fields)
    assert torch.equal(one.distances, several.distances)
    for name in ("uncertainty", "interval", "color_spread", "color_low", "color_high"):
        assert torch.equal(one.median.attributes[name], several.median.attributes[name])


def test_overlap_is_measured_with_other_shapes_too() -> None:
    solid = torch.zeros(3, 4, 4, 4, dtype=torch.bool)
    solid[0, :2], solid[1, 1:3] = True, True
    assert torch.equal(iou_matrix(solid[:1], solid[1:]), iou_matrix(solid)[:1, 1:])
    assert iou_matrix(solid)[0].tolist() == pytest.approx([1, 1 / 3, 0])
    assert iou_matrix(solid)[2, 2] == 1


def test_given_fields_and_meshes_agree() -> None:
    radii = [0.2, 0.27, 0.35]
    meshes = Posterior.from_hypotheses([ball(r, level=4) for r in radii], SMALL)
    fields = Posterior.from_hypotheses([replace(ball(r, level=4), sdf=field_ball(r)) for r in radii], SMALL)
    assert (meshes.probability - fields.probability).abs().mean() < 0.01
    assert torch.allclose(meshes.distances, fields.distances, atol=2e-3)
    assert meshes.ambiguity == pytest.approx(fields.ambiguity, abs=0.02)


# Modes


def test_two_stories_are_two_modes_with_their_masses() -> None:
    left = [ball(0.2, (-0.2, 0.01 * i, 0), weight=3.0) for i in range(3)]
    right = [ball(0.2, (0.2, 0.01 * i, 0), weight=1.0) for i in range(3)]
    posterior = Posterior.from_hypotheses([*left, *right], SMALL)
    assert [mode.members for mode in posterior.modes] == [(0, 1, 2), (3, 4, 5)]
    assert [mode.mass for mode in posterior.modes] == pytest.approx([0.75, 0.25])
    assert [mode.medoid for mode in posterior.modes] == [1, 4]
    assert posterior.representative_index in (0, 1, 2)


def test_a_cloud_is_one_mode() -> None:
    points = torch.randn(12, 30)
    assert len(find_modes(torch.cdist(points, points), torch.full((12,), 1 / 12))) == 1


def test_near_twins_are_one_mode() -> None:
    points = torch.tensor([[0.0], [1e-4], [2e-3], [2.1e-3]])
    assert len(find_modes(torch.cdist(points, points), torch.full((4,), 0.25))) == 1


def test_a_handle_on_two_of_eight_rough_cups_makes_a_mode() -> None:
    grid = VoxelGrid(torch.zeros(3), 0.5, 40)
    x = grid.points()
    rough = torch.randn(8, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.01
    fields = x.norm(dim=-1) - 0.3 + torch.nn.functional.interpolate(rough, size=40, mode="trilinear")[:, 0]
    knob = (x - torch.tensor([0.0, 0, -0.36])).norm(dim=-1) - 0.07
    fields[[2, 5]] = torch.minimum(fields[[2, 5]], knob)
    distances = local_difference_matrix(fields, grid)
    assert distances.diagonal().abs().max() == 0
    assert torch.equal(distances, distances.T)
    modes = find_modes(distances, torch.full((8,), 1 / 8))
    assert [mode.members for mode in modes] == [(0, 1, 3, 4, 6, 7), (2, 5)]
    assert len(find_modes(local_difference_matrix(fields[[0, 1, 3, 4, 6, 7]], grid), torch.full((6,), 1 / 6))) == 1


def test_surfaces_a_step_apart_differ_by_it_everywhere() -> None:
    grid = VoxelGrid(torch.zeros(3), 0.5, 40)
    radius = grid.points().norm(dim=-1)
    distances = local_difference_matrix(torch.stack([radius - 0.2, radius - 0.23, radius + 1]), grid)
    assert float(distances[0, 1]) == pytest.approx(0.03, abs=1e-6)
    assert torch.isfinite(distances).all()  # the third shape is empty


def test_readings_that_came_once_are_modes_of_their_own() -> None:
    """Five alike, and three that are like none of the others: as cups without a handle and with one here or there."""
    distances = torch.full((8, 8), 0.017)
    distances[3:, 3:] = 0.008
    distances.fill_diagonal_(0)
    modes = find_modes(distances, torch.full((8,), 1 / 8))
    assert [mode.members for mode in modes] == [(3, 4, 5, 6, 7), (0,), (1,), (2,)]
    assert [mode.mass for mode in modes] == [0.625, 0.125, 0.125, 0.125]
    assert len(find_modes(torch.full((8, 8), 0.017).fill_diagonal_(0), torch.full((8,), 1 / 8))) == 1


def test_silhouette_of_known_points() -> None:
    x = np.array([0.0, 1.0, 10.0, 11.0])
    score = silhouette(np.abs(x[:, None] - x[None]), np.array([0, 0, 1, 1]))
    assert score == pytest.approx((2 * (10.5 - 1) / 10.5 + 2 * (9.5 - 1) / 9.5) / 4)


# Colors and views


def test_color_spread_is_the_standard_deviation() -> None:
    hypotheses = [ball(color=(0.2, 0.2, 0.2)), ball(color=(0.6, 0.6, 0.6))]
    posterior = Posterior.from_hypotheses(hypotheses, SMALL)
    assert posterior.representative.attributes["color_spread"].mean() == pytest.approx(0.2, abs=1e-5)
    assert posterior.median.colors.mean() == pytest.approx(0.4, abs=1e-5)


def test_vertex_colors_come_from_the_texture() -> None:
    mesh = TexturedMesh(
        torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]),
        torch.tensor([[0, 1, 2]]),
        uv=torch.tensor([[[0.25, 0.25], [0.75, 0.25], [0.25, 0.75]]]),
        texture=torch.tensor([[[0.0, 1.0], [0.5, 0.2]]]).expand(3, 2, 2),
    )
    assert vertex_colors(mesh)[:, 0].tolist() == pytest.approx([0.0, 1.0, 0.5])


def test_views_have_mean_and_spread() -> None:
    hypotheses = [ball(views=views(1.0, 1.2), weight=3.0), ball(views=views(0.0, 9.0), weight=1.0)]
    statistics = Posterior.from_hypotheses(hypotheses, SMALL).views
    assert statistics.alpha_mean.mean() == pytest.approx(0.75)
    assert statistics.alpha_std.mean() == pytest.approx(math.sqrt(0.75 * 0.25), abs=1e-5)
    assert statistics.depth_mean.mean() == pytest.approx(1.2)  # the empty view has no depth to count
    assert statistics.depth_std.max() < 1e-5
    assert statistics.rgb_mean.mean() == pytest.approx(0.75 * 0.5 + 0.25)


def test_views_of_other_cameras_are_not_mixed() -> None:
    hypotheses = [ball(views=views(1.0, 1.2)), ball(views=views(1.0, 1.2, azimuth=5.0))]
    assert Posterior.from_hypotheses(hypotheses, SMALL).views is None
    shared = views(1.0, 1.2)
    own = replace(shared, cameras=Cameras.orbit(torch.tensor([[0.0, 90.0]]), torch.tensor([[12.0, 0.0]]), size=8))
    statistics = Posterior.from_hypotheses([ball(views=shared), ball(views=own)], SMALL).views
    assert statistics.alpha_mean.shape == (1, 1, 8, 8)
    assert torch.equal(statistics.cameras.c2w, shared.cameras.c2w[0, 1:])


# What is told


def test_every_hypothesis_has_its_own_spread() -> None:
    hypotheses = [ball(r, level=4) for r in (0.26, 0.3)]
    posterior = Posterior.from_hypotheses(hypotheses, SMALL)
    for k, outwards in ((0, 0.04), (1, -0.04)):
        found = posterior.with_spread(hypotheses[k].mesh, k).attributes
        assert sorted(found["interval"].mean(0).tolist()) == pytest.approx(sorted([0, outwards]), abs=1e-3)
        assert torch.equal(posterior.uncertainty_of(hypotheses[k].mesh, k), found["uncertainty"])


def test_summary_is_json_with_its_meanings() -> None:

    summary = Posterior.from_hypotheses([ball(elevation=10.0), ball(0.25, elevation=20.0)], SMALL).summary()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["elevation"] == {"mean": 15.0, "std": 5.0}
    assert summary["within"]["residual"] is None
    assert "IoU" in summary["ambiguity"]["meaning"]


def test_frames_far_apart_in_size_are_warned_about() -> None:
    posterior = Posterior.from_hypotheses([ball(0.05), ball(0.4)], SMALL)
    assert any("in one unit" in warning for warning in posterior.warnings)
