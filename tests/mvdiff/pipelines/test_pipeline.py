"""The pipeline contract, as diffusers' own pipelines are tested: on a tiny network with real parts throughout."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler, UniPCMultistepScheduler
from tiny_networks import tiny_networks

from mvdiff.models import MultiViewTransformer
from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import prepare
from mvdiff.sampling.rig import RigConfig
from mvdiff.weights.packing import pack, save_packed, unpack, weights_hash
from recon import Cameras, ViewSet
from recon.core.errors import InputError

RIG = RigConfig(azimuths=(90.0, 210.0), elevations=(20.0, -10.0), size=32)


@pytest.fixture(scope="module")
def pipe() -> MultiViewDiffusionPipeline:
    pipeline = MultiViewDiffusionPipeline(*tiny_networks(), FlowMatchEulerDiscreteScheduler(shift=3.0))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def reference():
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:56, 20:40] = (200, 80, 30, 255)
    return prepare(rgba, size=32)


def seeds(*numbers: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(n) for n in numbers]


def sample(pipe, reference, **kwargs):
    arguments = {"num_hypotheses": 2, "num_inference_steps": 3, "rig": RIG, "generator": seeds(1, 2)} | kwargs
    return pipe(reference, **arguments)


def test_output_is_a_view_set(pipe, reference):
    output = sample(pipe, reference)
    assert isinstance(output.views, ViewSet)
    assert output.views.rgb.shape == (2, 3, 3, 32, 32)
    assert output.views.normal is not None
    assert output.views.depth is not None
    assert torch.isfinite(output.views.rgb).all()
    assert len(output.photo_cameras) == 2
    # The photo's own view comes first, at the elevation that the hypothesis drew.
    height = output.views.cameras.position[:, 0, 1]
    assert torch.allclose(height, 1.5 * torch.sin(torch.deg2rad(output.photo_cameras.elevation)), atol=1e-5)


def test_the_same_call_is_bit_equal(pipe, reference):
    assert torch.equal(sample(pipe, reference).views.rgb, sample(pipe, reference).views.rgb)


@pytest.mark.parametrize("chunk_size", [None, 1, 2])
def test_a_hypothesis_does_not_depend_on_its_neighbors(pipe, reference, chunk_size):
    alone = sample(pipe, reference, num_hypotheses=1, generator=seeds(2)).views
    among = sample(pipe, reference, num_hypotheses=3, generator=seeds(1, 2, 3), chunk_size=chunk_size).views
    assert torch.allclose(alone.rgb[0], among.rgb[1], atol=1e-4)
    assert torch.allclose(alone.alpha[0], among.alpha[1], atol=1e-4)
    assert not torch.allclose(among.rgb[0], among.rgb[1], atol=1e-2)


def test_a_mirrored_photo_was_taken_from_the_mirrored_place(pipe, reference):
    seen = pipe.estimate_camera(reference)
    mirrored = pipe.estimate_camera(replace(reference, rgba=reference.rgba.flip(-1)))
    assert torch.allclose(mirrored.mean * torch.tensor([1.0, -1.0, 1.0, 1.0]), seen.mean, atol=1e-5)
    assert torch.allclose(mirrored.std, seen.std, atol=1e-5)


def test_known_elevation_is_used(pipe, reference):
    output = sample(pipe, reference, elevation=33.0)
    assert torch.allclose(output.photo_cameras.elevation, torch.tensor([33.0, 33.0]))


def test_an_elevation_known_roughly_is_drawn_near_it(pipe, reference):
    drawn = sample(pipe, reference, elevation_prior=(33.0, 0.1)).photo_cameras.elevation
    assert torch.allclose(drawn, torch.tensor([33.0, 33.0]), atol=1.0)
    assert drawn[0] != drawn[1]


def test_known_views_come_back_unchanged_and_steer_the_rest(pipe, reference):
    cameras = Cameras.orbit(torch.tensor([[180.0]]), 5.0, size=32)
    alpha = torch.zeros(1, 1, 1, 32, 32)
    alpha[..., 8:24, 8:24] = 1
    known = ViewSet(0.7 * alpha.expand(1, 1, 3, 32, 32), alpha, cameras)
    output = sample(pipe, reference, known_views=known).views
    assert output.num_views == 4
    assert torch.allclose(output.rgb[:, 0], known.rgb[0].expand(2, 3, 32, 32), atol=1e-5)
    assert not torch.allclose(output.rgb[:, 1:], sample(pipe, reference).views.rgb, atol=1e-3)


def test_a_second_photo_steers(pipe, reference):
    camera = PhotoCamera.from_parameters(torch.tensor([[0.2, 0.0, 0.0, 0.1]]), azimuth=120.0)
    output = sample(pipe, reference, more_photos=[(reference, camera)]).views
    assert not torch.allclose(output.rgb, sample(pipe, reference).views.rgb, atol=1e-3)


def test_any_rig(pipe, reference):
    cameras = Cameras.orbit([0.0, 45.0, 170.0, 300.0], [0.0, 60.0, -30.0, 10.0], size=32)
    output = sample(pipe, reference, cameras=cameras).views
    assert output.num_views == 4
    assert torch.allclose(output.cameras.c2w[1], cameras.c2w)


@pytest.mark.parametrize(
    "scheduler",
    [
        FlowMatchHeunDiscreteScheduler(shift=3.0),
        UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
    ],
)
def test_schedulers_are_swappable(pipe, reference, scheduler):
    other = MultiViewDiffusionPipeline(pipe.transformer, pipe.camera_estimator, scheduler)
    other.set_progress_bar_config(disable=True)
    many = sample(pipe, reference, num_inference_steps=25, guidance_scale=1.0).views
    assert torch.isfinite(sample(other, reference, num_inference_steps=25, guidance_scale=1.0).views.rgb).all()
    error = (sample(other, reference, num_inference_steps=25, guidance_scale=1.0).views.alpha - many.alpha).abs().mean()
    assert error < 0.1


def test_guidance_acts_only_inside_its_interval(pipe, reference):
    plain = sample(pipe, reference, guidance_scale=1.0).views.rgb
    assert torch.equal(plain, sample(pipe, reference, guidance_scale=5.0, guidance_interval=(2.0, 3.0)).views.rgb)
    assert not torch.allclose(plain, sample(pipe, reference, guidance_scale=5.0).views.rgb, atol=1e-3)


def test_a_pass_that_is_guided_by_itself_is_taken_at_its_word(pipe, reference):
    """One pass at the learnt scale; at any other, what the photo adds is scaled from there."""
    twin = MultiViewTransformer.from_config(pipe.transformer.config).eval()
    twin.claim_guidance(2.0)
    twin.load_state_dict(pipe.transformer.state_dict())
    guided = MultiViewDiffusionPipeline(twin, pipe.camera_estimator, pipe.scheduler)
    guided.set_progress_bar_config(disable=True)
    passes = []
    twin.register_forward_hook(lambda *_: passes.append(1))
    own = sample(guided, reference, num_inference_steps=3, guidance_scale=2.0).views.rgb
    assert len(passes) == 3
    assert torch.equal(own, sample(pipe, reference, num_inference_steps=3, guidance_scale=1.0).views.rgb)
    twice = sample(guided, reference, num_inference_steps=3, guidance_scale=6.0).views.rgb
    assert len(passes) == 9
    torch.testing.assert_close(twice, sample(pipe, reference, num_inference_steps=3, guidance_scale=3.0).views.rgb)


def test_guidance_that_is_learnt_up_to_a_level_acts_up_to_it(pipe, reference):
    """Above it a pass is plain and taken as it is; an interval of one's own reaches further, at the price of a pass."""
    twin = MultiViewTransformer.from_config(pipe.transformer.config).eval()
    twin.claim_guidance(2.0, below=0.9)
    twin.load_state_dict(pipe.transformer.state_dict())
    guided = MultiViewDiffusionPipeline(twin, pipe.camera_estimator, pipe.scheduler)
    guided.set_progress_bar_config(disable=True)
    passes = []
    twin.register_forward_hook(lambda *_: passes.append(1))
    steps = {"num_inference_steps": 3}  # the first at level 1, the others below .9
    plain = sample(pipe, reference, guidance_scale=1.0, **steps).views.rgb
    assert torch.equal(sample(guided, reference, guidance_scale=2.0, **steps).views.rgb, plain)
    assert len(passes) == 3
    below = sample(guided, reference, guidance_scale=6.0, **steps).views.rgb
    assert len(passes) == 3 + 5
    only = sample(pipe, reference, guidance_scale=3.0, guidance_interval=(0.0, 0.9), **steps).views.rgb
    torch.testing.assert_close(below, only)
    sample(guided, reference, guidance_scale=2.0, guidance_interval=(0.0, 1.0), **steps)
    assert len(passes) == 3 + 5 + 4


