"""Laws that the networks hold by construction, and the shapes of their contracts."""

import math
from dataclasses import replace

import pytest
import torch
from diffusers.models.attention_dispatch import attention_backend
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator
from mvdiff.models.cameras import ProjectivePositions, camera_tensors, patch_centers, pluecker_rays, projections
from mvdiff.models.encoding import decode_views, encode_views
from mvdiff.models.layers import RMSNorm
from mvdiff.sampling.photo_camera import PhotoCamera, PhotoCameraDistribution
from mvdiff.sampling.rig import RigConfig
from recon import Cameras, ViewSet

TINY = {"sample_size": 32, "reference_size": 32, "width": 64, "depth": 2, "heads": 2}


def tiny_transformer(seed: int = 0) -> MultiViewTransformer:
    torch.manual_seed(seed)
    model = MultiViewTransformer(**TINY).eval()
    for parameter in model.parameters():  # zero-initialised layers would hide every path behind them
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    return model


def inputs(views: int = 3, photos: int = 1, batch: int = 2) -> dict:
    targets = Cameras.orbit(torch.arange(views) * 50.0, 10.0, size=32)
    photo = Cameras.orbit(torch.arange(photos) * 70.0, 20.0, size=32)
    (target_c2w, target_lens), (photo_c2w, photo_lens) = camera_tensors(targets), camera_tensors(photo)

    def expand(tensor: torch.Tensor) -> torch.Tensor:
        return tensor[None].expand(batch, *tensor.shape)

    return {
        "sample": torch.randn(batch, views, 8, 32, 32),
        "timestep": torch.full((batch, views), 400.0),
        "reference": torch.randn(batch, photos, 4, 32, 32),
        "target_c2w": expand(target_c2w),
        "target_lens": expand(target_lens),
        "reference_c2w": expand(photo_c2w),
        "reference_lens": expand(photo_lens),
    }


@pytest.mark.parametrize(("views", "photos"), [(1, 1), (3, 1), (4, 2)])
def test_any_number_of_views_and_photos(views, photos):
    arguments = inputs(views, photos)
    assert tiny_transformer()(**arguments).sample.shape == arguments["sample"].shape


def test_order_of_views_does_not_matter():
    model, arguments = tiny_transformer(), inputs(3)
    order = [2, 0, 1]
    permuted = {
        k: v[:, order] if k in ("sample", "timestep", "target_c2w", "target_lens") else v for k, v in arguments.items()
    }
    with torch.no_grad():
        assert torch.allclose(model(**arguments).sample[:, order], model(**permuted).sample, atol=1e-4)


def test_every_input_matters_and_a_dropped_photo_does_not():
    model, arguments = tiny_transformer(), inputs()
    drop = torch.tensor([True, False])
    with torch.no_grad():
        base = model(**arguments, drop_reference=drop).sample
        other = model(**(arguments | {"reference": torch.randn(2, 1, 4, 32, 32)}), drop_reference=drop).sample
        moved = arguments["reference_c2w"].clone()
        moved[..., 1, 3] += 0.3
        camera = model(**(arguments | {"reference_c2w": moved}), drop_reference=drop).sample
        clean = arguments["timestep"].clone()
        clean[:, 0] = 0.0
        level = model(**(arguments | {"timestep": clean}), drop_reference=drop).sample
    assert torch.equal(base[0], other[0])
    assert not torch.allclose(base[1], other[1], atol=1e-3)
    assert not torch.allclose(base[1], camera[1], atol=1e-3)
    assert not torch.allclose(base[:, 1], level[:, 1], atol=1e-4)


def test_gradient_checkpointing_changes_nothing():
    model, arguments = tiny_transformer().train(), inputs()
    plain = torch.autograd.grad(model(**arguments).sample.square().mean(), model.proj_out.weight)[0]
    model.enable_gradient_checkpointing()
    again = torch.autograd.grad(model(**arguments).sample.square().mean(), model.proj_out.weight)[0]
    assert torch.allclose(plain, again, atol=1e-6)


