"""Laws of the transformer's optional inputs, and the code of scenes."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mvdiff.models import MultiViewTransformer
from mvdiff.models.cameras import camera_tensors
from mvdiff.models.encoding import SceneCode
from mvdiff.models.scene_pass import denoise_scene, per_channel
from recon import Cameras, ViewSet
from recon.rendering.warp import Warped

TINY = {"sample_size": 32, "reference_size": 32, "width": 64, "depth": 2, "heads": 2}


def awake(model: MultiViewTransformer, keep: tuple[str, ...] = ()) -> MultiViewTransformer:
    """Layers that begin at zero hide every path behind them."""
    for name, parameter in model.named_parameters():
        if parameter.abs().max() == 0 and not name.startswith(keep):
            torch.nn.init.normal_(parameter, std=0.05)
    return model.eval()


def arguments(views: int = 3, photos: int = 1) -> dict:
    (c2w, lens), (photo_c2w, photo_lens) = (
        camera_tensors(Cameras.orbit(torch.arange(count) * 50.0, 10.0, size=32).reshape(1, count).expand(2, count))
        for count in (views, photos)
    )
    return {
        "sample": torch.randn(2, views, 8, 32, 32),
        "timestep": torch.rand(2, views) * 1000,
        "reference": torch.randn(2, photos, 4, 32, 32),
        "target_c2w": c2w,
        "target_lens": lens,
        "reference_c2w": photo_c2w,
        "reference_lens": photo_lens,
    }


@torch.no_grad()
def test_options_begin_as_if_they_were_absent_and_equal_levels_are_one_level():
    torch.manual_seed(0)
    plain, inputs = awake(MultiViewTransformer(**TINY)), arguments()
    rich = MultiViewTransformer(**TINY, noise_groups=2, condition_channels=6).eval()
    rich.load_state_dict(plain.state_dict(), strict=False)
    expected = plain(**inputs).sample
    condition = torch.randn(2, 3, 6, 32, 32)
    levels = inputs["timestep"]
    assert torch.equal(rich(**inputs, condition=condition).sample, expected)
    both = inputs | {"timestep": levels[..., None].expand(-1, -1, 2)}
    close = {"atol": 1e-5, "rtol": 1e-4}
    assert torch.allclose(rich(**both).sample, expected, **close)
    awake(rich)
    assert torch.allclose(rich(**both).sample, expected, **close)  # a law, not only the start
    assert torch.allclose(rich(**both, condition=condition * 0).sample, expected, **close)
    apart = inputs | {"timestep": torch.stack([levels * 0, levels], -1)}
    assert not torch.allclose(rich(**apart).sample, expected, atol=1e-3)
    assert not torch.allclose(rich(**both, condition=condition).sample, expected, atol=1e-3)


@pytest.mark.parametrize("patch", [8, 16])
@torch.no_grad()
def test_a_network_without_photos_takes_views_alone_of_any_lens(patch):
    size = {"patch_size": patch, "reference_channels": 0, "noise_groups": 2, "condition_channels": 6}
    model = awake(MultiViewTransformer(**(TINY | size)))
    assert not any("reference" in name for name, _ in model.named_parameters())
    wide = Cameras.orbit(torch.zeros(4), size=32).reshape(2, 2)
    squeezed = replace(wide, intrinsics=wide.intrinsics * torch.tensor([0.75, 1.0, 1.0])[:, None])
    noisy, level, photo = torch.randn(2, 2, 8, 32, 32), torch.rand(2, 2, 2), torch.rand(2, 3, 32, 32)
    one, other = (denoise_scene(model, noisy, level, cameras, photo) for cameras in (wide, squeezed))
    assert one.shape == noisy.shape
    assert not torch.allclose(one, other, atol=1e-4)


def test_each_channel_has_its_groups_level():
    level = per_channel(torch.tensor([[[0.1, 0.7]]]))[0, 0, :, 0, 0]
    assert level.tolist() == pytest.approx([0.1] * 3 + [0.7] * 5)


@given(st.floats(0.02, 300.0))
@settings(deadline=None, max_examples=60)
def test_depth_code_is_inverted_and_ordered(depth):
    code, place = SceneCode(), torch.tensor([depth, depth * 1.01])
    encoded = code.encode_depth(place)
    assert -1 <= float(encoded[1]) < float(encoded[0]) < 1
    assert torch.allclose(code.decode_depth(encoded), place, rtol=2e-3)
    assert float(code.encode_depth(torch.tensor(1.5))) == pytest.approx(0.0)
    assert float(code.encode_depth(torch.tensor(0.0))) == -1


def test_views_of_a_scene_survive_their_code():
    cameras = Cameras.orbit(torch.zeros(2), size=8).reshape(1, 2)
    alpha = torch.ones(1, 2, 1, 8, 8)
    alpha[..., :3] = 0
    normal = torch.nn.functional.normalize(torch.randn(1, 2, 3, 8, 8), dim=2) * alpha
    views = ViewSet(torch.rand(1, 2, 3, 8, 8), alpha, cameras, normal, (torch.rand_like(alpha) * 9 + 0.1) * alpha)
    back = SceneCode().decode(SceneCode().encode(views), cameras)
    for name in ("rgb", "alpha", "normal", "depth"):
        assert torch.allclose(getattr(back, name), getattr(views, name), rtol=2e-3, atol=1e-5), name
    flat = ViewSet(views.rgb, alpha, cameras)
    assert torch.equal(SceneCode().encode(flat)[:, :, 7], torch.zeros(1, 2, 8, 8))


def test_condition_is_zero_where_nothing_is_known():
    valid = (torch.rand(1, 2, 1, 8, 8) > 0.5).float()
    warped = Warped(torch.rand(1, 2, 3, 8, 8), torch.rand_like(valid), valid, torch.full_like(valid, 0.5))
    condition = SceneCode().condition(warped)
    assert not (condition * (1 - valid)).any()
    assert torch.equal(condition[:, :, 4:5], valid)
    assert torch.equal(condition[:, :, 5:], valid * 0.5)