def test_callback_sees_and_changes_the_sample(pipe, reference):
    seen = []

    def callback(pipeline, index, timestep, tensors):
        seen.append((index, float(timestep)))
        return {"sample": torch.zeros_like(tensors["sample"])}

    changed = sample(pipe, reference, callback_on_step_end=callback).views.rgb
    assert [index for index, _ in seen] == [0, 1, 2]
    assert seen[0][1] > seen[1][1] > seen[2][1]
    assert torch.allclose(changed[0], changed[1], atol=1e-4)


@pytest.mark.parametrize("output_type", ["np", "pil"])
def test_output_types(pipe, reference, output_type):
    views = sample(pipe, reference, output_type=output_type).views
    picture = views[1][2]
    assert np.asarray(picture).shape == (32, 32, 4)
    assert isinstance(sample(pipe, reference, return_dict=False), tuple)


def test_pt_returns_tensors_of_the_same_views(pipe, reference):
    views, found = sample(pipe, reference).views, sample(pipe, reference, output_type="pt").views
    assert isinstance(found, torch.Tensor)
    assert found.shape == (len(views), views.num_views, 4, 32, 32)
    assert torch.equal(found, torch.cat([views.rgb, views.alpha], 2))
    array = sample(pipe, reference, output_type="np").views
    assert np.array_equal(found.permute(0, 1, 3, 4, 2).numpy(), array)


