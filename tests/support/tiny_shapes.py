"""Folders of tiny seeded networks in the layouts of TRELLIS and TripoSG, every part real."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from seeded_weights import seeded_state

from mvdiff.backbones import trellis_coarse
from mvdiff.models.trellis.decoder import DecoderConfig, OccupancyDecoder
from mvdiff.models.trellis.flow import FlowConfig, LatentFlow, published_name
from mvdiff.models.triposg import decoder as decoder_names
from mvdiff.models.triposg import transformer as flow_names
from mvdiff.models.triposg.decoder import VectorDecoder, VectorDecoderConfig
from mvdiff.models.triposg.transformer import VectorFlow, VectorFlowConfig

FLOW = {"resolution": 4, "in_channels": 3, "model_channels": 32, "cond_channels": 24, "num_blocks": 2, "num_heads": 2}
DECODER = {"latent_channels": 3, "num_res_blocks": 1, "channels": (16, 8, 6), "num_res_blocks_middle": 1}
VECTOR_FLOW = {"num_attention_heads": 2, "width": 32, "in_channels": 6, "num_layers": 5, "cross_attention_dim": 24}
VECTOR_DECODER = {"latent_channels": 6, "num_attention_heads": 2, "width_decoder": 32, "num_layers_decoder": 2}
_ENCODER = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 42, "patch_size": 14}


def _save(module: torch.nn.Module, path: Path, name_of: Callable[[str], str], **extra: torch.Tensor) -> None:
    shapes = {name_of(name): tuple(value.shape) for name, value in module.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(seeded_state(shapes) | extra, path)


def _write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def trellis_folder(folder: Path) -> Path:
    """The two networks of the first stage and DINOv2 with registers."""
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    flow, decoder = LatentFlow(FlowConfig(**FLOW)), OccupancyDecoder(DecoderConfig(**DECODER))
    positions = {"pos_emb": torch.zeros(64, 32)}
    _save(flow, folder / f"{trellis_coarse.FLOW}.safetensors", published_name, **positions)
    _save(decoder, folder / f"{trellis_coarse.DECODER}.safetensors", str)
    published = {"out_channels": 3, "patch_size": 1, "qk_rms_norm": True, "use_fp16": True}
    _write(folder / f"{trellis_coarse.FLOW}.json", {"name": "SparseStructureFlowModel", "args": FLOW | published})
    _write(folder / f"{trellis_coarse.DECODER}.json", {"name": "SparseStructureDecoder", "args": DECODER})
    torch.manual_seed(0)
    encoder = Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**_ENCODER, num_register_tokens=2))
    encoder.save_pretrained(folder / trellis_coarse.PHOTO)
    return folder


def triposg_folder(folder: Path) -> Path:
    """A folder of diffusers' layout."""
    from transformers import Dinov2Config, Dinov2Model

    flow, decoder = VectorFlow(VectorFlowConfig(**VECTOR_FLOW)), VectorDecoder(VectorDecoderConfig(**VECTOR_DECODER))
    weights = "diffusion_pytorch_model.safetensors"
    _save(flow, folder / "transformer" / weights, flow_names.published_name)
    encoder_part = {"encoder.proj_in.weight": torch.zeros(2, 2)}
    _save(decoder, folder / "vae" / weights, decoder_names.published_name, **encoder_part)
    _write(folder / "transformer/config.json", {"_class_name": "TripoSGDiTModel", **VECTOR_FLOW})
    _write(folder / "vae/config.json", {"_class_name": "TripoSGVAEModel", **VECTOR_DECODER})
    _write(folder / "scheduler/scheduler_config.json", {"_class_name": "RectifiedFlowScheduler", "shift": 2.0})
    processor = {"crop_size": {"height": 42, "width": 42}, "size": {"shortest_edge": 48}}
    _write(folder / "feature_extractor_dinov2/preprocessor_config.json", processor)
    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(**_ENCODER)).save_pretrained(folder / "image_encoder_dinov2")
    return folder
