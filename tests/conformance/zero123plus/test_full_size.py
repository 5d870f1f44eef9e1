"""The published architecture at full size, without memory for its weights: counts of parameters, names of tensors."""

import json
from pathlib import Path
from typing import Any

import pytest
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPVisionModelWithProjection

from mvdiff.weights.folders import check_keys, expected_shapes, on_meta
from recon.core.errors import InputError

KEYS = Path(__file__).parents[1] / "keys/zero123plus.json"
_UNET = {
    "sample_size": 96,
    "block_out_channels": [320, 640, 1280, 1280],
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}
#: Architectures of Stable Diffusion 2 and of OpenCLIP's ViT-H/14, on which Zero123++ is built.
ARCHITECTURES: dict[str, tuple[Any, dict[str, Any]]] = {
    "unet": (UNet2DConditionModel, _UNET),
    "controlnet": (ControlNetModel, {**{k: v for k, v in _UNET.items() if k != "sample_size"}}),
    "vae": (
        AutoencoderKL,
        {
            "block_out_channels": [128, 256, 512, 512],
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
            "layers_per_block": 2,
            "latent_channels": 4,
            "sample_size": 768,
        },
    ),
    "text_encoder": (
        CLIPTextModel,
        {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 23,
            "num_attention_heads": 16,
            "hidden_act": "gelu",
            "projection_dim": 512,
        },
    ),
    "vision_encoder": (
        CLIPVisionModelWithProjection,
        {
            "hidden_size": 1280,
            "intermediate_size": 5120,
            "num_hidden_layers": 32,
            "num_attention_heads": 16,
            "patch_size": 14,
            "image_size": 224,
            "hidden_act": "gelu",
            "projection_dim": 1024,
        },
    ),
}
#: Published counts in millions: SD 2's UNet, VAE and text encoder, and ViT-H/14's vision tower with its projection.
PUBLISHED = {"unet": 865.91, "vae": 83.65, "text_encoder": 340.39, "vision_encoder": 632.08}


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_has_as_many_parameters_as_the_published_one(name: str) -> None:
    count = sum(each.numel() for each in on_meta(*ARCHITECTURES[name]).parameters())
    assert count / 1e6 == pytest.approx(PUBLISHED[name], abs=0.01)


def test_the_unet_in_half_precision_is_as_large_as_the_published_file() -> None:
    """InstantMesh's ``diffusion_pytorch_model.bin`` has 1.73 GB."""
    count = sum(each.numel() for each in on_meta(*ARCHITECTURES["unet"]).parameters())
    assert 2 * count / 1e9 == pytest.approx(1.73, abs=0.005)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_names_and_shapes_are_the_stored_ones(name: str) -> None:
    """The list is that of today's stock classes.

    It has not been compared with the hub's yet: no hub could be reached. `mvdiff models keys zero123plus` prints that.
    """
    stored = {key: tuple(shape) for key, shape in json.loads(KEYS.read_text())[name].items()}
    check_keys(stored, expected_shapes(*ARCHITECTURES[name]), name)
    with pytest.raises(InputError, match="1 missing"):
        check_keys(dict(list(stored.items())[1:]), expected_shapes(*ARCHITECTURES[name]), name)
