"""A Zero123++ folder of a few thousand weights, in the layout of the published one, with every other part real."""

import json
from pathlib import Path

from diffusers import AutoencoderKL, ControlNetModel, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from seeded_weights import initialize_by_name
from tiny_tokenizer import save_tokenizer
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

_WIDTH = 32


def tiny_modules() -> dict:
    """Networks by the names of the folder; zero-initialized layers have random values, too."""
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(_WIDTH, 2 * _WIDTH),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=_WIDTH,
        attention_head_dim=(2, 4),
        norm_num_groups=8,
        use_linear_projection=True,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
    vision = CLIPVisionConfig(
        hidden_size=_WIDTH,
        intermediate_size=64,
        projection_dim=_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
    )
    text = CLIPTextConfig(
        vocab_size=8,
        hidden_size=_WIDTH,
        intermediate_size=64,
        projection_dim=_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=6,
        eos_token_id=7,
        pad_token_id=0,
    )
    control = ControlNetModel.from_unet(unet, conditioning_channels=3)
    modules = {
        "unet": unet,
        "vae": vae,
        "vision_encoder": CLIPVisionModelWithProjection(vision),
        "text_encoder": CLIPTextModel(text),
        "controlnet": control,
    }
    return {name: initialize_by_name(module) for name, module in modules.items()}


def scheduler() -> EulerAncestralDiscreteScheduler:
    """As published: linear betas, v-prediction, trailing steps."""
    return EulerAncestralDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,
    )


def processors() -> dict[str, CLIPImageProcessorPil]:
    """Preprocessing of the picture for CLIP and for the VAE, at a fraction of the published sizes."""
    clip = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
    return {
        "feature_extractor_clip": _processor(56, clip),
        "feature_extractor_vae": _processor(64, {"image_mean": [0.5] * 3, "image_std": [0.8] * 3}),
    }


def _processor(size: int, norm: dict) -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size}, **norm)


def save_tiny(folder: Path) -> Path:
    """Write the folder; returns it."""
    for name, module in tiny_modules().items():
        module.save_pretrained(folder / name, safe_serialization=True)
    scheduler().save_pretrained(folder / "scheduler")
    for name, processor in processors().items():
        processor.save_pretrained(folder / name)
    save_tokenizer(folder / "tokenizer")
    index = {"_class_name": "Zero123PlusPipeline", "_diffusers_version": "0.22.0"}
    index["ramping_coefficients"] = [round(0.1 + 0.01 * k, 4) for k in range(77)]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder
