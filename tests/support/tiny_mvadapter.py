"""An MV-Adapter folder of a few ten thousand weights, in the layout of the published parts."""

import json
from pathlib import Path

from diffusers import AutoencoderKL, EulerDiscreteScheduler, T2IAdapter, UNet2DConditionModel
from safetensors.torch import save_file
from seeded_weights import initialize_by_name
from tiny_tokenizer import save_tokenizer
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from mvdiff.backbones.mvadapter.attention import install_decoupled_attention

_WIDTH, _POOLED, _SIZES = 32, 16, 8


def tiny_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(_WIDTH, 2 * _WIDTH, 2 * _WIDTH),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=2 * _WIDTH,
        attention_head_dim=(2, 4, 4),
        norm_num_groups=8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=_SIZES,
        projection_class_embeddings_input_dim=_POOLED + 6 * _SIZES,
    )


def tiny_adapter() -> T2IAdapter:
    return T2IAdapter(
        in_channels=6,
        channels=(_WIDTH, 2 * _WIDTH, 2 * _WIDTH, 2 * _WIDTH),
        num_res_blocks=2,
        downscale_factor=16,
        adapter_type="full_adapter_xl",
    )


def tiny_modules() -> dict:
    """Stock networks by the names of the folder; zero-initialized layers have random values, too."""
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.13025,
        force_upcast=False,
    )
    modules = {
        "unet": tiny_unet(),
        "vae": vae,
        "text_encoder": CLIPTextModel(_text(_POOLED)),
        "text_encoder_2": CLIPTextModelWithProjection(_text(_POOLED)),
    }
    return {name: initialize_by_name(module) for name, module in modules.items()}


def _text(projection: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=8,
        hidden_size=_WIDTH,
        intermediate_size=64,
        projection_dim=projection,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=6,
        eos_token_id=7,
        pad_token_id=0,
    )


def adapter_state() -> dict:
    """What the published file of the adapter holds: the branches of the UNet's processors, and the camera's encoder."""
    unet = tiny_unet()
    install_decoupled_attention(unet)
    branches = {k: v for k, v in initialize_by_name(unet).state_dict().items() if "_mv." in k or "_ref." in k}
    return branches | initialize_by_name(tiny_adapter()).state_dict()


def scheduler() -> EulerDiscreteScheduler:
    """As SDXL's."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        timestep_spacing="leading",
        steps_offset=1,
    )


def save_tiny(folder: Path) -> Path:
    """Write the folder; returns it."""
    for name, module in tiny_modules().items():
        module.save_pretrained(folder / name, safe_serialization=True)
    scheduler().save_pretrained(folder / "scheduler")
    for name in ("tokenizer", "tokenizer_2"):
        save_tokenizer(folder / name)
    (folder / "adapter").mkdir()
    save_file(adapter_state(), folder / "adapter" / "mvadapter_i2mv_sdxl.safetensors")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}))
    return folder