def test_save_and_load(tmp_path):
    model, arguments = tiny_transformer(), inputs()
    model.save_pretrained(tmp_path)
    loaded = MultiViewTransformer.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(model(**arguments).sample, loaded(**arguments).sample)


def test_attention_backend_is_swappable():
    model, arguments = tiny_transformer(), inputs()
    # diffusers makes a model's backend the whole process's: every later test would compute with it.
    with attention_backend(), torch.no_grad():
        default = model(**arguments).sample
        model.set_attention_backend("_native_math")
        assert torch.allclose(default, model(**arguments).sample, atol=1e-4)
    assert model.blocks[0].attention.processor._attention_backend == "_native_math"


@settings(max_examples=20, deadline=None)
@given(st.floats(-180, 180), st.floats(-80, 80))
def test_projective_positions_are_relative(azimuth, elevation):
    """Moving every camera by one rigid motion leaves the attention logits and mixed values alone."""
    cameras = Cameras.orbit([0.0, 40.0], [10.0, 20.0], size=32)
    motion = Cameras.orbit(azimuth, elevation).c2w
    points = patch_centers(2, torch.device("cpu"))[:2]
    query, value = torch.randn(1, 2, 1, 16), torch.randn(1, 2, 1, 16)

    def attend(c2w: torch.Tensor) -> torch.Tensor:
        both = projections(c2w[None], camera_tensors(cameras)[1][None])
        positions = ProjectivePositions(*both, points, 16, torch.float32)
        logits = torch.einsum("bnhd,bmhd->bhnm", positions.query(query), positions.key(query))
        return positions.output(torch.einsum("bhnm,bmhd->bnhd", logits / 10, positions.value(value)))

    assert torch.allclose(attend(cameras.c2w), attend(motion @ cameras.c2w), atol=2e-3, rtol=1e-3)


def test_pluecker_rays_agree_with_the_cameras():
    cameras = Cameras.orbit([0.0, 40.0], [10.0, 20.0], size=32)
    rays = pluecker_rays(*(t[None] for t in camera_tensors(cameras)), patch_centers(32, torch.device("cpu")))
    origins, directions = cameras.rays()
    assert torch.allclose(rays[0, ..., 3:], directions, atol=1e-5)
    assert torch.allclose(rays[0, ..., :3], torch.linalg.cross(origins, directions), atol=1e-5)


def test_views_survive_encoding():
    cameras = Cameras.orbit(torch.tensor([[0.0, 90.0]]), 20.0, size=8)
    alpha = (torch.rand(1, 2, 1, 8, 8) > 0.5).float()
    normal = torch.nn.functional.normalize(torch.randn(1, 2, 3, 8, 8), dim=2) * alpha
    views = ViewSet(torch.rand(1, 2, 3, 8, 8) * alpha, alpha, cameras, normal, (1 + torch.rand(1, 2, 1, 8, 8)) * alpha)
    encoded = encode_views(views)
    assert encoded.abs().max() <= 1 + 1e-5
    decoded = decode_views(encoded, cameras)
    for name in ("rgb", "alpha", "normal", "depth"):
        assert torch.allclose(getattr(views, name), getattr(decoded, name), atol=1e-5), name


def test_photo_camera_crop_projects_the_origin_where_it_says():
    photo = PhotoCamera.from_parameters(torch.tensor([[0.3, 0.2, -0.1, 0.15]]), distance=2.0)
    uv, depth = photo.cameras(100).project(torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]]))
    assert torch.allclose(uv[0, 0], torch.tensor([60.0, 45.0]), atol=1e-3)
    assert depth[0, 0] == pytest.approx(2.0)
    assert float(uv[0, 1, 0] - uv[0, 0, 0]) == pytest.approx(50 * math.exp(0.15), rel=1e-4)
    assert torch.allclose(photo.parameters, torch.tensor([[0.3, 0.2, -0.1, 0.15]]))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_root_mean_square_norm_is_torch_s(dtype, tolerance):
    ours, theirs = RMSNorm(48), torch.nn.RMSNorm(48, eps=1e-6)
    torch.nn.init.normal_(ours.weight)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 5, 48) * torch.logspace(-2, 2, 5)[:, None]
    x[0, 0] = 0  # a token of nothing, without a gradient that is no number
    x.requires_grad_(True)
    out, expected = ours(x.to(dtype)).float(), theirs(x)
    assert torch.allclose(out, expected, rtol=tolerance, atol=tolerance)
    gradient, wanted = (torch.autograd.grad(y.square().sum(), x)[0] for y in (out, expected))
    assert torch.allclose(gradient[1:], wanted[1:], rtol=5 * tolerance, atol=5 * tolerance * float(wanted[1:].std()))
    assert gradient.isfinite().all()


