"""``mvdiff info``: what this installation is and can do."""

import importlib.metadata
import importlib.util
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Extra to the modules that it brings.
EXTRAS = {
    "wandb": ("wandb",),
    "xformers": ("xformers",),
    "kaolin": ("kaolin.ops",),  # PyPI's kaolin is an empty placeholder without this
    "matting": ("rembg", "onnxruntime"),
    "usd": ("pxr",),
    "lpips": ("lpips",),
    "viewer": ("viser",),
    "demo": ("gradio",),
}


@dataclass(frozen=True)
class Command:
    """Version, weights, licence, devices and optional parts."""

    weights: str = "embedded"
    """The model in this package, or a folder of weights."""
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        facts = collect(self.weights)
        if self.json:
            print(json.dumps(facts))
            return
        for name, value in facts.items():
            text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            print(f"{name:<9} {text}")


def collect(weights: str = "embedded") -> dict[str, Any]:
    import torch

    import mvdiff
    from mvdiff.weights import packing

    folder = packing.EMBEDDED if weights == "embedded" else Path(weights)
    devices = {"cpu": platform.processor() or platform.machine()}
    devices |= {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    return {
        "mvdiff": mvdiff.__version__,
        "licence": _licence(),
        "weights": {"name": weights, "sha256": packing.weights_hash(folder)},
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in ("torch", "diffusers", "trimesh")},
        "devices": devices,
        "extras": {name: "yes" if _present(modules) else "no" for name, modules in EXTRAS.items()},
    }


def _licence() -> str:
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
