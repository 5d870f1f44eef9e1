"""The add-on of Blender: what needs no Blender here; the rest in a Blender that ``MVDIFF_BPY`` names."""

import ast
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

import mvdiff
from mvdiff.integrations.blender.addon import glb, job, run_folder
from mvdiff.runs.folder import FolderStore
from recon import load_mesh
from recon.core.mesh import TexturedMesh
from recon.io.meshes.glb import save_glb, uncertainty_colors

ADDON = Path(run_folder.__file__).parent
DRIVER = Path(__file__).parents[2] / "support/blender_scene.py"
BPY = os.environ.get("MVDIFF_BPY")
in_blender = pytest.mark.skipif(not BPY, reason="needs MVDIFF_BPY, the path of a Python that has bpy installed")


@pytest.fixture
def planned(finished, run, tmp_path: Path) -> Path:
    """A finished run with its next view planned."""
    folder = tmp_path / "out"
    shutil.copytree(finished[0], folder)
    assert run("next-view", folder)[0] == 0
    return folder


def test_the_archive_is_an_extension_of_this_version(run, tmp_path: Path) -> None:
    path = tmp_path / "mvdiff_blender.zip"
    assert run("blender-addon", "--output", path)[0] == 0
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {each.name for each in ADDON.iterdir() if each.is_file()}
        manifest = tomllib.loads(archive.read("blender_manifest.toml").decode())
    assert manifest["version"] == mvdiff.__version__
    assert len(manifest["tagline"]) <= 64
    first = path.read_bytes()
    assert run("blender-addon", "--output", path)[0] == 0
    assert path.read_bytes() == first
    assert run("blender-addon", "--output", tmp_path / "addon.tar")[0] == 2
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_the_addon_imports_nothing_that_blender_lacks() -> None:
    known = {*sys.stdlib_module_names, "bpy", "mathutils", "numpy"}
    for path in ADDON.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.partition(".")[0] for alias in node.names} <= known, path
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert node.module.partition(".")[0] in known, path


def test_the_colors_are_those_of_the_files() -> None:
    tree = ast.parse((ADDON / "colors.py").read_text("utf-8"))
    stops = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "RAMP"
    )
    place = np.linspace(0, len(stops) - 1, 256)
    colors = np.stack([np.interp(place, range(len(stops)), channel) for channel in zip(*stops, strict=True)], -1)
    assert np.array_equal(np.rint(colors * 255), uncertainty_colors())


def test_a_run_is_read_as_the_package_reads_it(planned: Path) -> None:
    found, result = run_folder.read_run(planned), FolderStore.open(planned).load_result()
    assert [mode.members for mode in found.modes] == [mode.members for mode in result.posterior.modes]
    assert found.representative == result.posterior.representative_index
    assert np.allclose(found.weights, result.posterior.weights)
    for camera, ours in zip(found.photo_cameras, result.photo_cameras.cameras(2), strict=True):
        x, y, z = ours.position.tolist()
        assert np.allclose(camera.position, (x, -z, y), atol=1e-5)  # +Y up to +Z up
        assert math.isclose(1 / math.tan(math.radians(camera.fov) / 2), ours.intrinsics[0, 0], rel_tol=1e-5)
        pixel = ours.project(torch.zeros(1, 3))[0][0] - 1
        assert np.allclose(camera.center, pixel, atol=1e-5)
    best = json.loads((planned / "next_view.json").read_text())["views"][0]
    assert (found.next_view.azimuth, found.next_view.elevation) == (best["azimuth"], best["elevation"])


def test_folders_that_are_no_complete_runs_are_refused(planned: Path, tmp_path: Path) -> None:
    def refusal() -> str:
        with pytest.raises(run_folder.RunError) as refused:
            run_folder.read_run(planned)
        return str(refused.value)

    (planned / "hypotheses/001.glb").rename(tmp_path / "001.glb")
    assert "--format glb" in refusal()
    (planned / "views/000/photo_camera.json").write_text("{}")
    assert "lacks 'log_scale'" in refusal()
    (planned / "summary.json").write_text("{")
    assert "summary.json' cannot be read" in refusal()
    record = json.loads((planned / "manifest.json").read_text())
    (planned / "manifest.json").write_text(json.dumps(record | {"complete": False}))
    assert "not complete" in refusal()
    shutil.rmtree(planned)
    assert "holds no run" in refusal()


def test_a_trimmed_file_keeps_the_mesh_and_its_uncertainty(planned: Path, tmp_path: Path) -> None:
    path = planned / "hypotheses/000.glb"
    (tmp_path / "small.glb").write_bytes(glb.trimmed(path))
    whole, small = load_mesh(path), load_mesh(tmp_path / "small.glb")
    assert torch.equal(whole.vertices, small.vertices)
    assert torch.equal(whole.faces, small.faces)
    assert torch.equal(whole.texture, small.texture)
    data = (tmp_path / "small.glb").read_bytes()
    assert struct.unpack_from("<I", data, 8)[0] == len(data)
    document = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    own = [name for name in document["meshes"][0]["primitives"][0]["attributes"] if name.startswith("_")]
    assert own == ["_UNCERTAINTY"]


