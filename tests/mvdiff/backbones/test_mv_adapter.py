"""MV-Adapter with tiny seeded weights: streams of hypotheses, cameras, framing, placement, and bad input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from asymmetric import seat
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_mvadapter import save_tiny

from mvdiff.backbones.mv_adapter import MVAdapterSampler
from mvdiff.backbones.mvadapter import views
from mvdiff.backbones.mvadapter.attention import install_decoupled_attention
from mvdiff.backbones.mvadapter.denoising import denoise
from mvdiff.backbones.mvadapter.loading import ADAPTER_FILE, load_networks
from mvdiff.backbones.mvadapter.networks import Networks
from mvdiff.sampling.conditions import Conditions
from mvdiff.sampling.sampler import SamplerInfo, SamplingRequest, ViewSampler
from mvdiff.sampling.settings import SamplingConfig
from recon import Cameras, reconstruct
from recon.core.errors import InputError
from recon.objects import ReconstructionConfig
from recon.rendering import render_mesh


def load(folder: Path) -> Any:
    return load_networks(folder, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("mvadapter") / "weights")


@pytest.fixture(scope="module")
def sampler(folder) -> MVAdapterSampler:
    return MVAdapterSampler(load(folder), SamplerInfo("mv-adapter", "Apache-2.0"), view_size=64)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """The seat from azimuth 40 and elevation 25, by a pinhole."""
    picture = render_mesh(seat(), Cameras.orbit([40.0], [25.0], size=256))
    rgba = torch.cat([picture.rgb, picture.alpha], 2)[0, 0].permute(1, 2, 0)
    return Image.fromarray((rgba * 255).round().byte().numpy())


def test_hypotheses_do_not_depend_on_their_number(sampler):
    picture = views.as_pixels(Image.new("RGB", (64, 64), (90, 120, 40)))
    control = views.control_images(views.rig(64))

    def drawn(seeds: list[int]) -> torch.Tensor:
        streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        with torch.no_grad():
            return denoise(sampler.networks, picture, control, streams, 3, 3.0)

    three, alone = drawn([5, 6, 7]), drawn([7])
    assert three.shape == (3, 6, 4, 8, 8)
    assert (three[2] - alone[0]).abs().max() < 1e-5 * alone.abs().max()
    assert (three[0] - three[1]).abs().max() > 0.1


def test_views_of_an_object_share_rows_and_those_of_different_objects_nothing(sampler):
    """Attention across views changes a view with its object's other views; another object leaves it alone."""
    unet, size = sampler.networks.unet, 64
    layer = next(m for name, m in unet.named_modules() if name.endswith("attn1") and "down_blocks.1" in name)
    tokens = torch.randn(2 * 6, 16, layer.to_q.in_features, generator=torch.Generator().manual_seed(0))
    bank = {layer.processor.name: torch.randn(2, 5, layer.to_q.in_features)}
    with torch.no_grad():
        before = layer(tokens, bank=bank, num_views=6)
        moved = tokens.clone()
        moved[3, 4:8] += 1.0  # the second of four rows of the first object's fourth view
        after = layer(moved, bank=bank, num_views=6)
    changed = (after - before).abs().amax(-1) > 1e-6
    assert changed[3].all()  # the view's own self-attention
    assert changed[[0, 1, 2, 4, 5]][:, 4:8].all()
    assert not changed[[0, 1, 2, 4, 5]][:, [*range(4), *range(8, 16)]].any()
    assert not changed[6:].any()
    assert size % 16 == 0


def test_the_cameras_see_the_front_first_and_are_orthographic():
    rig = views.rig(32)
    assert rig.orthographic.all()
    assert torch.allclose(rig.position[0], torch.tensor([0.0, 0.0, 1.8]), atol=1e-6)
    control = views.control_images(rig)
    # Towards the object from its front: +Y of a world whose Z is up; the camera itself stands on -Y.
    assert torch.allclose(control[0, :, 3, 5], torch.tensor([0.5, 1.0, 0.5, 0.5, 0.0, 0.5]), atol=1e-6)


