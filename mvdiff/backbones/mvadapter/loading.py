"""MV-Adapter from a folder of weights: every network by its own stock class, nothing by name from the folder."""

import os
from pathlib import Path
from typing import Any

import torch

from mvdiff.backbones.mvadapter.attention import install_decoupled_attention
from mvdiff.backbones.mvadapter.networks import Networks, Prompt
from mvdiff.backbones.mvadapter.schedule import shifted
from mvdiff.backbones.unet_lora import Lora
from mvdiff.weights.folders import check_keys, load_network
from mvdiff.weights.limits import prompt_length, reading_network
from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.core.reading import read_safetensors, reading

#: Published file of the adapter for one photo.
ADAPTER_FILE = "mvadapter_i2mv_sdxl.safetensors"
PROMPT, NEGATIVE = "high quality", "watermark, ugly, deformed, noisy, blurry, low contrast"
#: Channels of each stage of the published camera encoder are those of the UNet; the last stage repeats.
_CAMERA_CHANNELS, _REPAIR = 6, "pull these weights again"


def load_networks(
    folder: Path, device: torch.device, dtype: torch.dtype, lora: Lora | None = None, offload: bool = False
) -> Networks:
    """All parts: SDXL's folders, ``vae``, and the published file of the adapter in ``adapter``."""
    os.environ["DIFFUSERS_DISABLE_REMOTE_CODE"] = "1"
    from diffusers import AutoencoderKL, UNet2DConditionModel

    unet = load_network(UNet2DConditionModel, folder / "unet", dtype)
    if unet.config.addition_embed_type != "text_time":
        raise InputError(f"'{folder / 'unet'}' is no UNet of SDXL: give SDXL 1.0 or a model fine-tuned from it.")
    if lora is not None:
        lora.fuse_into(unet)
    vae, resting = load_network(AutoencoderKL, folder / "vae", dtype), torch.device("cpu") if offload else device
    prompt, negative = _prompts(folder, dtype, device)
    place = folder / "adapter" / ADAPTER_FILE
    branches, cameras = _adapter(place)
    return Networks(
        unet=_with_adapter(unet, branches, place).to(resting),
        adapter=torch.nn.Module.to(_camera_encoder(unet, cameras, place), resting, dtype),
        # Stock SDXL's VAE overflows in half precision, and says so.
        vae=(vae.float() if vae.config.force_upcast else vae).to(resting),
        prompt=prompt,
        negative=negative,
        scheduler=_scheduler(folder / "scheduler"),
        execution=device if offload else None,
    )


def _with_adapter(unet: Any, state: dict[str, torch.Tensor], path: Path) -> Any:
    """The UNet with the branches of decoupled attention."""
    install_decoupled_attention(unet)
    expected = {name: tuple(value.shape) for name, value in unet.state_dict().items() if ".processor." in name}
    check_keys({name: tuple(value.shape) for name, value in state.items()}, expected, path)
    unet.load_state_dict(state, strict=False)
    return unet.eval().requires_grad_(False)


def _camera_encoder(unet: Any, state: dict[str, torch.Tensor], path: Path) -> Any:
    from diffusers import T2IAdapter

    channels = tuple(unet.config.block_out_channels)
    kind = {"num_res_blocks": 2, "downscale_factor": 16, "adapter_type": "full_adapter_xl"}
    encoder: Any = T2IAdapter(in_channels=_CAMERA_CHANNELS, channels=[*channels, channels[-1]], **kind)
    expected = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    check_keys({name: tuple(value.shape) for name, value in state.items()}, expected, path)
    encoder.load_state_dict(state)
    return encoder.eval().requires_grad_(False)


def _adapter(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The published file's two halves: branches of the UNet's processors, and the encoder of the cameras."""
    if not is_file(path):
        raise InputError(f"There is no '{path}', the adapter itself: {_REPAIR}.")
    with reading(path, "file of weights", _REPAIR):
        state, _ = read_safetensors(path)
    cameras = {name: value for name, value in state.items() if name.startswith("adapter.")}
    return {name: value for name, value in state.items() if name not in cameras}, cameras


def _scheduler(folder: Path) -> Any:
    """SDXL's own solver, with the noise of the adapter's training."""
    from diffusers import EulerDiscreteScheduler

    with reading(folder, "scheduler", _REPAIR):
        return shifted(EulerDiscreteScheduler.from_pretrained(folder, local_files_only=True))


@torch.no_grad()
def _prompts(folder: Path, dtype: torch.dtype, device: torch.device) -> tuple[Prompt, Prompt]:
    """Embeddings of the two fixed texts; the encoders are not needed afterwards."""
    try:
        from transformers import CLIPTextModel, CLIPTextModelWithProjection
    except ImportError as error:
        raise InputError("MV-Adapter needs transformers: run `pip install 'mvdiff[backbones]'`.") from error

    first = _encoded(CLIPTextModel, folder, "", dtype)
    second = _encoded(CLIPTextModelWithProjection, folder, "_2", dtype)
    tokens = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1).to(device)
    pooled = second.text_embeds.to(device)
    return Prompt(tokens[:1], pooled[:1]), Prompt(tokens[1:], pooled[1:])


def _encoded(kind: Any, folder: Path, suffix: str, dtype: torch.dtype) -> Any:
    from transformers import CLIPTokenizer

    with reading(folder / f"tokenizer{suffix}", "tokenizer", _REPAIR):
        tokenizer = CLIPTokenizer.from_pretrained(folder / f"tokenizer{suffix}", local_files_only=True)
        length = prompt_length(tokenizer)
        given = {"padding": "max_length", "max_length": length, "truncation": True, "return_tensors": "pt"}
        tokens = tokenizer([PROMPT, NEGATIVE], **given)
    encoder = load_network(kind, folder / f"text_encoder{suffix}", dtype)
    with reading_network(folder / f"text_encoder{suffix}"):
        return encoder(tokens.input_ids, output_hidden_states=True)
