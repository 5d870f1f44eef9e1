"""Every reader of files that come from outside, with one good file for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import samples
import torch
from listing_readers import listing_readers
from mesh_readers import mesh_readers
from PIL import Image
from published_readers import published_readers
from samples import copied


@dataclass(frozen=True)
class Reader:
    """How to make a good file in a folder, and how to read it."""

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    cases: int = 20
    """Damaged files in the suite; fewer where one takes long."""


def _text(text: str, name: str) -> Callable[[Path], Path]:
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
    return _text(text, "transforms.json")(folder)


def _colmap(folder: Path) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    _picture(folder / "images")
    (folder / "cameras.txt").write_text("1 RADIAL 16 12 20 8 6 0.1 0.01\n")
    (folder / "points3D.txt").write_text("7 0 0 0 1 2 3 0.5 1 0\n")
    return _text("1 1 0 0 0 0 0 2 1 0.png\n1.0 2.0 7\n", "images.txt")(folder)


def _beside(make: Callable[[Path], Path], name: str) -> Callable[[Path], Path]:
    """Another file of the same folder."""
    return lambda folder: make(folder).with_name(name)


def _colmap_binary(folder: Path) -> Path:
    import struct

    (folder / "images").mkdir(exist_ok=True)
    _picture(folder / "images")
    (folder / "cameras.bin").write_bytes(struct.pack("<QIiQQ4d", 1, 1, 1, 16, 12, 20, 20, 8, 6))
    (folder / "points3D.bin").write_bytes(struct.pack("<QQ3d3BdQII", 1, 7, 0, 0, 0, 1, 2, 3, 0.5, 1, 1, 0))
    path = folder / "images.bin"
    path.write_bytes(
        struct.pack("<QI7dI", 1, 1, 1, 0, 0, 0, 0, 0, 2, 1) + b"0.png\0" + struct.pack("<Qddq", 1, 1, 2, 7)
    )
    return path


def _turntable(folder: Path) -> Path:
    for angle in (0, 120, 240):
        _picture(folder, f"az{angle:03d}_el10.png")
    return folder / "az120_el10.png"


def _rgbd(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        Image.new("RGB", (16, 12), (200, 10, 10)).save(folder / "a.color.png")
        Image.fromarray(np.full((12, 16), 1500, np.uint16)).save(folder / "a.depth.png")
        np.savetxt(folder / "a.pose.txt", np.eye(4))
        np.savetxt(folder / "camera-intrinsics.txt", np.diag([20.0, 20.0, 1.0]))
        return folder / name

    return make


def _read_rgbd(path: Path) -> object:
    from recon.io.views.rgbd import RgbdSequence

    return RgbdSequence.open(path.parent).load([0], (8, 6))


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


def _panorama(folder: Path) -> Path:
    Image.new("RGB", (32, 16), (1, 2, 3)).save(folder / "p.png")
    return folder / "p.png"


def _spz(folder: Path) -> Path:
    from recon.core.splats import Splats
    from recon.io.splats import save_spz

    rotation = torch.tensor([[1.0, 0, 0, 0]]).expand(3, -1)
    return save_spz(
        Splats(torch.rand(3, 3), torch.rand(3, 3) + 0.1, rotation, torch.rand(3), torch.rand(3, 3)), folder / "s.spz"
    )


def _scene_field(folder: Path) -> Path:
    from recon.scenes.field import SceneField
    from recon.scenes.grid import SceneGrid

    shape = (3, 4, 5)
    field = SceneField(
        SceneGrid(torch.zeros(3), 0.1, shape),
        torch.ones(1, *shape).byte(),
        torch.rand(1, *shape),
        torch.rand(1, *shape),
    )
    return field.save(folder)


def _pool(folder: Path) -> Path:
    from mvdiff.training.scenes.pool import save_pool

    save_pool(_stream(), folder / "pool.safetensors")
    return folder / "pool.safetensors"


def _stream():
    from box_rooms import box_stream

    return box_stream(2, 16)


def _calibration_text() -> str:
    margin = '{"floor": 0.1, "of_mean": 0, "of_residual": 0, "levels": [0.5, 0.9], "factors": [1, 2]}'
    mapped = '{"softness": 0.1, "logits": [-1, 1], "probabilities": [0.1, 0.9]}'
    text = f'{{"format": "mvdiff-calibration/1", "corrections": {{"2": {{"shells": {margin}, "intervals": {margin}, '
    return text + f'"probability": {mapped}}}}}, "held_out": {{}}, "scores": {{"a": [1.0]}}, "provenance": {{"o": 3}}}}'


def _calibrations_text() -> str:
    entry = f'{{"keep": {_calibration_text()}}}'
    return f'{{"format": "mvdiff-calibrations/1", "framings": {entry}, "weights": {{"sha256": "a"}}}}'


def _manifest(folder: Path) -> Path:
    from recon.io.folders import OutputFolder

    OutputFolder.create(folder, {"x": 1, "config": {"num_hypotheses": 2}})
    return folder / "manifest.json"


def _records(folder: Path) -> Path:
    from mvdiff.evaluation.jobs.records import Records

    Records.open(folder / "r.jsonl", {"a": 1}).add({"name": "b", "x": 1.5})
    return folder / "r.jsonl"


def _owner(folder: Path) -> Path:
    import msgspec

    from recon.io.locks import LOCK, Owner

    (folder / LOCK).write_bytes(msgspec.json.encode(Owner(1, "a", "2026-01-01 00:00:00")))
    return folder / LOCK


def _scene_calibration_text() -> str:
    mapped = '{"softness": 0.1, "logits": [-1, 1], "probabilities": [0.1, 0.9]}'
    margin = '{"floor": 0.1, "of_mean": 0, "of_residual": 0, "levels": [0.5, 0.9], "factors": [1, 2]}'
    depth = ", ".join(f'"{part}": {margin}' for part in ("seen", "unseen"))
    free = ", ".join(f'"{part}": {mapped}' for part in ("seen", "hidden", "outside", "far"))
    held = '{"2": {"coverage_seen_0.9": 0.9, "coverage_unseen_0.9": 0.8, "free_right": 0.9}}'
    owner = '{"weights": {"sha256": "a"}, "scenes": ["b"], "settings": {"stations": 0}}'
    head = f'{{"format": "mvdiff-scene-calibration/1", "held_out": {held}, "provenance": {owner}, "corrections": '
    return f'{head}{{"2": {{"depth": {{{depth}}}, "free": {{{free}}}}}}}}}'


def _scene_statement(path: Path) -> object:
    from mvdiff.sampling.scene_calibrations import SceneStatement

    return SceneStatement.find(path.parent, {"sha256": "a"})


def _read_run(path: Path) -> object:
    """The whole run from any of its files."""
    from mvdiff.runs.refine import FinishedRun

    return FinishedRun.open(_root(path))


def _resume_run(path: Path) -> object:
    """What is loaded of an interrupted run before it goes on."""
    from mvdiff.runs.folder import FolderStore

    store = FolderStore(_output(path))
    samples = [store.load_sample(k) for k in range(2)]
    return store.load_hypotheses(samples[0].views) if samples[0] is not None else None


def _read_scene_run(path: Path) -> object:
    from mvdiff.runs.scene_folder import SceneFolder

    folder = SceneFolder.open(_root(path))
    return folder.summary, folder.load_sample(0), folder.has_scene(0), folder.photo()


def _output(path: Path):
    from recon.io.folders import OutputFolder

    return OutputFolder(_root(path), resumed=True)


def _root(path: Path) -> Path:
    return next(p for p in path.parents if (p / "manifest.json").exists())


def _weights(path: Path) -> object:
    from mvdiff.cli.info import collect
    from mvdiff.pipelines import MultiViewDiffusionPipeline

    folder = path.parent if (path.parent / "scheduler").exists() or path.name == "packed.json" else path.parent.parent
    collect(str(folder))
    return MultiViewDiffusionPipeline.from_pretrained(folder)


def _scene_weights(path: Path) -> object:
    from mvdiff.runs.image_to_scene import ImageToScene

    return ImageToScene.from_pretrained(str(path.parent if path.name == "packed.json" else path.parent.parent), "cpu")


def _dataset(path: Path) -> object:
    from mvdiff.data.stores.store import ViewStore

    return ViewStore.load(path.parent)


def _checkpoint(path: Path) -> object:
    from mvdiff.training.checkpoint import load_checkpoint

    made = samples.trainer()
    return load_checkpoint(path.parent, made.objective, made.ema, made.optimizer)


def _provenance(folder: Path) -> Path:
    copied(samples.saved_weights, "")(folder)
    return _text('{"base": "embedded", "step": 3, "config": {"seed": 1}}', "provenance.json")(folder)


def _best(folder: Path) -> Path:
    from mvdiff.training.patience import Patience

    (patience := Patience(1, folder)).spent(0.5, 1, samples.trainer().objective)
    return patience.path


def _restore_best(path: Path) -> None:
    from mvdiff.training.patience import Patience

    patience = Patience(1, path.parent)
    patience.load({"best": 0.5, "best_step": 1})
    patience.restore(samples.trainer().objective)


def _stated(name: str) -> Callable[..., Any]:
    """The reader of that name in ``module:function``, imported when it is used."""
    import importlib

    module, _, function = name.partition(":")

    def read(*arguments: Any) -> object:
        found: Any = importlib.import_module(module)
        for part in function.split("."):
            found = getattr(found, part)
        return found(*arguments)

    return read


def _own_kinds() -> dict[str, Reader]:
    """Runs, weights, data sets and checkpoints of this program."""
    found = {
        f"run: {name}": Reader(copied(samples.run, name), _read_run, 4)
        for name in (
            *("manifest.json", "summary.json", "reference.json", "reference.png", "posterior.npz", "photo.webp"),
            *("views/000/photo_camera.json", "views/000/views.safetensors", "hypotheses/001.glb"),
        )
    }
    found |= {
        f"half a run: {name}": Reader(copied(samples.half_run, name), _resume_run, 6)
        for name in ("manifest.json", "views/000/photo_camera.json", "views/000/views.safetensors")
    }
    found |= {
        f"scene run: {name}": Reader(copied(samples.scene_run, name), _read_scene_run, 4)
        for name in ("manifest.json", "summary.json", "views/000/camera.json", "views/000/views.safetensors")
    }
    found |= {
        f"packed weights: {name}": Reader(copied(samples.packed_weights, name), _weights, 4)
        for name in ("packed.json", "transformer/config.json", "camera_estimator/config.json")
    }
    found |= {
        f"weights: {name}": Reader(copied(samples.saved_weights, name), _weights, 4)
        for name in ("model_index.json", "transformer/config.json", "scheduler/scheduler_config.json")
    }
    found |= {
        f"scene weights: {name}": Reader(copied(samples.scene_weights, name), _scene_weights, 4)
        for name in ("packed.json", "transformer/config.json")
    }
    found |= {
        f"data set: {name}": Reader(copied(samples.dataset, name), _dataset)
        for name in ("manifest.json", "shard-00000.tar")
    }
    found["weights: provenance.json"] = Reader(_provenance, _weights, 4)
    found["best weights of a training run"] = Reader(_best, _restore_best, 6)
    return found | {
        f"checkpoint: {name}": Reader(copied(samples.checkpoint, name), _checkpoint, 6)
        for name in ("state.json", "raw.safetensors", "optimizer.safetensors")
    }


def readers() -> dict[str, Reader]:
    """By name; the modules are imported when they are asked for."""
    colmap, transforms = _stated("recon.io.views.colmap:load"), _stated("recon.io.views.transforms_json:load")

    def binary(path: Path) -> object:
        return colmap(path.parent), _stated("recon.io.views.colmap:median_depths")(path.parent)

    found = {
        "transforms.json": Reader(_transforms, transforms),
        "COLMAP text": Reader(_colmap, binary),
        "COLMAP points": Reader(_beside(_colmap, "points3D.txt"), binary),
        "COLMAP cameras": Reader(_beside(_colmap, "cameras.txt"), binary),
        "COLMAP binary": Reader(_colmap_binary, binary),
        "COLMAP binary points": Reader(_beside(_colmap_binary, "points3D.bin"), binary),
        "COLMAP binary cameras": Reader(_beside(_colmap_binary, "cameras.bin"), binary),
        "turntable": Reader(_turntable, lambda path: _stated("recon.io.views.files:load_views")(path.parent), 8),
        **{f"RGB-D: {n}": Reader(_rgbd(n), _read_rgbd) for n in ("a.color.png", "a.depth.png", "a.pose.txt")},
        "RGB-D: camera-intrinsics.txt": Reader(_rgbd("camera-intrinsics.txt"), _read_rgbd),
        "ViewSet": Reader(_views, _stated("recon.core.views:ViewSet.load")),
        "mesh pack": Reader(_pack, _stated("mvdiff.data.sources.packs:MeshPack.load")),
        "hypothesis": Reader(_hypothesis, _stated("recon.posterior.storage:load_hypothesis")),
        "LoRA": Reader(_lora, _stated("mvdiff.pipelines.lora_loader:read_lora")),
        "picture": Reader(_picture, _stated("recon.io.images.files:load_image")),
        "photo": Reader(samples.photo, _stated("mvdiff.sampling.reference:prepare")),
        "photo of a place": Reader(samples.place, _stated("mvdiff.sampling.scene_photo:ScenePhoto.load")),
        "mask": Reader(_mask, _stated("recon.io.images.files:load_mask")),
        "panorama": Reader(_panorama, _stated("recon.io.panorama:load_panorama")),
        "SPZ": Reader(_spz, _stated("recon.io.splats.spz:load_spz")),
        "scene field": Reader(_scene_field, _stated("recon.scenes.field:SceneField.load")),
        "pool of scenes": Reader(
            _pool, lambda path: _stated("mvdiff.training.scenes.pool:load_pool")(_stream(), path), 8
        ),
        "calibration": Reader(
            _text(_calibration_text(), "c.json"), _stated("recon.posterior.calibration:Calibration.load")
        ),
        "calibrations": Reader(
            _text(_calibrations_text(), "c.json"), _stated("mvdiff.sampling.calibrations:read_calibrations")
        ),
        "scene calibration": Reader(
            _text(_scene_calibration_text(), "c.json"),
            _stated("recon.posterior.scene_calibration:SceneCalibration.load"),
        ),
        "statement about scenes": Reader(_text(_scene_calibration_text(), "scene_calibration.json"), _scene_statement),
        "camera path": Reader(_transforms, _stated("mvdiff.runs.scene_path:ScenePath.load")),
        "manifest": Reader(_manifest, lambda path: _output(path).manifest),
        "owner of a folder": Reader(_owner, lambda path: _stated("recon.io.locks:_owner")(path.parent)),
        "training config": Reader(
            _text("seed: 3\nmax_steps: 5\n", "t.yaml"), _stated("mvdiff.training.config:load_config")
        ),
        "metrics": Reader(
            _text('{"step": 1, "loss": 0.5}\n', "m.jsonl"), _stated("mvdiff.training.tracking:read_metrics")
        ),
        "evaluation records": Reader(
            _records, lambda path: _stated("mvdiff.evaluation.jobs.records:Records.open")(path, {"a": 1})
        ),
        "credits": Reader(
            _text('{"name": "a", "licence": "CC0"}\n', "c.jsonl"), _stated("mvdiff.data.sources.packing:read_credits")
        ),
        "listing": Reader(
            _text("name,repository,file\na,o/r,a.glb\n", "l.csv"), _stated("mvdiff.data.sources.listed:read_listing")
        ),
    }
    others = {**mesh_readers(), **listing_readers()}
    meshes = {name: Reader(make, read) for name, (make, read) in others.items()}
    published = {f"published, {name}": Reader(*parts) for name, parts in published_readers().items()}
    return found | meshes | _own_kinds() | published