def mixture() -> PhotoCameraDistribution:
    means = torch.tensor([[[0.0, 0.0, 0.0, 0.0], [1.0, 0.2, 0.1, 0.5]]])
    return PhotoCameraDistribution(torch.tensor([[0.0, math.log(3.0)]]), means, torch.full((1, 2, 4), math.log(0.1)))


def test_draws_of_the_elevation_follow_the_mixture():
    draws = mixture().elevation_draws(20_000, torch.Generator().manual_seed(0))[0]
    assert draws.mean() == pytest.approx(float(mixture().mean[0, 0]), abs=0.01)
    assert draws.std() == pytest.approx(float(mixture().std[0, 0]), abs=0.01)
    heavier = mixture().means[0, 1, 0]  # of weight 3 : 1
    nearer = (draws - heavier).abs() < (draws - mixture().means[0, 0, 0]).abs()
    assert nearer.float().mean() == pytest.approx(0.75, abs=0.02)


def test_a_mixture_of_two_has_the_mean_of_their_densities():
    one, other = mixture(), mixture().mirrored()
    points = torch.randn(1, 4) * 0.3
    both = PhotoCameraDistribution.mixture([one, other]).log_prob(points).exp()
    assert torch.allclose(both, (one.log_prob(points).exp() + other.log_prob(points).exp()) / 2)
    across = points * torch.tensor([1.0, -1.0, 1.0, 1.0])
    assert torch.allclose(other.log_prob(across), one.log_prob(points))


def test_mixture_moments_match_its_samples():
    distribution = mixture()
    generator = torch.Generator().manual_seed(0)
    samples = distribution.sample([generator] * 4000)
    assert torch.allclose(samples.mean(0), distribution.mean[0], atol=0.03)
    assert torch.allclose(samples.std(0), distribution.std[0], atol=0.03)


def test_conditioning_picks_the_component_that_explains_the_evidence():
    given_elevation = mixture().conditioned(elevation=0.0)
    samples = given_elevation.sample([torch.Generator().manual_seed(k) for k in range(50)])
    assert (samples[:, 0] == 0).all()
    assert samples[:, 3].abs().max() < 0.5  # all from the first component
    fixed = mixture().conditioned(elevation=10.0, crop=(0.1, 0.2, 0.3)).sample([None])
    assert torch.allclose(fixed, torch.tensor([[math.radians(10), 0.1, 0.2, 0.3]]))


@pytest.mark.parametrize("temperature", [0.5, 0.25])
def test_a_temperature_draws_from_a_power_of_the_density(temperature: float):
    generator = torch.Generator().manual_seed(0)
    drawn = mixture().sample([generator] * 3000, temperature)[:, 0]
    lighter = drawn[drawn < 0.5]  # components lie ten deviations apart
    odds = 3 ** (1 / temperature)
    assert len(lighter) / len(drawn) == pytest.approx(1 / (1 + odds), abs=0.02)
    assert drawn[drawn > 0.5].std() == pytest.approx(0.1 * temperature**0.5, rel=0.06)
    known = mixture().conditioned(elevation=10.0).sample([generator], temperature)
    assert known[0, 0] == pytest.approx(math.radians(10.0))


