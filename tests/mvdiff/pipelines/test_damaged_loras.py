"""Adapters that must not be used: each is refused with what is wrong and what to do."""

import json
from pathlib import Path

import pytest
import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.pipelines.lora_loader import read_lora
from mvdiff.training.lora import ADAPTER, LoraConfig, add_lora
from recon.core.errors import InputError


@pytest.fixture(scope="module")
def lora(weights: Path, tmp_path_factory) -> Path:
    pipeline = MultiViewDiffusionPipeline.from_pretrained(weights)
    config = LoraConfig(rank=4)
    add_lora(pipeline.transformer, config, config.targets)
    return pipeline.save_lora_weights(tmp_path_factory.mktemp("lora") / "lora.safetensors", ADAPTER)


def _nan(state: dict) -> dict:
    name = next(iter(state))
    return state | {name: state[name].clone().fill_(float("nan"))}


def _half(state: dict) -> dict:
    return {name: value for name, value in state.items() if ".lora_A." in name}


def _ranks(state: dict) -> dict:
    return {name: value[:2].contiguous() if ".lora_A." in name else value for name, value in state.items()}


def _flat(state: dict) -> dict:
    return {name: value.flatten() for name, value in state.items()}


def _kohya(state: dict) -> dict:
    renamed = {f"lora_unet_{name.replace('.', '_')}.lora_down.weight": value for name, value in state.items()}
    return renamed | {"lora_unet_a.alpha": torch.tensor(4.0)}


def _wider(state: dict) -> dict:
    return {n: torch.cat([v, v], 1).contiguous() if ".lora_A." in n else v for n, v in state.items()}


def _weights(state: dict) -> dict:
    return {name.replace(".lora_A", "").replace(".lora_B", ".other"): value for name, value in state.items()}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_nan, "NaN or infinity .*train it anew"),
        (_half, "has .*lora_A.* but not .*lora_B"),
        (_ranks, "different ranks"),
        (_flat, "no matrix"),
        (_kohya, r"LoRA of another program.*transformer\..*lora_A"),
        (_wider, "another architecture"),
        (_weights, "no LoRA but other weights.*--weights"),
        (lambda state: {}, "no LoRA"),
    ],
)
def test_damaged_tensors(weights: Path, lora: Path, tmp_path: Path, damage, told: str):
    path = tmp_path / "bad.safetensors"
    with safe_open(lora, "pt") as file:
        metadata = file.metadata()
    save_file(damage(load_file(lora)), path, metadata)
    pipeline = MultiViewDiffusionPipeline.from_pretrained(weights)
    with pytest.raises(InputError, match=told) as caught:
        pipeline.load_lora_weights(path)
    assert "\n" not in str(caught.value)
    pipeline.load_lora_weights(lora)  # a good one can still be used


@pytest.mark.parametrize(
    "changed",
    [
        {"transformer.r": 0},
        {"transformer.r": "4"},
        {"transformer.lora_alpha": 1e300},
        {"transformer.target_modules": "(a+)+$"},
        {"transformer.use_dora": True},
        {"transformer.rank_pattern": []},
    ],
)
def test_damaged_settings(lora: Path, tmp_path: Path, changed: dict):
    with safe_open(lora, "pt") as file:
        metadata = file.metadata()
    settings = json.loads(metadata[LORA_ADAPTER_METADATA_KEY]) | changed
    save_file(
        load_file(lora), tmp_path / "bad.safetensors", metadata | {LORA_ADAPTER_METADATA_KEY: json.dumps(settings)}
    )
    with pytest.raises(InputError, match="no readable LoRA file"):
        read_lora(tmp_path / "bad.safetensors")


def test_settings_that_name_code_are_passed_over(weights: Path, lora: Path, tmp_path: Path):
    with safe_open(lora, "pt") as file:
        metadata = file.metadata()
    settings = json.loads(metadata[LORA_ADAPTER_METADATA_KEY])
    settings |= {"transformer.megatron_config": {"a": 1}, "transformer.megatron_core": "antigravity"}
    path = tmp_path / "code.safetensors"
    save_file(load_file(lora), path, metadata | {LORA_ADAPTER_METADATA_KEY: json.dumps(settings)})
    pipeline = MultiViewDiffusionPipeline.from_pretrained(weights)
    pipeline.load_lora_weights(path)
    assert pipeline.transformer.peft_config["default_0"].megatron_config is None


def test_the_same_adapter_is_the_same_bytes(weights: Path, lora: Path, tmp_path: Path):
    """The library orders a header's entries at random in each process; calibrations know a LoRA by its hash."""
    pipeline = MultiViewDiffusionPipeline.from_pretrained(weights)
    pipeline.load_lora_weights(lora)
    files = {pipeline.save_lora_weights(tmp_path / f"{k}.safetensors").read_bytes() for k in range(8)}
    assert len(files) == 1
    header = next(iter(files))[8:400].decode("latin-1")
    assert header.index('"format"') < header.index(f'"{LORA_ADAPTER_METADATA_KEY}"')
