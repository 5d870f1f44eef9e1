"""Zero123++ from a folder of weights: every network by its own stock class, nothing by name from the folder."""

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch

from mvdiff.backbones.catalog import find
from mvdiff.backbones.photo_estimator import embedded_estimator
from mvdiff.backbones.unet_lora import Lora
from mvdiff.backbones.zero123.attention import install_reference_attention
from mvdiff.backbones.zero123.networks import Networks
from mvdiff.models.camera_estimator import PhotoCameraEstimator
from mvdiff.sampling.sampler import Channel, SamplerInfo
from mvdiff.weights import licenses
from mvdiff.weights.folders import load_network
from mvdiff.weights.limits import prompt_length, reading_network
from mvdiff.weights.pulled import open_weights
from recon.core.errors import InputError
from recon.core.paths import is_folder
from recon.core.reading import read_json, reading


class _Index(msgspec.Struct, frozen=True):
    """``model_index.json``: only the ramp is read of it."""

    ramping_coefficients: Annotated[list[float], msgspec.Meta(min_length=1, max_length=4096)]


def load(
    name: str,
    weights: str | Path,
    device: torch.device,
    dtype: torch.dtype,
    lora: Lora | None = None,
    offload: bool = False,
) -> tuple[Networks, PhotoCameraEstimator, SamplerInfo]:
    """Networks, camera estimator and description of the checkpoint ``name``."""
    row = find(name)
    if row.non_commercial:
        licenses.require(name, row.license, row.license_url)
    folder, record = open_weights(name, row.license, weights)
    networks = load_networks(folder, device, dtype, lora, offload)
    channels: frozenset[Channel] = frozenset({"rgb", "alpha"})
    if networks.control is not None:
        channels |= {"normal"}
    info = SamplerInfo(
        name=name,
        license=row.license,
        weights=record | ({} if lora is None else lora.record()),
        channels=channels,
        photo_camera="estimated",
        conditions=frozenset({"elevation", "photo_cameras"}),
        settings=frozenset(
            {"num_inference_steps", "guidance_scale", "candidates", "elevation_prior", "camera_temperature"}
        ),
        defaults=row.defaults,
    )
    return networks, embedded_estimator(device, dtype), info


def load_networks(
    folder: Path, device: torch.device, dtype: torch.dtype, lora: Lora | None = None, offload: bool = False
) -> Networks:
    """All parts of the published layout; ``controlnet`` may be missing."""
    os.environ["DIFFUSERS_DISABLE_REMOTE_CODE"] = "1"
    try:
        from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection
    except ImportError as error:
        raise InputError("Zero123++ needs transformers: run `pip install 'mvdiff[backbones]'`.") from error
    from diffusers import AutoencoderKL, ControlNetModel, EulerAncestralDiscreteScheduler, UNet2DConditionModel

    with reading(folder / "model_index.json", "index of Zero123++", "pull these weights again"):
        ramp = read_json(folder / "model_index.json", _Index).ramping_coefficients
    networks: dict[str, Any] = {
        "unet": load_network(UNet2DConditionModel, folder / "unet", dtype),
        "vae": load_network(AutoencoderKL, folder / "vae", dtype),
        "vision": load_network(CLIPVisionModelWithProjection, folder / "vision_encoder", dtype),
        "control": None,
    }
    if is_folder(folder / "controlnet"):
        networks["control"] = load_network(ControlNetModel, folder / "controlnet", dtype)
    if lora is not None:
        lora.fuse_into(networks["unet"])
    install_reference_attention(networks["unet"])
    place = torch.device("cpu") if offload else device
    prompt = _empty_prompt(folder, dtype)
    if len(ramp) != prompt.shape[1]:
        raise InputError(
            f"'{folder}' has {len(ramp)} ramping coefficients for {prompt.shape[1]} tokens: pull it again."
        )
    with reading_network(folder):
        scheduler = EulerAncestralDiscreteScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
        processors = [
            CLIPImageProcessorPil.from_pretrained(folder / f"feature_extractor_{name}", local_files_only=True)
            for name in ("clip", "vae")
        ]
    return Networks(
        **{name: None if network is None else network.to(place) for name, network in networks.items()},
        prompt=prompt.to(device),
        ramp=torch.tensor(ramp, dtype=dtype, device=device),
        scheduler=EulerAncestralDiscreteScheduler.from_config(scheduler.config, timestep_spacing="trailing"),
        vision_processor=processors[0],
        vae_processor=processors[1],
        execution=device if offload else None,
    )


@torch.no_grad()
def _empty_prompt(folder: Path, dtype: torch.dtype) -> torch.Tensor:
    """Text embedding of no words; the encoder itself is not needed afterwards."""
    from transformers import CLIPTextModel, CLIPTokenizer

    with reading(folder / "tokenizer", "tokenizer", "pull these weights again"):
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        length = prompt_length(tokenizer)
        tokens = tokenizer("", padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    encoder = load_network(CLIPTextModel, folder / "text_encoder", dtype)
    with reading_network(folder / "text_encoder"):
        return encoder(tokens.input_ids)[0]