def test_num_timesteps_is_that_of_the_latest_call(pipe, reference):
    for steps in (2, 3):
        sample(pipe, reference, num_inference_steps=steps)
        assert pipe.num_timesteps == steps


def test_save_and_load(pipe, reference, tmp_path):
    pipe.save_pretrained(tmp_path)
    loaded = MultiViewDiffusionPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert torch.equal(sample(pipe, reference).views.rgb, sample(loaded, reference).views.rgb)


def test_packed_weights_lose_little(pipe, reference, tmp_path):
    pipe.transformer.register_to_config(_name_or_path="where/it/was")
    save_packed({"transformer": pipe.transformer, "camera_estimator": pipe.camera_estimator}, tmp_path, {"recipe": "t"})
    loaded = MultiViewDiffusionPipeline.from_pretrained(tmp_path, scheduler=pipe.scheduler)
    loaded.set_progress_bar_config(disable=True)
    before, after = sample(pipe, reference).views, sample(loaded, reference).views
    assert (before.alpha - after.alpha).abs().mean() < 0.02
    assert json.loads((tmp_path / "packed.json").read_text())["sha256"] == weights_hash(tmp_path)
    configs = [json.loads(path.read_text()) for path in tmp_path.glob("*/config.json")]
    assert len(configs) == 2
    assert not any("_name_or_path" in config for config in configs)
    half = MultiViewDiffusionPipeline.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    assert half.transformer.dtype == torch.bfloat16


def test_rounding_error_is_within_half_a_step():
    state = {"a.weight": torch.randn(64, 128), "a.bias": torch.randn(64)}
    restored = unpack(pack(state))
    step = state["a.weight"].abs().amax(-1, keepdim=True) / 127
    assert ((restored["a.weight"] - state["a.weight"]).abs() <= 0.52 * step).all()
    assert torch.allclose(restored["a.bias"], state["a.bias"], atol=2e-3)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_hypotheses": 0, "generator": None}, "at least 1"),
        ({"num_inference_steps": 0}, "at least 1"),
        ({"generator": seeds(1)}, "one for each"),
        ({"elevation": 200.0}, "between -90 and 90"),
        ({"output_type": "mesh"}, "output_type"),
        ({"callback_on_step_end_tensor_inputs": ("latents",)}, "Callbacks"),
    ],
)
def test_bad_arguments(pipe, reference, kwargs, message):
    with pytest.raises(InputError, match=message):
        sample(pipe, reference, **kwargs)


def test_initial_views_are_left_as_far_as_the_strength_says(pipe, reference):
    start = sample(pipe, reference, generator=seeds(5, 6)).views
    cameras = sample(pipe, reference).photo_cameras

    def moved(strength: float, steps: int = 8) -> float:
        output = sample(
            pipe,
            reference,
            num_inference_steps=steps,
            initial_views=start,
            strength=strength,
            cameras=start.cameras,
            photo_cameras=cameras,
        )
        assert torch.equal(output.photo_cameras.elevation, cameras.elevation)
        return float((output.views.rgb - start.rgb).abs().mean())

    whole = sample(pipe, reference, num_inference_steps=8, cameras=start.cameras, photo_cameras=cameras).views
    assert moved(0.3) < moved(1.0)
    # Full strength is as if there were none.
    assert moved(1.0) == pytest.approx(float((whole.rgb - start.rgb).abs().mean()), abs=1e-6)
    with pytest.raises(InputError, match="strength"):
        moved(0.0)
    with pytest.raises(InputError, match="initial views"):
        sample(pipe, reference, initial_views=start.select_views([0]), strength=0.5)


def test_bad_weights(pipe, tmp_path):
    with pytest.raises(InputError, match="no weights at"):
        MultiViewDiffusionPipeline.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no saved pipeline"):
        MultiViewDiffusionPipeline.from_pretrained(tmp_path)
    save_packed({"transformer": pipe.transformer, "camera_estimator": pipe.camera_estimator}, tmp_path, {})
    config = json.loads((tmp_path / "transformer" / "config.json").read_text())
    (tmp_path / "transformer" / "config.json").write_text(json.dumps(config | {"width": 96}))
    with pytest.raises(InputError, match="another architecture"):
        MultiViewDiffusionPipeline.from_pretrained(tmp_path)
    shard = next((tmp_path / "camera_estimator").glob("*.safetensors"))
    (tmp_path / "transformer" / "config.json").write_text(json.dumps(config))
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(InputError, match=r"damaged or missing|no readable file of weights"):
        MultiViewDiffusionPipeline.from_pretrained(tmp_path)
