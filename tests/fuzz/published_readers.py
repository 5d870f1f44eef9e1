"""Readers of other projects' weights: tiny random networks in the layouts that their publishers chose."""

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import samples
import torch

Make, Read = Callable[[Path], Path], Callable[[Path], Any]

_ZERO123 = ("model_index.json", "unet/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json")
_ZERO123 += ("tokenizer/tokenizer_config.json", "feature_extractor_clip/preprocessor_config.json")
_ZERO123 += ("vision_encoder/model.safetensors",)
_ADAPTER = ("adapter/mvadapter_i2mv_sdxl.safetensors", "unet/config.json", "tokenizer_2/tokenizer_config.json")
_ADAPTER += ("text_encoder_2/config.json", "scheduler/scheduler_config.json")
_TRIPOSG = ("transformer/config.json", "vae/config.json", "feature_extractor_dinov2/preprocessor_config.json")
_TRIPOSG += ("image_encoder_dinov2/config.json", "vae/diffusion_pytorch_model.safetensors")
_TRELLIS = ("ckpts/ss_flow_img_dit_L_16l8_fp16.json", "ckpts/ss_dec_conv3d_16l8_fp16.safetensors")
_MARIGOLD = ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json")
_HELPER = ("config.json", "preprocessor_config.json", "model.safetensors")


@functools.cache
def _whole(place: str) -> Path:
    """The folder that ``module:function`` of the tests' support makes, once."""
    module, _, function = place.partition(":")
    folder = samples.new(place.replace(":", "-"))
    getattr(importlib.import_module(module), function)(folder)
    return folder


def _part(place: str, name: str) -> Make:
    return lambda folder: samples.copied(functools.partial(_whole, place), name)(folder)


def _root(path: Path, name: str) -> Path:
    """The folder of weights that ``path``, named ``name`` below it, lies in."""
    return path.parents[name.count("/")]


def _networks(module: str, name: str) -> Read:
    def read(path: Path) -> object:
        load = importlib.import_module(f"mvdiff.backbones.{module}.loading").load_networks
        return load(_root(path, name), torch.device("cpu"), torch.float32)

    return read


def _shapes(backbone: str, name: str) -> Read:
    def read(path: Path) -> object:
        from mvdiff.backbones.shape_registry import load_shape_sampler

        return load_shape_sampler(backbone, weights=_root(path, name), device="cpu")

    return read


def _helper(place: str, name: str) -> Read:
    module, _, kind = place.partition(":")

    def read(path: Path) -> object:
        return getattr(importlib.import_module(f"mvdiff.helpers.{module}"), kind).from_folder(_root(path, name))

    return read


def _manifest(folder: Path) -> Path:
    from mvdiff.weights.manifest import FILE, Source, make_manifest

    _part("tiny_helpers:tiny_dinov2", "")(folder)
    make_manifest("dinov2", "Apache-2.0", {".": Source("a/b", "0" * 40)}, folder).save(folder)
    return folder / FILE


def _verified(path: Path) -> object:
    """By the helper, which hashes every file, and by the opening of a backbone's folder."""
    from mvdiff.helpers.dinov2 import Dinov2Encoder
    from mvdiff.weights.pulled import open_weights

    open_weights("dinov2", "Apache-2.0", path.parent)
    return Dinov2Encoder.from_folder(path.parent)


def _shards(folder: Path) -> Path:
    from transformers import Dinov2Model

    Dinov2Model.from_pretrained(_whole("tiny_helpers:tiny_dinov2")).save_pretrained(folder, max_shard_size="50KB")
    return folder / "model.safetensors.index.json"


def _sharded(path: Path) -> object:
    from transformers import Dinov2Model

    from mvdiff.weights.folders import load_network

    return load_network(Dinov2Model, path.parent)


def _pickle(folder: Path) -> Path:
    torch.save({"state_dict": {"unet.a": torch.rand(3, 4), "unet.b": torch.rand(2)}}, folder / "m.ckpt")
    return folder / "m.ckpt"


def _converted(path: Path) -> object:
    """With the hash of the damaged file itself, as its publisher may have stated it."""
    from mvdiff.weights.convert import convert
    from recon.core.reading import file_sha256

    return convert(path, file_sha256(path), path.with_name("m.safetensors"), "unet.")


def _moge(folder: Path) -> Path:
    from tiny_helpers import sphere_moge

    return sphere_moge(folder / "m.onnx")


def _open_moge(path: Path) -> object:
    from mvdiff.helpers.moge import MogeGeometry

    return MogeGeometry.from_file(path)


def _known(folder: Path) -> Path:
    from mvdiff.helpers.semantic_novelty import KnownPhotos

    return KnownPhotos(torch.nn.functional.normalize(torch.rand(6, 8), dim=-1)).save(folder / "k.safetensors")


def _load_known(path: Path) -> object:
    from mvdiff.helpers.semantic_novelty import KnownPhotos

    return KnownPhotos.load(path)


def _lora(folder: Path) -> Path:
    from safetensors.torch import save_file

    layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    save_file({f"{layer}.lora_A.weight": torch.rand(2, 32), f"{layer}.lora_B.weight": torch.rand(32, 2)}, folder / "l")
    return (folder / "l").rename(folder / "l.safetensors")


def _fused(path: Path) -> None:
    from tiny_zero123 import tiny_modules

    from mvdiff.backbones.unet_lora import Lora

    Lora.read(path).fuse_into(tiny_modules()["unet"])


def published_readers() -> dict[str, tuple[Make, Read, int]]:
    """By name: how to make a good file, how to read it, and how many damaged files the suite takes."""
    found: dict[str, tuple[Make, Read, int]] = {
        "manifest of weights": (_manifest, _verified, 12),
        "index of shards": (_shards, _sharded, 12),
        "pickle to convert": (_pickle, _converted, 20),
        "MoGe-2": (_moge, _open_moge, 12),
        "features of known photos": (_known, _load_known, 20),
        "LoRA of a UNet": (_lora, _fused, 4),
    }
    for name in _ZERO123:
        found[f"Zero123++: {name}"] = (_part("tiny_zero123:save_tiny", name), _networks("zero123", name), 4)
    for name in _ADAPTER:
        found[f"MV-Adapter: {name}"] = (_part("tiny_mvadapter:save_tiny", name), _networks("mvadapter", name), 4)
    for backbone, function, names in (
        ("triposg", "triposg_folder", _TRIPOSG),
        ("trellis-coarse", "trellis_folder", _TRELLIS),
    ):
        for name in names:
            found[f"{backbone}: {name}"] = (_part(f"tiny_shapes:{function}", name), _shapes(backbone, name), 4)
    for place, function, names in (
        ("dinov2:Dinov2Encoder", "tiny_dinov2", _HELPER),
        ("sam2:Sam2Segmenter", "tiny_sam2", _HELPER[:2]),
        ("depth_anything:DepthAnything", "tiny_depth_anything", _HELPER[:2]),
        ("marigold:MarigoldNormals", "tiny_marigold", _MARIGOLD),
    ):
        for name in names:
            kind = place.partition(":")[2]
            found[f"{kind}: {name}"] = (_part(f"tiny_helpers:{function}", name), _helper(place, name), 4)
    return found
