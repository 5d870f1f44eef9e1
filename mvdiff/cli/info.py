"""``mvdiff info``: what this installation is and can do."""

import importlib.metadata
import importlib.util
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvdiff.cli.terminal import say

#: Extra to the modules that it brings.
EXTRAS = {
    "wandb": ("wandb",),
    "xformers": ("xformers",),
    "kaolin": ("kaolin.ops",),  # no extra: PyPI's package of that name is an empty placeholder
    "matting": ("rembg", "onnxruntime"),
    "helpers": ("transformers", "onnxruntime"),
    "usd": ("pxr",),
    "heif": ("pillow_heif",),
    "gltf": ("DracoPy", "meshopt"),
    "print": ("lib3mf",),
    "lpips": ("lpips",),
    "backbones": ("transformers",),
    "serve": ("fastapi", "uvicorn", "sse_starlette"),
    "client": ("httpx",),
    "batch": ("pyarrow", "tenacity", "s3fs"),
    "ray": ("ray",),
}


@dataclass(frozen=True)
class Command:
    """Version, weights, license, devices and optional parts."""

    weights: str = "embedded"
    """The model in this package, or a folder of weights."""
    lora: Path | None = None
    """LoRA adapter to describe."""
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        facts = collect(self.weights, self.lora)
        if self.json:
            print(json.dumps(facts))
            return
        for name, value in facts.items():
            text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            say(f"{name:<9} {text}")


def collect(weights: str = "embedded", lora: Path | None = None) -> dict[str, Any]:
    import torch

    import mvdiff
    from mvdiff.weights import packing
    from recon.core.reading import reading

    folder = packing.resolve(weights)
    with reading(folder, "folder of weights", "fetch or train these weights again"):
        known = {"name": weights, "sha256": packing.weights_hash(folder), **_learnt_guidance(folder)}
        provenance = _provenance(folder)
    devices = {"cpu": platform.processor() or platform.machine()}
    devices |= {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    return {
        "mvdiff": mvdiff.__version__,
        "license": _license(),
        "weights": known,
        "provenance": provenance,
        **({} if lora is None else {"lora": _lora(lora)}),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in ("torch", "diffusers", "trimesh")},
        "devices": devices,
        "extras": {name: "yes" if _present(modules) else "no" for name, modules in EXTRAS.items()},
    }


def _provenance(folder: Path) -> dict[str, Any]:
    """Summarize the origin of weights, from a run's export or a packed folder."""
    from mvdiff.weights import packing
    from recon.core.paths import is_file
    from recon.core.reading import read_json

    if packing.is_packed(folder):
        record = packing.read_index(folder).provenance
        config, metrics = record.get("config", {}), record.get("last_metrics", {})
        return _known({"run": config.get("output_dir"), "which": record.get("which")} | _run(metrics, config))
    path = folder / "provenance.json"
    record = read_json(path, dict[str, Any]) if is_file(path) else {}
    return _known({"base": record.get("base")} | _run(record, record.get("config", {})))


def _learnt_guidance(folder: Path) -> dict[str, float]:
    """The --guidance-scale at which a step takes one pass, and the noise level up to which that pass is guided."""
    from mvdiff.weights.architecture import read_config

    config = read_config(folder, "transformer")
    return {name: float(config.get(name, 1)) for name in ("learnt_guidance", "guidance_below")}


def _run(record: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    return {"step": record.get("step"), "seconds": record.get("seconds"), "seed": config.get("seed")}


def _lora(lora: Path) -> dict[str, Any]:
    from mvdiff.pipelines.lora_loader import lora_file, read_lora

    state, settings, provenance = read_lora(lora_file(lora))
    rank = next((own.get("r") for own in settings.values()), None)
    facts = {"adapts": " and ".join(state), "tensors": sum(map(len, state.values())), "rank": rank}
    return _known(facts | provenance)


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None} or {"recorded": "no"}


def _license() -> str:
    try:
        found = importlib.metadata.metadata("mvdiff")
    except importlib.metadata.PackageNotFoundError:
        return "unknown: the package is not installed"
    return found.get("License-Expression") or found.get("License") or "unknown"


def _present(modules: tuple[str, ...]) -> bool:
    try:
        return all(importlib.util.find_spec(module) is not None for module in modules)
    except ModuleNotFoundError:
        return False
