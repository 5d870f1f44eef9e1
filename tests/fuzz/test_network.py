"""No verb asks the network for anything, whatever its input looks like."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import samples

from mvdiff.cli.main import VERBS

_URL = "http://example.com/a"
QUICK = ("--device", "cpu", "--num-hypotheses", "1", "--num-inference-steps", "1", "--output-dir", "out")


def _gltf(uri: str) -> str:
    return json.dumps(
        {
            "asset": {"version": "2.0"},
            "buffers": [{"uri": uri, "byteLength": 36}],
            "bufferViews": [{"buffer": 0, "byteLength": 36}],
            "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
            "nodes": [{"mesh": 0}],
            "scenes": [{"nodes": [0]}],
        }
    )


_FILES = {
    "m.gltf": _gltf(_URL),
    "m.obj": f"mtllib {_URL}.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "m.usda": f'#usda 1.0\ndef Xform "a" (\n    references = @{_URL}.usda@\n)\n{{\n}}\n',
    "transforms.json": json.dumps(
        {"fl_x": 20, "w": 16, "h": 12, "frames": [{"file_path": f"{_URL}.png", "transform_matrix": [[1, 0, 0, 0]] * 4}]}
    ),
    "bad.glb": "glTF",
    "bad.json": '{"format": "mvdiff-calibrations/1"}',
    "bad.npz": "PK",
    "bad.obj": "f 1 2 3",
    "bad.png": "PNG",
    "bad.safetensors": "x",
}


def _prepared(folder: Path) -> None:
    for name, text in _FILES.items():
        (folder / name).write_text(text)
    samples.photo(folder)
    samples.place(folder)
    shutil.copytree(samples.packed_weights(), folder / "weights")
    # A folder without networks, under a name that a hub would take for a repository's.
    for owner in ("owner/repository", "owner/scene"):
        shutil.copytree(samples.scene_weights() if "scene" in owner else samples.packed_weights(), folder / owner)
        shutil.rmtree(folder / owner / "transformer")
    shutil.copytree(folder / "owner/scene", folder / "scene")
    shutil.copytree(folder / "owner/repository", folder / "object")
    shutil.copytree(samples.saved_weights(), folder / "owner/saved")
    shutil.rmtree(folder / "owner/saved/transformer")
    shutil.copytree(samples.run(), folder / "run")
    for name in (
        "summary.json",
        "reference.json",
        "posterior.npz",
        "views/000/views.safetensors",
        "hypotheses/000.glb",
    ):
        damaged = folder / "damaged" / Path(name).stem
        shutil.copytree(samples.run(), damaged)
        (damaged / name).write_bytes((damaged / name).read_bytes()[:-20])


def _commands(folder: Path) -> Iterator[tuple[str, ...]]:
    """Command lines, each with something damaged in it."""
    for verb, picture, repository, name in (
        ("generate", "photo.png", "owner/repository", "object"),
        ("views", "photo.png", "owner/saved", "object"),
        ("scene", "place.jpg", "owner/scene", "scene"),
    ):
        yield verb, "bad.png", *QUICK
        yield verb, f"{_URL}.png", *QUICK
        for weights in (repository, name, "nobody/nothing", "bad.safetensors"):
            yield verb, picture, "--weights", weights, *QUICK
    yield "posterior", "bad.glb", "bad.obj", "--photo", "photo.png", "--output-dir", "out"
    yield "generate", "bad.png", "--weights", "weights", "--backbone", "triposg", "--output-dir", "out"
    yield "generate", "photo.png", "--weights", "nobody/nothing", "--backbone", "triposg", "--output-dir", "out"
    yield "batch", "bad.png", "batched", "--weights", "weights"
    yield "batch", "photo.png", "batched", "--weights", "weights"
    for option, value in (("--lora", "bad.safetensors"), ("--lora", "nobody/lora"), ("--calibration", "bad.json")):
        yield "generate", "photo.png", "--weights", "weights", option, value, *QUICK
    yield "info", "--weights", "owner/saved"
    yield "info", "--weights", "weights", "--lora", "bad.safetensors"
    yield "reconstruct", "transforms.json", "--output-dir", "out"
    yield "reconstruct", "bad.safetensors", "--output-dir", "out"
    for run in sorted(map(str, (folder / "damaged").iterdir())):
        yield "next-view", run
        yield "refine", run, "--photo", "photo.png", "--azimuth", "90", "--weights", "weights", "--device", "cpu"
        yield "feedback", run, "--keep", "0", "--weights", "weights", "--device", "cpu"
    yield "export", "damaged/000", "--output", "exported"
    yield "refine", "run", "--photo", "bad.png", "--azimuth", "90", "--weights", "weights", "--device", "cpu"
    for mesh in ("m.gltf", "m.usda", "bad.glb"):
        yield "export", mesh, "--output", "out.glb"
        yield "data", "render", mesh, f"views-{mesh}", "--size", "16"
    yield "calibrate", "--meshes", "bad.glb", "--output", "c.json"
    yield "data", "render", "bad.npz", "views-npz"
    yield "data", "check", "bad.json"
    yield "data", "import", "transforms.json", "imported"


def _right(command: tuple[str, ...], ended: dict) -> bool:
    """One sentence and exit code 2; data sets name what they leave out instead."""
    sentences = [line for line in ended["said"].splitlines() if line.startswith("mvdiff: ")]
    if command[:2] in (("data", "render"), ("data", "import")):
        return ended["code"] in (0, 2) and "usage" not in ended["said"]
    return ended["code"] == 2 and len(sentences) == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_command_asks_the_network(tmp_path: Path) -> None:
    _prepared(tmp_path)
    commands = [*_commands(tmp_path), ("export", "m.obj", "--output", "sail.glb")]
    # `models` asks the network by design, where it is told to; the others serve at an address, or read no file.
    exempt = {"models", "app", "serve", "view", "comfyui", "blender-addon"}
    assert {command[0] for command in commands} == set(VERBS) - exempt
    (tmp_path / "commands.json").write_text(json.dumps(commands))
    hidden = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "DIFFUSERS_OFFLINE")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("sandbox.py")), "commands.json"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(root)},
        capture_output=True,
        encoding="utf-8",
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(found) == len(commands)
    asked = {" ".join(command): each["opened"] for command, each in zip(commands, found, strict=True) if each["opened"]}
    assert not asked
    other = {" ".join(c): each for c, each in zip(commands[:-1], found[:-1], strict=True) if not _right(c, each)}
    assert not other
    assert found[-1]["code"] == 0


def test_the_sandbox_sees_sockets(tmp_path: Path) -> None:
    """Else the test above could not fail."""
    (tmp_path / "commands.json").write_text(json.dumps([["views", "x.png"]]))
    hooked = (
        "import sys, socket, runpy\nimport mvdiff.cli.main as cli\n"
        "cli.main = lambda arguments: socket.create_connection(('127.0.0.1', 9), 1)\n"
        "runpy.run_path(sys.argv[1], run_name='__main__')\n"
    )
    script = tmp_path / "hooked.py"
    script.write_text(hooked.replace("sys.argv[1],", f"{str(Path(__file__).with_name('sandbox.py'))!r},"))
    ended = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "commands.json")],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        encoding="utf-8",
    )
    found = json.loads(ended.stdout)
    assert found["opened"]
    assert "socket.getaddrinfo" in found["opened"][0] or "socket.connect" in found["opened"][0]