@pytest.mark.parametrize("size", [(40, 20), (20, 40)])
def test_the_photos_object_takes_nine_tenths_of_a_gray_square(size):
    rgba = Image.new("RGBA", (64, 64))
    rgba.paste((255, 0, 0, 255), (3, 7, 3 + size[0], 7 + size[1]))
    square = np.asarray(views.framed(rgba, 100)).astype(int)
    assert (square[0, 0] == 127).all()
    rows, columns = np.nonzero(square[..., 0] > 200)
    extent = (np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert max(extent) == pytest.approx(90, abs=4)
    assert min(extent) == pytest.approx(45, abs=4)


class Painted(Networks):
    """Networks whose VAE decodes every object to six true pictures of the seat over gray."""

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        size = latents.shape[-1] * self.factor
        six = render_mesh(seat(), views.rig(size), supersample=4).composited(0.5)[0]
        return six.repeat(len(latents) // len(six), 1, 1, 1)


def test_views_come_into_the_frame_of_the_photo(sampler, photo):
    """The whole way with true pictures in place of the network's: the mesh lies under the photo."""
    painted = Painted(**vars(sampler.networks))
    own = MVAdapterSampler(painted, sampler.info, view_size=128)
    reference = own.prepare(photo, matting=False)
    settings, finished = SamplingConfig(num_inference_steps=2, candidates=1), []
    views_, cameras = own.sample(SamplingRequest(reference, [3, 4], settings), finished.append)
    assert finished == [1, 2]
    assert views_.cameras.orthographic.tolist() == [[False] + [True] * 6] * 2
    assert cameras.azimuth.tolist() == [0.0, 0.0]
    assert cameras.elevation.tolist() == pytest.approx([25, 25], abs=3)
    mesh = reconstruct(views_[1], ReconstructionConfig.preset("fast"))[0].mesh
    shown = render_mesh(mesh, cameras.cameras(64)[1:]).alpha[0, 0, 0] > 0.5
    wanted = torch.nn.functional.interpolate(reference.rgba[None, 3:], (64, 64), mode="area")[0, 0] > 0.5
    assert (shown & wanted).sum() / (shown | wanted).sum() > 0.93


def test_it_is_a_view_sampler_and_says_what_it_cannot_do(sampler, photo):
    assert isinstance(sampler, ViewSampler)
    reference = sampler.prepare(photo, matting=False)
    with pytest.raises(InputError, match="cannot be conditioned on an elevation"):
        sampler.sample(SamplingRequest(reference, [0], elevation=10.0))
    with pytest.raises(InputError, match="takes one photo"):
        sampler.draw_photo_cameras(reference, [0])
    with pytest.raises(InputError, match="There is no LoRA file"):
        MVAdapterSampler.from_pretrained(lora="x.safetensors")
    assert Conditions().given == frozenset()
    with pytest.raises(InputError, match="shows no object"):
        views.framed(Image.new("RGBA", (8, 8)), 64)


def _copied(folder: Path, place: Path) -> Path:
    import shutil

    return Path(shutil.copytree(folder, place / "weights"))


def test_missing_and_foreign_weights_are_named(folder, tmp_path):
    own = _copied(folder, tmp_path)
    path = own / "adapter" / ADAPTER_FILE
    state = load_file(path)
    name = next(name for name in state if "to_q_mv" in name)
    save_file({key: value for key, value in state.items() if key != name}, path)
    with pytest.raises(InputError, match=f"1 missing: {name}"):
        load(own)
    save_file({**state, "adapter.extra": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"1 unknown: adapter\.extra"):
        load(own)
    path.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="pull these weights again"):
        load(own)
    path.unlink()
    with pytest.raises(InputError, match="the adapter itself"):
        load(own)


def test_a_base_that_is_no_sdxl_is_refused(folder, tmp_path):
    from diffusers import UNet2DConditionModel
    from seeded_weights import initialize_by_name

    own = _copied(folder, tmp_path)
    config = json.loads((own / "unet" / "config.json").read_text())
    config |= {"addition_embed_type": None, "projection_class_embeddings_input_dim": None}
    initialize_by_name(UNet2DConditionModel.from_config(config)).save_pretrained(own / "unet")
    with pytest.raises(InputError, match="no UNet of SDXL"):
        load(own)


def test_the_full_size_adapter_has_the_size_of_the_published_file():
    """3.6 GB in single precision; SDXL's self-attention layers have two branches of four square matrices each."""
    from diffusers import T2IAdapter, UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10),
            cross_attention_dim=2048,
            attention_head_dim=(5, 10, 20),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )
        stock = sum(value.numel() for value in unet.parameters())
        install_decoupled_attention(unet)
        encoder = T2IAdapter(6, (320, 640, 1280, 1280), 2, 16, "full_adapter_xl")
    assert stock == 2_567_463_684  # SDXL 1.0
    branches = sum(value.numel() for value in unet.parameters()) - stock
    assert branches == sum(layers * 2 * (4 * width**2 + width) for layers, width in ((10, 640), (60, 1280)))
    assert 4 * (branches + sum(value.numel() for value in encoder.parameters())) == pytest.approx(3.6e9, rel=0.03)