def test_a_command_that_fails_tells_its_sentence(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mvdiff",
        "generate",
        str(tmp_path / "no.png"),
        "--output-dir",
        str(tmp_path / "o"),
    ]
    started = job.Job.start(command, tmp_path)
    assert started.process.wait() == 2
    with pytest.raises(run_folder.RunError, match=r"^mvdiff: .*no\.png"):
        started.check()
    with pytest.raises(run_folder.RunError, match="cannot be started"):
        job.Job.start([str(tmp_path / "mvdiff")], tmp_path)


def test_a_running_command_is_stopped(tmp_path: Path) -> None:
    started = job.Job.start([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path)
    assert started.running
    started.stop()
    assert not started.running


def test_progress_is_read_from_the_folder(planned: Path, tmp_path: Path) -> None:
    assert job.progress(tmp_path / "nothing", 3) == "loading the model"
    assert job.progress(planned, 5) == "sampled 3 of 5 hypotheses"
    assert job.progress(planned, 3) == "posterior and files"


def l_shape() -> TexturedMesh:
    """A post along +Y with an arm along +X and a stub along +Z: no two axes look alike."""
    boxes = [
        ((-0.1, -0.4, -0.1), (0.1, 0.4, 0.1)),
        ((0.1, 0.2, -0.1), (0.35, 0.4, 0.1)),
        ((-0.1, 0, 0.1), (0.1, 0.1, 0.2)),
    ]

    joined = trimesh.util.concatenate([trimesh.creation.box(bounds=box) for box in boxes])
    mesh = TexturedMesh.from_arrays(joined.vertices, joined.faces)
    values = torch.linspace(0, 0.04, len(mesh.vertices))
    mesh.attributes.update(uncertainty=values, interval=torch.stack([-values, values], -1))
    return mesh


@in_blender
@pytest.mark.slow
def test_a_run_stands_upright_in_blender(planned: Path, run, weights: Path, photo: Path, tmp_path: Path) -> None:
    """An asymmetric object in place of the hypotheses; the run's own cameras, modes and colors."""
    own = run_folder.read_run(planned)
    for index in range(len(own.weights)):
        save_glb(l_shape(), own.mesh(index))
    archive, pictures = tmp_path / "addon.zip", tmp_path / "pictures"
    pictures.mkdir()
    assert run("blender-addon", "--output", archive)[0] == 0
    command = tmp_path / "mvdiff"  # the installed command, on the tiny weights
    command.write_text(
        f"#!/bin/sh\nexport PYTHONPATH='{Path(mvdiff.__file__).parents[1]}'\n"
        f"""if [ "$1" = generate ]; then set -- "$@" --weights '{weights}' --num-inference-steps 2; fi\n"""
        f"exec '{sys.executable}' -m mvdiff \"$@\"\n"
    )
    command.chmod(0o755)
    done = subprocess.run(
        [BPY, DRIVER, archive, planned, pictures, command, photo],
        capture_output=True,
        text=True,
        env=os.environ | {"BLENDER_USER_RESOURCES": str(tmp_path / "user")},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found = json.loads(done.stdout.split("\nSTATE ")[1])
    assert "holds no run" in found["refused"]
    assert "mvdiff: " in found["failed"]

    opened = found["opened"]
    for index in range(len(own.weights)):
        mesh = opened["meshes"][f"hypothesis {index:03d}"]
        assert np.allclose(mesh["low"], (-0.1, -0.2, -0.4), atol=1e-4)  # the arm along +X, the stub to the photo (-Y)
        assert np.allclose(mesh["high"], (0.35, 0.1, 0.4), atol=1e-4)
        assert mesh["hidden"] == (index != own.representative)
        assert mesh["materials"][-1] == "mvdiff uncertainty"
        assert mesh["shown"] == [0]
        assert mesh["colors"][1] > mesh["colors"][0] + 0.2  # redder where it is less certain
    assert [len(names) for name, names in opened["collections"].items() if " mode " in name] == [
        len(mode.members) for mode in own.modes
    ]
    camera, expected = opened["cameras"]["photo camera"], own.photo_cameras[own.representative]
    assert np.allclose(camera["location"], expected.position, atol=1e-5)
    assert np.allclose(camera["origin"][:2], ((expected.center[0] + 1) / 2, (1 - expected.center[1]) / 2), atol=1e-4)
    assert np.allclose(opened["cameras"]["next view camera"]["location"], own.next_view.position, atol=1e-5)
    assert sum(not mesh["hidden"] for name, mesh in found["stepped"]["meshes"].items()) == 1
    assert all(mesh["shown"] == [1] for mesh in found["stepped"]["meshes"].values())
    assert sum(not mesh["hidden"] for mesh in found["all"]["meshes"].values()) == len(own.weights)

    assert found["generated"]["outcome"] == "FINISHED"
    assert found["generated"]["longest_wait"] < 1
    assert found["generated"]["hypotheses"] == 2
    assert found["planned"] == ["next view camera"]
    assert found["stopped"] == "CANCELLED"
    for name in ("photo", "uncertainty", "next"):
        picture = np.asarray(Image.open(pictures / f"{name}.png").convert("RGB")).astype(float)
        assert picture.std() > 5, name
