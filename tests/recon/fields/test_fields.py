"""Fields, their gradients, and the two back ends of volume rendering."""

import pytest
import torch

from recon.core.grid import VoxelGrid
from recon.fields import FieldConfig, interpolation, make_field
from recon.fields.color import ColorGrid
from recon.fields.interpolation import trilinear
from recon.fields.opacity import neus_alpha
from recon.fusion.rays import RayPool, first_crossings
from recon.fusion.refine import FitConfig, fit
from recon.rendering.volume import ray_weights, render_rays

_GRID = VoxelGrid(torch.tensor([0.05, 0.0, -0.05]), 0.5, 24)
_KINDS = ("dense", "hash", "density")


def ball(radius: float = 0.3, limit: float = 0.1) -> torch.Tensor:
    return (_GRID.points().norm(dim=-1) - radius).clamp(-limit, limit)[None]


def small(kind: str) -> FieldConfig:
    return FieldConfig(kind, levels=3, table=2**10, finest=48)


def rays(count: int = 64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Onto the ball from all sides, two hypotheses."""
    generator = torch.Generator().manual_seed(0)
    origin = torch.nn.functional.normalize(torch.randn(2, count, 3, generator=generator), dim=-1)
    aim = 0.2 * (torch.rand(2, count, 3, generator=generator) - 0.5)
    t = torch.linspace(0.5, 0.95, 40).expand(2, count, -1)
    return origin, torch.nn.functional.normalize(aim - origin, dim=-1), t


def test_trilinear_is_the_grids_own_interpolation_with_correct_gradients():
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(2, 5, 5, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    grid = VoxelGrid(torch.zeros(3, dtype=torch.float64), 0.5, 5)
    points = (torch.rand(2, 7, 3, generator=generator, dtype=torch.float64) * 0.6 - 0.3).requires_grad_()
    expected = torch.stack([grid.sample(table[k : k + 1], points[k])[0] for k in range(2)])
    assert torch.allclose(trilinear(table, points, grid), expected, atol=1e-9)
    assert torch.autograd.gradcheck(lambda f, p: trilinear(f, p, grid), (table, points))
    colors = torch.randn(2, 5, 5, 5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, p: trilinear(f, p, grid), (colors, points))
    assert torch.allclose(trilinear(colors, points, grid)[..., 1], trilinear(colors[..., 1], points, grid))


@pytest.mark.parametrize("channels", [(), (3,)])
def test_what_a_gpu_interpolates_by_is_the_same(channels):
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(2, 6, 6, 6, *channels, generator=generator, requires_grad=True)
    grid = VoxelGrid(torch.tensor([0.1, 0.0, -0.1]), 0.5, 6)
    points = (torch.rand(2, 50, 3, generator=generator) * 0.8 - 0.4 + grid.center).requires_grad_()
    results = []
    for function in (trilinear, interpolation._sampled):
        values = function(table, points, grid)
        results.append((values, *torch.autograd.grad(values.square().sum(), (table, points))))
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(*results, strict=True))


@pytest.mark.parametrize("kind", _KINDS)
def test_every_field_starts_as_the_closed_form_and_points_outwards(kind):
    field = make_field(small(kind), ball().expand(2, -1, -1, -1), _GRID)
    points = torch.nn.functional.normalize(torch.randn(2, 50, 3), dim=-1) * 0.3
    assert field.evaluate(points).abs().max() < 0.01
    assert (torch.nn.functional.cosine_similarity(field.gradient(points), points, dim=-1) > 0.98).all()
    assert torch.allclose(field.distances(_GRID)[0], ball()[0], atol=1e-5)
    finer = VoxelGrid(_GRID.center, _GRID.extent, 30)
    assert field.distances(finer).shape == (2, 30, 30, 30)


@pytest.mark.parametrize("kind", _KINDS)
def test_every_field_learns_a_larger_ball(kind):
    config = small(kind)
    field = make_field(config, ball(0.3), _GRID)
    optimizer = torch.optim.Adam(field.parameters(), lr=1e-2 if kind == "hash" else 3e-3)
    origin, direction, t = (value[:1] for value in rays(256))
    truth = make_field(config, ball(0.33), _GRID)
    wanted = render_rays(truth, origin, direction, t, 60.0).distance.detach()

    def error() -> torch.Tensor:
        made = render_rays(field, origin, direction, t, 60.0)
        return (made.distance - wanted).abs().mean()

    before = error().item()
    for _ in range(25):
        optimizer.zero_grad()
        error().backward()
        optimizer.step()
    assert error().item() < 0.5 * before


@pytest.mark.parametrize("kind", _KINDS)
def test_back_ends_agree_in_value_and_gradient(kind):
    origin, direction, t = rays()
    results = []
    for backend in ("torch", "nerfacc"):
        field = make_field(small(kind), ball().expand(2, -1, -1, -1), _GRID)
        made = render_rays(field, origin, direction, t, 80.0, backend)
        (made.distance.sum() + (made.opacity**2).sum()).backward()
        results.append((made, [p.grad for p in field.parameters()]))
    (one, its), (other, others) = results
    assert one.opacity.max() > 0.9
    assert torch.allclose(one.weights, other.weights, atol=1e-5)
    assert torch.allclose(one.distance, other.distance, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-4, rtol=1e-3) for a, b in zip(its, others, strict=True))


@pytest.mark.cuda
@pytest.mark.parametrize("kind", _KINDS)
def test_packed_rendering_on_cuda_agrees_with_torch(kind):
    origin, direction, t = (value.cuda() for value in rays())
    grid = _GRID.to("cuda")
    results = []
    for backend in ("torch", "nerfacc"):
        field = make_field(small(kind), ball().cuda().expand(2, -1, -1, -1), grid).cuda()
        points = origin[:, :, None] + direction[:, :, None] * t[..., None]
        occupied = points.norm(dim=-1) < 0.38
        made = render_rays(field, origin, direction, t, 80.0, backend, occupied)
        (made.distance.sum() + (made.opacity**2).sum()).backward()
        results.append((made, [p.grad for p in field.parameters()]))
    (one, its), (other, others) = results
    assert torch.allclose(one.weights, other.weights, atol=1e-4)
    assert all(torch.allclose(a, b, atol=1e-3, rtol=1e-2) for a, b in zip(its, others, strict=True))


def test_empty_space_can_be_skipped():
    origin, direction, t = rays()
    field = make_field(small("dense"), ball().expand(2, -1, -1, -1), _GRID)
    points = origin[:, :, None] + direction[:, :, None] * t[..., None]
    occupied = points.norm(dim=-1) < 0.39
    whole = render_rays(field, origin, direction, t, 150.0)
    skipped = render_rays(field, origin, direction, t, 150.0, occupied=occupied)
    assert occupied.float().mean() < 0.8
    assert torch.allclose(whole.opacity, skipped.opacity, atol=2e-3)
    assert torch.allclose(whole.distance, skipped.distance, atol=2e-3)


def test_neus_weights_sit_at_the_crossing():
    t = torch.linspace(0, 1, 101)
    weights = ray_weights(neus_alpha(0.4 - t, 200.0))
    assert 0.98 < float(weights.sum()) <= 1.0
    assert abs(float((weights * (t[1:] + t[:-1]) / 2).sum()) - 0.4) < 0.02


def test_rays_meet_the_ball_where_it_is():
    origin, direction, _ = rays()
    t = first_crossings(ball().expand(2, -1, -1, -1), _GRID, origin, direction)
    hit = origin + direction * t[..., None]
    assert (hit.norm(dim=-1) - 0.3).abs().max() < 0.01


def test_colors_are_those_of_the_cells():
    initial = _GRID.points()[None]
    color = ColorGrid(initial, _GRID)
    points = torch.rand(1, 20, 3) * 0.4 - 0.2
    assert torch.allclose(color.evaluate(points), points, atol=1e-5)


def mismatch(values: torch.Tensor, views, grid: VoxelGrid) -> float:
    """Loss of silhouettes, with the distances' own where there are any."""
    seen = RayPool(views, torch.ones(1, views.num_views)).all
    t = first_crossings(values, grid, seen.origin, seen.direction)[..., None] + torch.linspace(-0.1, 0.1, 41)
    made = render_rays(make_field(FieldConfig(), values, grid), seen.origin, seen.direction, t, 100.0)
    error = (made.opacity - seen.alpha).abs().mean()
    if views.depth is not None:
        error = error + (made.distance - seen.distance)[seen.distance > 0].abs().clamp_max(0.1).mean()
    return error.item()


def pictures_of_a_ball(pictures: str):
    import trimesh

    from recon import Cameras, TexturedMesh, ViewSet
    from recon.rendering import render_mesh

    made = trimesh.creation.icosphere(3, 0.3)
    views = render_mesh(
        TexturedMesh.from_arrays(made.vertices, made.faces), Cameras.orbit([0.0, 120.0, 240.0], 10.0, size=24)
    )
    return ViewSet(views.rgb, views.alpha, views.cameras) if pictures == "rgba" else views


def a_larger_ball() -> tuple[VoxelGrid, torch.Tensor]:
    grid = VoxelGrid(torch.zeros(3), 0.5, 24)
    return grid, (grid.points().norm(dim=-1) - 0.32).clamp(-0.1, 0.1)[None]


def few_steps(kind: str) -> FitConfig:
    return FitConfig(steps=12, rays=512, points=256, field=small(kind), anchor_weight=0.0)


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("pictures", ["all", "rgba"])
def test_the_fit_takes_any_field_and_any_channels(kind, pictures):
    from recon import ViewSet

    views, (grid, start), config = pictures_of_a_ball(pictures), a_larger_ball(), few_steps(kind)
    trust = torch.ones(1, views.num_views)
    alone = fit(views, grid, start, trust, config)
    assert mismatch(alone, views, grid) < mismatch(start, views, grid)
    both = fit(ViewSet.cat([views, views]), grid, start.expand(2, -1, -1, -1), trust.expand(2, -1), config)
    assert torch.allclose(both[1], alone[0], atol=1e-4)


@pytest.mark.cuda
def test_recorded_steps_fit_as_launched_ones_do(monkeypatch):
    views, (grid, start), config = pictures_of_a_ball("all").to("cuda"), a_larger_ball(), few_steps("dense")
    start, trust = start.cuda(), torch.ones(1, views.num_views, device="cuda")
    recorded = fit(views, grid.to("cuda"), start, trust, config)
    monkeypatch.setattr(FitConfig, "recordable", False)
    launched = fit(views, grid.to("cuda"), start, trust, config)
    assert (launched - start).abs().max() > 5e-3
    assert torch.allclose(recorded, launched, atol=5e-4)
