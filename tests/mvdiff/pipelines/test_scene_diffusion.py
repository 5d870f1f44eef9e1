"""The sampling core of scenes: what is given stays, hypotheses are their own, bad input is refused."""

import copy

import pytest
import torch
from box_rooms import box_store
from diffusers import FlowMatchEulerDiscreteScheduler

from mvdiff.data.scenes.frame import to_photo_frame
from mvdiff.models import MultiViewTransformer
from mvdiff.pipelines.scene_diffusion import SceneDiffusionPipeline
from mvdiff.sampling.schedulers import make_scheduler
from mvdiff.weights.packing import save_packed
from recon import Cameras, ViewSet
from recon.core.errors import InputError
from recon.rendering.warp import forward_warp

SIZE = 32


@pytest.fixture(scope="module")
def pipeline() -> SceneDiffusionPipeline:
    torch.manual_seed(0)
    shape = {"sample_size": SIZE, "patch_size": 8, "reference_channels": 0, "width": 64, "depth": 2, "heads": 2}
    model = MultiViewTransformer(**shape, noise_groups=2, condition_channels=6).eval()
    for parameter in model.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    pipeline = SceneDiffusionPipeline(model, make_scheduler())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def truth() -> ViewSet:
    """A room's views in its first photo's world: the photo, then its sphere, then others."""
    store = box_store(1, SIZE)
    depth, scale = store.depth.float(), 0.5
    cameras = Cameras(to_photo_frame(store.c2w, store.c2w[:, 0], torch.tensor([3.0])), store.intrinsics, SIZE, SIZE)
    rgb, alpha = (store.rgba.float() / 255).split([3, 1], 2)
    return ViewSet(rgb, alpha, cameras, store.normal.float() / 127, depth[:, :, None] * scale)


def generators(n: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(n)]


def sample(pipeline, truth, n=2, views=3, **more) -> ViewSet:
    known = {"num_inference_steps": 2, "generator": generators(n)} | more
    return pipeline(truth.rgb[0, 0], truth.cameras[:, 0], truth.cameras[:, 1 : 1 + views], n, **known).views


def test_the_photo_keeps_its_colors_and_gets_geometry(pipeline, truth):
    views = sample(pipeline, truth)
    assert views.rgb.shape == (2, 4, 3, SIZE, SIZE)
    assert torch.allclose(views.rgb[:, 0], truth.rgb[:, 0].expand(2, -1, -1, -1), atol=1e-6)
    assert torch.equal(views.cameras.c2w[0], truth.cameras.c2w[0, :4])
    assert not torch.equal(views.depth[0], views.depth[1])
    surface = views.alpha > 0.5
    assert ((views.depth > 0) == surface).all()


def test_a_hypothesis_is_the_same_alone_in_chunks_and_among_others(pipeline, truth):
    together = sample(pipeline, truth, 3)
    chunked = sample(pipeline, truth, 3, chunk_size=2)
    alone = sample(pipeline, truth, 1)
    assert torch.allclose(chunked.depth, together.depth, rtol=1e-3, atol=1e-4)
    assert torch.allclose(alone.depth[0], together.depth[0], rtol=1e-3, atol=1e-4)


def test_known_geometry_views_and_warps_are_taken(pipeline, truth):
    plain = sample(pipeline, truth)
    geometry = sample(pipeline, truth, photo_geometry=truth.select_views([0]))
    assert torch.allclose(geometry.depth[:, 0], truth.depth[:, 0].expand(2, -1, -1, -1), rtol=2e-3)
    assert geometry.rgb.shape == plain.rgb.shape
    assert not torch.equal(geometry.rgb[:, 1:], plain.rgb[:, 1:])
    memory = sample(pipeline, truth, known_views=truth.select_views([5, 6]))
    assert memory.rgb.shape == plain.rgb.shape
    assert not torch.equal(memory.rgb[:, 1:], plain.rgb[:, 1:])
    second = sample(pipeline, truth, more_photos=truth.select_views([7]))
    assert second.num_views == 5
    assert torch.allclose(second.rgb[:, 1], truth.rgb[:, 7].expand(2, -1, -1, -1), atol=1e-6)
    warp = forward_warp(truth.select_views([0]), truth.cameras[:, 1:4])
    assert not torch.equal(sample(pipeline, truth, warp=warp).rgb, plain.rgb)
    guided = sample(pipeline, truth, guidance_scale=2.0)
    assert not torch.equal(guided.rgb, plain.rgb)


