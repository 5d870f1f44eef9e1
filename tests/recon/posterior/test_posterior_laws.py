"""Laws of any posterior as properties, and what is said of hypotheses that do not belong together."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.posterior import Hypothesis, Posterior, PosteriorConfig, VoxelGrid
from recon.posterior.checks import is_closed
from recon.posterior.convergence import convergence
from recon.posterior.decomposition import decompose
from recon.posterior.view_statistics import _directions
from recon.posterior.weighting import weigh_by_photo
from recon.rendering import render_mesh

GRID = VoxelGrid(torch.zeros(3), 0.5, 16)
CONFIG = PosteriorConfig(grid=16, samples=64)
radii = st.lists(st.floats(0.15, 0.35), min_size=2, max_size=5)
few = settings(max_examples=6, deadline=None)


def ball(radius: float, center=(0.0, 0.0, 0.0), **known) -> Hypothesis:
    field = (GRID.points() - torch.tensor(center)).norm(dim=-1) - radius
    return Hypothesis(GRID.surface(field), field, GRID.extent, **known)


def box(size=(0.7, 0.5, 0.2)) -> TexturedMesh:
    mesh = trimesh.creation.box(size).subdivide()
    return TexturedMesh.from_arrays(mesh.vertices, mesh.faces)


def posterior(hypotheses: list[Hypothesis]) -> Posterior:
    return Posterior.from_hypotheses(hypotheses, CONFIG)


@few
@given(st.floats(0.15, 0.35), st.integers(2, 5))
def test_equal_hypotheses_have_no_spread_and_no_entropy(radius: float, count: int) -> None:
    found = posterior([ball(radius)] * count)
    assert float(found.spread.max()) < 1e-6
    assert found.ambiguity == pytest.approx(0, abs=1e-6)
    assert found.diversity == 0
    assert float(found.entropy.max()) == 0
    assert found.decomposition.between == pytest.approx(0, abs=1e-6)
    assert all(step.occupancy_error == pytest.approx(0, abs=1e-6) for step in found.convergence)


@few
@given(radii, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(sizes: list[float], random) -> None:
    shuffled = sizes.copy()
    random.shuffle(shuffled)
    a, b = (posterior([ball(r) for r in order]) for order in (sizes, shuffled))
    assert torch.allclose(a.probability, b.probability, atol=1e-6)
    assert torch.allclose(a.spread, b.spread, atol=1e-5)
    assert a.ambiguity == pytest.approx(b.ambiguity, abs=1e-5)
    assert float(a.entropy.sum()) == pytest.approx(float(b.entropy.sum()), abs=1e-3)


@few
@given(radii)
def test_an_outlier_never_lowers_the_spread(sizes: list[float]) -> None:
    # Apart from all others: a ball about the same center may lie between them in size, and then is none.
    with_outlier = posterior([*(ball(r) for r in sizes), ball(0.1, (0.37, 0.37, 0.37))])
    without = posterior([*(ball(r) for r in sizes)])
    assert with_outlier.ambiguity >= without.ambiguity - 1e-6
    assert with_outlier.diversity >= without.diversity - 1e-6


@few
@given(radii, st.lists(st.floats(0.02, 0.98), min_size=2, max_size=4, unique=True))
def test_shells_nest(sizes: list[float], levels: list[float]) -> None:
    found = posterior([ball(r) for r in sizes])
    fields = [found.shell_distance(level) for level in sorted(levels)]
    assert all(bool((outer <= inner).all()) for outer, inner in itertools.pairwise(fields))


@few
@given(radii)
def test_intervals_grow_with_coverage(sizes: list[float]) -> None:
    found = posterior([ball(r) for r in sizes])
    stated = [
        replace(found, coverage=c).with_spread(found.representative, found.representative_index).attributes["interval"]
        for c in (0.3, 0.6, 0.95)
    ]
    for narrow, wide in itertools.pairwise(stated):
        assert bool((wide[:, 0] <= narrow[:, 0]).all())
        assert bool((wide[:, 1] >= narrow[:, 1]).all())


@few
@given(radii, st.sampled_from([1, 2, 3]), st.sampled_from([0, 1, 2]))
def test_turning_all_inputs_turns_all_outputs(sizes: list[float], quarters: int, axis: int) -> None:
    """Quarter turns, which the grid itself obeys."""
    fields = [torch.maximum(b.sdf, GRID.points()[..., 0] - 0.1) for b in (ball(r) for r in sizes)]
    plane = [a for a in range(3) if a != axis]
    turned = [torch.rot90(field, quarters, plane) for field in fields]
    a, b = (posterior([Hypothesis(GRID.surface(f), f, GRID.extent) for f in group]) for group in (fields, turned))
    assert a.ambiguity == pytest.approx(b.ambiguity, abs=0.02)
    assert (torch.rot90(a.probability, quarters, plane) - b.probability).abs().mean() < 0.01
    assert (torch.rot90(a.spread, quarters, plane) - b.spread).abs().mean() < 0.005


# Hypotheses that do not belong together


def test_another_unit_and_another_place_are_named() -> None:
    small = Hypothesis(ball(0.3).mesh.transformed(torch.diag(torch.tensor([0.2, 0.2, 0.2, 1.0]))))
    assert any("[2]" in w and "unit" in w for w in posterior([ball(0.3), ball(0.31), small]).warnings)
    away = torch.eye(4)
    away[0, 3] = 1.5
    moved = Hypothesis(ball(0.3).mesh.transformed(away))
    assert any("[0]" in w and "frame" in w for w in posterior([moved, ball(0.31), ball(0.3)]).warnings)
    assert posterior([ball(0.3), ball(0.31), ball(0.3)]).warnings == ()


def test_axes_that_are_swapped_are_named() -> None:
    upright = [Hypothesis(box((0.7, 0.5 + 0.02 * k, 0.2))) for k in range(3)]
    z_up = torch.eye(4)
    z_up[1:3, 1:3] = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    lying = Hypothesis(box().transformed(z_up))
    assert any("Hypothesis 3" in w and "about X" in w for w in posterior([*upright, lying]).warnings)
    assert not any("turned" in w for w in posterior(upright).warnings)


def test_open_surfaces_are_stated() -> None:
    closed = trimesh.creation.icosphere(2, 0.3)
    mesh = TexturedMesh.from_arrays(closed.vertices, closed.faces)
    holed = replace(mesh, faces=mesh.faces[12:])
    assert is_closed(mesh)
    assert not is_closed(holed)
    # Corners that a file has split are one corner.
    assert is_closed(TexturedMesh(mesh.triangles.reshape(-1, 3), torch.arange(3 * len(mesh)).reshape(-1, 3)))
    assert any("[1]" in w and "winding number" in w for w in posterior([Hypothesis(mesh), Hypothesis(holed)]).warnings)


# Where uncertainty comes from


def test_spread_that_follows_the_elevation_is_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    elevation = torch.tensor([0.0, 10, 20, 30, 40, 50, 60, 70])
    weights, mesh = torch.full((8,), 1 / 8), ball(0.3).mesh
    follows = (elevation / 1000)[:, None].expand(-1, 40)
    unrelated = torch.randn(8, 40, generator=generator) * 0.02
    nothing = torch.full((8,), math.nan)
    assert decompose(follows, weights, elevation, nothing, mesh).elevation_share == pytest.approx(1, abs=1e-4)
    assert decompose(unrelated, weights, elevation, nothing, mesh).elevation_share < 0.15
    assert decompose(unrelated, weights, nothing, nothing, mesh).elevation_share is None
    found = decompose(follows, weights, elevation, torch.full((8,), 0.004), mesh)
    assert found.between == pytest.approx(float(elevation.std()) / 1000, rel=1e-4)
    assert found.within == pytest.approx(0.004)
    inconsistent = replace(mesh, attributes={"inconsistency": torch.full((len(mesh.vertices),), 0.02)})
    assert decompose(follows, weights, elevation, nothing, inconsistent).within == pytest.approx(0.02)


def test_the_side_that_the_photo_shows_is_the_front() -> None:
    found = posterior([ball(0.3, elevation=0.0), ball(0.3, center=(0, 0, -0.06), elevation=0.0)])
    front = found.representative.vertices[found.seen]
    assert float(front[:, 2].mean()) > 0.05
    assert 0.4 < float((~found.seen).float().mean()) < 0.8
    assert found.summary()["sides"]["unseen"] is not None
    assert posterior([ball(0.3), ball(0.2)]).summary()["sides"] is None


def test_convergence_is_the_standard_error_of_a_share() -> None:
    cells = torch.zeros(4, 2, 2, 2, dtype=torch.bool)
    cells[:2, 0, 0, 0] = True  # p = 1/2
    cells[:, 1, 1, 1] = True  # p = 1
    steps = convergence(cells)
    assert [step.count for step in steps] == [2, 3, 4]
    assert steps[0].occupancy_error == 0
    assert steps[-1].occupancy_error == pytest.approx(math.sqrt((0.25 / 3 + 0) / 2))
    # Pairs: two agree in both cells, two in one, four share one of two.
    assert steps[-1].ambiguity == pytest.approx(4 / 6 * 0.5)
    assert convergence(cells[:1]) == ()


def test_normals_that_agree_have_no_spread() -> None:
    up, right = torch.tensor([0.0, 1, 0]), torch.tensor([1.0, 0, 0])
    normals = torch.stack([torch.stack([up, up], -1), torch.stack([up, right], -1)])[:, None, :, None, :]
    mean, spread = _directions(normals, torch.full((2, 1, 1, 1, 2), 0.5))
    assert spread.flatten().tolist() == pytest.approx([0, math.degrees(math.sqrt(math.log(2)))], abs=0.1)
    assert mean[0, :, 0, 1].tolist() == pytest.approx([math.sqrt(0.5), math.sqrt(0.5), 0], abs=1e-5)


# Weights from the photo


def test_the_hypothesis_that_shows_the_photo_weighs_most() -> None:
    cameras = Cameras.orbit([0.0], 10.0, size=32)
    hypotheses = [ball(0.3), ball(0.22), ball(0.3, center=(0.1, 0, 0)), ball(0.31)]
    taken = render_mesh(hypotheses[0].mesh, cameras)
    rgba = torch.cat([taken.rgb[0, 0], taken.alpha[0, 0]])
    found = weigh_by_photo(hypotheses, rgba, Cameras.cat([cameras] * 4))
    assert int(found.weights.argmax()) == 0
    assert float(found.weights.sum()) == pytest.approx(1)
    assert found.effective_size >= 2 - 1e-3
    flat = weigh_by_photo(hypotheses, rgba, Cameras.cat([cameras] * 4), least_share=0.99)
    assert flat.temperature > found.temperature
    assert flat.effective_size > found.effective_size
    assert [h.weight for h in found.of(hypotheses)] == pytest.approx(found.weights.tolist())
