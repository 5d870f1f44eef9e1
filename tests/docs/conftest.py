"""A folder as the documentation takes it for granted: a photo, and a finished run of the embedded model in ``out``."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from studio_server import StudioServer

from mvdiff import ImageTo3D, MultiViewDiffusionPipeline
from mvdiff.training.lora import ADAPTER, LoraConfig, add_lora
from recon import Cameras, ViewSet
from recon.io.meshes.files import load_mesh
from recon.rendering import render_mesh

ROOT = Path(__file__).resolve().parents[2]
#: In place of the documentation's eight hypotheses of six steps: minutes become seconds, the code is the same.
QUICK = {"num_hypotheses": 2, "num_inference_steps": 2, "candidates": 1}


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Path:
    """The working folder of a newcomer who has run the quickstart."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copy(ROOT / "mvdiff/assets/hidden_handle_mug.png", folder / "photo.png")
    with contextlib.chdir(folder):
        ImageTo3D.from_pretrained("embedded", "cpu").generate("photo.png", "out", seed=0, **QUICK)
    save_untrained_lora(folder / "runs/finetune-lora/lora.safetensors")
    return folder


def save_untrained_lora(path: Path) -> None:
    """Write an adapter of the embedded model as training begins with it."""
    path.parent.mkdir(parents=True)
    pipeline = MultiViewDiffusionPipeline.from_pretrained("embedded")
    config = LoraConfig(rank=4)
    add_lora(pipeline.transformer, config, config.targets)
    pipeline.save_lora_weights(path, ADAPTER)


@pytest.fixture
def newcomer(finished_run: Path, tmp_path: Path, monkeypatch) -> Path:
    """A copy of that folder as the current one, with a second photo and six views of an object in ``views``."""
    folder = tmp_path / "work"
    shutil.copytree(finished_run, folder)
    mesh = load_mesh(folder / "out/hypotheses/000.glb")
    render_mesh(mesh, Cameras.orbit([0, 60, 120, 180, 240, 300], 20.0, size=64)).save(folder / "views")
    _save_rgba(render_mesh(mesh, Cameras.orbit([120], 20.0, size=128)), folder / "second.png")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def api_server(newcomer: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The API on a free port, whose address stands in MVDIFF_TEST_SERVER."""
    server = StudioServer(newcomer / "runs", Path("embedded"), verb="serve").start()
    monkeypatch.setenv("MVDIFF_TEST_SERVER", server.url.rstrip("/"))
    yield
    server.stop()


def _save_rgba(view: ViewSet, path: Path) -> None:
    rgba = torch.cat([view.rgb, view.alpha], 2)[0, 0].clamp(0, 1)
    Image.fromarray((rgba * 255).round().byte().permute(1, 2, 0).numpy()).save(path)