def test_sampling_starts_from_given_views_at_the_strength(pipeline, truth):
    """At strength 1 they do not matter; below, steps above it are skipped, and their noise is mixed with the views."""
    start = truth.select_views(list(range(4)))  # the photo's own geometry and three targets
    plain = sample(pipeline, truth, num_inference_steps=4)
    assert torch.equal(sample(pipeline, truth, num_inference_steps=4, initial_views=start).rgb, plain.rgb)
    steps: list[int] = []
    more = {"num_inference_steps": 4, "callback_on_step_end": lambda p, index, t, tensors: steps.append(index)}
    changed = sample(pipeline, truth, initial_views=start, strength=0.9, **more)
    assert 1 <= len(steps) < 4
    assert steps[-1] == 3
    assert not torch.equal(changed.rgb[:, 1:], plain.rgb[:, 1:])
    other = sample(pipeline, truth, initial_views=truth.select_views([0, 5, 6, 7]), strength=0.9, **more)
    assert not torch.equal(changed.rgb[:, 1:], other.rgb[:, 1:])
    with pytest.raises(InputError, match="one for each"):
        sample(pipeline, truth, initial_views=truth.select_views([1]))
    with pytest.raises(InputError, match="strength"):
        sample(pipeline, truth, initial_views=start, strength=0.0)


def test_photos_of_any_size_and_schedulers_of_diffusers(pipeline, truth):
    big = torch.rand(3, 48, 64)
    views = pipeline(big, truth.cameras[:, 0], truth.cameras[0, 1:3], 1, num_inference_steps=1).views
    assert views.num_views == 3
    other = SceneDiffusionPipeline(pipeline.transformer, FlowMatchEulerDiscreteScheduler(shift=3.0))
    other.set_progress_bar_config(disable=True)
    seen = []
    sample(other, truth, callback_on_step_end=lambda p, index, t, tensors: seen.append(index))
    assert seen == [0, 1]


def test_weights_are_read_back_packed_and_saved(pipeline, truth, tmp_path):
    pipeline.save_pretrained(tmp_path / "saved")
    again = SceneDiffusionPipeline.from_pretrained(tmp_path / "saved")
    again.set_progress_bar_config(disable=True)
    again.scheduler = make_scheduler()
    assert torch.equal(sample(again, truth).depth, sample(pipeline, truth).depth)
    save_packed({"transformer": pipeline.transformer}, tmp_path / "packed", {})
    packed = SceneDiffusionPipeline.from_pretrained(tmp_path / "packed")
    assert packed.transformer.config.noise_groups == 2
    with pytest.raises(InputError, match="of objects"):
        SceneDiffusionPipeline.from_pretrained("embedded")
    with pytest.raises(InputError, match="no weights"):
        SceneDiffusionPipeline.from_pretrained(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n": 0}, "at least one hypothesis"),
        ({"generator": generators(3)}, "3 generators for 2"),
        ({"num_inference_steps": 0}, "one inference step"),
    ],
)
def test_bad_input_is_refused(pipeline, truth, change, reason):
    with pytest.raises(InputError, match=reason):
        sample(pipeline, truth, **change)
    with pytest.raises(InputError, match=r"\[3 h w\]"):
        pipeline(truth.rgb[0], truth.cameras[:, 0], truth.cameras[:, 1:])
    with pytest.raises(InputError, match="resized"):
        pipeline(truth.rgb[0, 0], truth.cameras[:, 0].resized(64, 64), truth.cameras[:, 1:])


def test_sampling_under_autocast_and_in_16_bits(pipeline, truth):
    exact = sample(pipeline, truth)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = sample(pipeline, truth)
    assert (mixed.rgb - exact.rgb).abs().mean() < 0.05
    half = SceneDiffusionPipeline(copy.deepcopy(pipeline.transformer).to(torch.bfloat16), make_scheduler())
    half.set_progress_bar_config(disable=True)
    assert (sample(half, truth).rgb - exact.rgb).abs().mean() < 0.05
