"""Every reader of files that come from outside, with one good file for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image


@dataclass(frozen=True)
class Reader:
    """How to make a good file in a folder, and how to read it."""

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    module: str
    """Where the reading is done."""


def _json(text: str, name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return make


def _picture(folder: Path, name: str = "0.png") -> Path:
    image = Image.new("RGBA", (16, 12))
    image.paste((200, 10, 10, 255), (4, 3, 12, 9))
    image.save(folder / name)
    return folder / name


def _transforms(folder: Path) -> Path:
    _picture(folder)
    text = '{"fl_x": 20.0, "w": 16, "h": 12, "frames": [{"file_path": "0.png", "transform_matrix": '
    text += "[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2.5], [0, 0, 0, 1]]}]}"
    return _json(text, "transforms.json")(folder)


def _colmap(folder: Path) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    _picture(folder / "images")
    (folder / "cameras.txt").write_text("1 RADIAL 16 12 20 8 6 0.1 0.01\n")
    return _json("1 1 0 0 0 0 0 2 1 0.png\n1.0 2.0 -1\n", "images.txt")(folder)


def _colmap_binary(folder: Path) -> Path:
    import struct

    (folder / "images").mkdir(exist_ok=True)
    _picture(folder / "images")
    (folder / "cameras.bin").write_bytes(struct.pack("<QIiQQ4d", 1, 1, 1, 16, 12, 20, 20, 8, 6))
    path = folder / "images.bin"
    path.write_bytes(
        struct.pack("<QI7dI", 1, 1, 1, 0, 0, 0, 0, 0, 2, 1) + b"0.png\0" + struct.pack("<Qddq", 1, 1, 2, 7)
    )
    return path


def _views(folder: Path) -> Path:
    from recon import Cameras, ViewSet

    cameras = Cameras.orbit([0.0, 90.0], size=8).reshape(1, 2)
    return ViewSet(torch.rand(1, 2, 3, 8, 8), torch.ones(1, 2, 1, 8, 8), cameras).save(folder)


def _pack(folder: Path) -> Path:
    from mvdiff.data.sources.packs import MeshPack
    from recon.core.mesh import TexturedMesh

    mesh = TexturedMesh(torch.rand(4, 3) * 0.5 - 0.25, torch.tensor([[0, 1, 2], [1, 2, 3]]), torch.rand(4, 3))
    MeshPack.write(folder / "a.npz", [("a", mesh), ("b", mesh)])
    return folder / "a.npz"


def _hypothesis(folder: Path) -> Path:
    from recon.core.mesh import TexturedMesh
    from recon.posterior import Hypothesis
    from recon.posterior.storage import save_hypothesis

    return save_hypothesis(Hypothesis(TexturedMesh(torch.rand(3, 3), torch.tensor([[0, 1, 2]]))), folder / "h.npz")


def _lora(folder: Path) -> Path:
    from recon.core.tensors import safetensors_bytes

    state = {f"transformer.a.lora_{k}.weight": torch.rand(*((2, 8) if k == "A" else (8, 2))) for k in "AB"}
    settings = '{"transformer.r": 2, "transformer.lora_alpha": 2, "transformer.target_modules": ["a"]}'
    (folder / "l.safetensors").write_bytes(safetensors_bytes(state, {"lora_adapter_metadata": settings}))
    return folder / "l.safetensors"


def _mask(folder: Path) -> Path:
    Image.fromarray(np.eye(12, dtype=np.uint8)).save(folder / "m.png")
    return folder / "m.png"


def _calibration(folder: Path) -> Path:
    margin = '{"floor": 0.1, "of_mean": 0, "of_residual": 0, "levels": [0.5, 0.9], "factors": [1, 2]}'
    mapped = '{"softness": 0.1, "logits": [-1, 1], "probabilities": [0.1, 0.9]}'
    text = f'{{"format": "mvdiff-calibration/1", "corrections": {{"2": {{"shells": {margin}, "intervals": {margin}, '
    text += f'"probability": {mapped}}}}}, "held_out": {{}}, "scores": {{"a": [1.0]}}, "provenance": {{"objects": 3}}}}'
    return _json(text, "c.json")(folder)


def _manifest(folder: Path) -> Path:
    from recon.io.folders import OutputFolder

    OutputFolder.create(folder, {"x": 1, "config": {"num_hypotheses": 2}})
    return folder / "manifest.json"


def readers() -> dict[str, Reader]:
    """By name; the modules are imported when they are asked for."""
    from mvdiff.data.sources.packing import read_credits
    from mvdiff.data.sources.packs import MeshPack
    from mvdiff.pipelines.lora_loader import read_lora
    from mvdiff.training.config import load_config
    from recon.core.views import ViewSet
    from recon.io.folders import OutputFolder
    from recon.io.images.files import load_image, load_mask
    from recon.io.views import colmap, transforms_json
    from recon.posterior.calibration import Calibration
    from recon.posterior.storage import load_hypothesis

    return {
        "transforms.json": Reader(_transforms, transforms_json.load, "recon.io.views.transforms_json"),
        "COLMAP text": Reader(_colmap, lambda path: colmap.load(path.parent), "recon.io.views.colmap_model"),
        "COLMAP binary": Reader(_colmap_binary, lambda path: colmap.load(path.parent), "recon.io.views.colmap_model"),
        "ViewSet": Reader(_views, ViewSet.load, "recon.core.views"),
        "mesh pack": Reader(_pack, MeshPack.load, "mvdiff.data.sources.packs"),
        "hypothesis": Reader(_hypothesis, load_hypothesis, "recon.posterior.storage"),
        "LoRA": Reader(_lora, read_lora, "mvdiff.pipelines.lora_loader"),
        "picture": Reader(_picture, load_image, "recon.io.images.files"),
        "mask": Reader(_mask, load_mask, "recon.io.images.files"),
        "calibration": Reader(_calibration, Calibration.load, "recon.posterior.calibration"),
        "manifest": Reader(
            _manifest, lambda path: OutputFolder(path.parent, resumed=True).manifest, "recon.io.folders"
        ),
        "training config": Reader(_json("seed: 3\nmax_steps: 5\n", "t.yaml"), load_config, "mvdiff.training.config"),
        "credits": Reader(
            _json('{"name": "a", "licence": "CC0"}\n', "c.jsonl"), read_credits, "mvdiff.data.sources.packing"
        ),
    }