@given(mean=st.floats(-90, 90), std=st.floats(1, 60))
def test_an_elevation_prior_multiplies_the_density(mean: float, std: float):
    elevation = torch.linspace(-math.pi, math.pi, 4001, dtype=torch.float64)
    before = mixture()
    before = replace(before, **{name: value.double() for name, value in vars(before).items()})

    def marginal(distribution: PhotoCameraDistribution) -> Float[Tensor, "4001"]:
        weights, means, stds = (vars(distribution)[name][0] for name in ("log_weights", "means", "log_stds"))
        each = torch.distributions.Normal(means[:, 0], stds[:, 0].exp()).log_prob(elevation[:, None])
        return (weights.log_softmax(-1) + each).logsumexp(-1).exp()

    prior = torch.distributions.Normal(math.radians(mean), math.radians(std)).log_prob(elevation).exp()
    expected = marginal(before) * prior
    expected /= expected.sum() * (elevation[1] - elevation[0])
    assert torch.allclose(marginal(before.with_elevation_prior(mean, std)), expected, atol=1e-4 * float(expected.max()))


def test_an_elevation_prior_leaves_the_crop_and_what_is_known_alone():
    wide, known = mixture().with_elevation_prior(20.0, 1e6), mixture().conditioned(elevation=5.0)
    points = torch.randn(16, 4) * 0.3
    one = replace(mixture(), **{name: value.expand(16, *value.shape[1:]) for name, value in vars(mixture()).items()})
    many = replace(wide, **{name: value.expand(16, *value.shape[1:]) for name, value in vars(wide).items()})
    assert torch.allclose(many.log_prob(points), one.log_prob(points), atol=1e-4)
    narrow = mixture().with_elevation_prior(20.0, 3.0)
    assert torch.equal(narrow.means[..., 1:], mixture().means[..., 1:])
    assert torch.equal(narrow.log_stds[..., 1:], mixture().log_stds[..., 1:])
    still = known.with_elevation_prior(60.0, 2.0).sample([torch.Generator().manual_seed(0)])
    assert torch.rad2deg(still[0, 0]) == pytest.approx(5.0, abs=1e-4)


def test_camera_estimator_learns_a_constant():
    torch.manual_seed(0)
    model = PhotoCameraEstimator(sample_size=16, width=32, depth=1, heads=2, components=2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    truth = torch.tensor([[0.5, 0.1, -0.1, 0.3]]).expand(4, -1)
    first = None
    for _ in range(60):
        loss = -model(torch.randn(4, 4, 16, 16)).log_prob(truth).mean()
        first = loss.item() if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < first - 2
    assert torch.allclose(model(torch.zeros(1, 4, 16, 16)).mean[0], truth[0], atol=0.1)


def test_camera_estimator_looks_at_the_patches_that_it_is_shown():
    torch.manual_seed(0)
    model = PhotoCameraEstimator(sample_size=16, width=32, depth=1, heads=2, components=2).eval()
    photos, order = torch.randn(2, 4, 16, 16), torch.stack([torch.randperm(4), torch.randperm(4)])
    assert torch.allclose(model(photos, order).means, model(photos).means, atol=1e-5)
    hidden = photos.clone()
    hidden[:, :, :8, :8] = 0  # the first patch
    unseen = torch.tensor([[1, 2], [3, 1]])
    assert torch.equal(model(photos, unseen).means, model(hidden, unseen).means)
    assert not torch.allclose(model(photos).means, model(hidden).means)


def test_rig_puts_the_photo_view_first():
    cameras = RigConfig(size=32).cameras(torch.tensor([5.0, 25.0]))
    assert tuple(cameras.shape) == (2, 7)
    assert torch.allclose(cameras.position[:, 0, 0], torch.zeros(2), atol=1e-6)
    assert torch.allclose(
        cameras.position[:, 0, 1], 1.5 * torch.sin(torch.deg2rad(torch.tensor([5.0, 25.0]))), atol=1e-5
    )
    assert torch.equal(cameras.c2w[0, 1:], cameras.c2w[1, 1:])
    with pytest.raises(ValueError, match="one elevation for each azimuth"):
        RigConfig(azimuths=(0.0,), elevations=())
