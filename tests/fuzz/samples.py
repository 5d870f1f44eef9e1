"""Good files of this program's own kinds: runs, weights, data sets, checkpoints. Made once a process, then copied."""

import contextlib
import functools
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

Make = Callable[[Path], Path]


def copied(whole: Callable[[], Path], name: str) -> Make:
    """The file ``name`` of a copy of the folder that ``whole`` makes once."""

    def make(folder: Path) -> Path:
        shutil.copytree(whole(), folder, dirs_exist_ok=True)
        return folder / name

    return make


def photo(folder: Path, name: str = "photo.png") -> Path:
    """An object of 40 pixels on nothing."""
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[12:52, 16:48] = (200, 80, 30, 255)
    rgba[20:30, 24:40] = (20, 80, 200, 255)
    Image.fromarray(rgba).save(folder / name)
    return folder / name


def place(folder: Path, name: str = "place.jpg") -> Path:
    """A photo of a place, with the focal length in its metadata."""
    y, x = np.mgrid[:96, :96]
    picture = Image.fromarray(np.stack([x * 2, y * 2, (x + y) % 200], -1).astype(np.uint8))
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 28
    picture.save(folder / name, exif=exif)
    return folder / name


@functools.cache
def _kept() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="fuzz-")


def new(name: str) -> Path:
    folder = Path(_kept().name) / name
    folder.mkdir()
    return folder


@functools.cache
def packed_weights() -> Path:
    from tiny_networks import tiny_networks

    from mvdiff.weights.packing import save_packed

    transformer, estimator = tiny_networks()
    save_packed({"transformer": transformer, "camera_estimator": estimator}, folder := new("packed"), {"step": 1})
    return folder


@functools.cache
def saved_weights() -> Path:
    from mvdiff.pipelines import MultiViewDiffusionPipeline

    MultiViewDiffusionPipeline.from_pretrained(packed_weights()).save_pretrained(folder := new("saved"))
    return folder


@functools.cache
def scene_weights() -> Path:
    from tiny_scene_network import tiny_scene_network

    from mvdiff.weights.packing import save_packed

    save_packed({"transformer": tiny_scene_network()}, folder := new("scene_weights"), {})
    return folder


def quiet(*arguments: object) -> int:
    """Run a verb; its exit code."""
    from mvdiff.cli.main import main

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return main([str(argument) for argument in arguments])


@functools.cache
def run() -> Path:
    """A finished run of two hypotheses, refined, with its next view."""
    out, weights = new("runs"), packed_weights()
    options = ("--weights", weights, "--device", "cpu", "--preset", "fast", "--num-hypotheses", 2)
    picture = photo(out)
    assert quiet("generate", picture, "--num-inference-steps", 1, *options, "--output-dir", out / "run") == 0
    return out / "run"


@functools.cache
def half_run() -> Path:
    """A run that was interrupted after its first hypothesis was sampled and its shapes were made."""
    folder = new("half")
    shutil.copytree(run(), folder, dirs_exist_ok=True)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"complete": False}))
    (folder / "posterior.npz").unlink()
    return folder


@functools.cache
def scene_run() -> Path:
    out = new("scene_runs")
    options = ("--weights", scene_weights(), "--device", "cpu", "--preset", "fast", "--num-hypotheses", 1)
    picture = place(out)
    assert quiet("scene", picture, "--num-inference-steps", 1, *options, "--output-dir", out / "run") == 0
    return out / "run"


@functools.cache
def dataset() -> Path:
    from mvdiff.data.render.record import RecordConfig
    from mvdiff.data.stores.store import ViewStore

    filled = ViewStore.empty(2, RecordConfig(size=16, supersample=1, ring_views=6, references=2))
    filled.names = ["a", "b"]
    filled.save(folder := new("dataset"))
    return folder


@functools.cache
def trainer():
    """A trainer that has written one checkpoint."""
    from training_runs import tiny

    from mvdiff.training.trainer import Trainer

    with contextlib.redirect_stdout(io.StringIO()):
        made = Trainer(tiny(new("training"), max_steps=1, checkpoint_every_steps=1))
        made.train()
    return made


def checkpoint() -> Path:
    return next(trainer().folder.glob("checkpoint-*"))
