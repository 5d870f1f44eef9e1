"""``mvdiff export``: from what a run leaves to the formats of others, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from recon.io.meshes.files import load_mesh


def refused(run, *arguments) -> str:
    code, out, error = run("export", *arguments)
    assert code == 2
    assert not out
    lines = [line for line in error.splitlines() if line.startswith("mvdiff: ")]
    assert len(lines) == 1
    assert lines[0].endswith(".")
    return lines[0]


def test_a_run_becomes_a_folder_of_files(run, finished, tmp_path: Path) -> None:
    out, _ = finished
    code, text, _ = run("export", out, "--format", "points", "--points", 500, "--output", tmp_path / "ex", "--json")
    assert code == 0
    files = [Path(name) for name in json.loads(text)["files"]]
    expected = ["hypotheses/000.ply", "hypotheses/001.ply", "hypotheses/002.ply", "posterior.ply"]
    assert [str(path.relative_to(tmp_path / "ex")) for path in files] == expected
    assert all(b"element vertex 500\n" in path.read_bytes() for path in files)
    # The same again changes nothing; another format in the same place is refused.
    before = {path: path.stat().st_mtime_ns for path in files}
    assert run("export", out, "--format", "points", "--points", 500, "--output", tmp_path / "ex")[0] == 0
    assert before == {path: path.stat().st_mtime_ns for path in files}
    assert "other inputs" in refused(run, out, "--format", "splats", "--output", tmp_path / "ex")


@pytest.mark.parametrize("source", ["hypotheses/000.glb", "posterior.glb", "posterior.npz"])
def test_single_objects_become_single_files(run, finished, tmp_path: Path, source: str) -> None:
    out, _ = finished
    assert run("export", out / source, "--output", tmp_path / "a.glb")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.glb"]
    assert b"KHR_materials_variants" in (tmp_path / "a.glb").read_bytes()
    name = "posterior.glb" if "posterior" in source else source
    assert torch.allclose(
        torch.stack(load_mesh(tmp_path / "a.glb").bounds), torch.stack(load_mesh(out / name).bounds), atol=1e-5
    )


def test_bad_input_is_refused_and_nothing_is_left(run, finished, tmp_path: Path) -> None:
    out, _ = finished
    mesh, target = out / "hypotheses/000.glb", tmp_path / "new"
    assert "choose glb, obj, ply, usdz, stl, 3mf, points, splats, grid" in refused(
        run, mesh, "--format", "fbx", "--output", target
    )
    assert "add --format" in refused(run, mesh, "--output", target / "a.fbx")
    assert "at least 1" in refused(run, mesh, "--output", target / "a.ply", "--points", 0)
    assert "between 8 and 512" in refused(run, mesh, "--output", target / "a.npz", "--resolution", 5000)
    assert "check the path" in refused(run, tmp_path / "none.glb", "--output", target / "a.ply")
    assert "no folder of a run" in refused(run, out / "views", "--output", target)
    assert "no mesh that can be read" in refused(run, out / "reference.png", "--output", target / "a.ply")
    (tmp_path / "bad.npz").write_bytes(b"PK\3\4 not an archive")
    assert "no readable posterior" in refused(run, tmp_path / "bad.npz", "--output", target / "a.ply")
    assert not target.exists()

    half = tmp_path / "half"
    shutil.copytree(out, half)
    manifest = json.loads((half / "manifest.json").read_text())
    (half / "manifest.json").write_text(json.dumps(manifest | {"complete": False}))
    assert "not complete" in refused(run, half, "--format", "ply", "--output", target)
    assert not target.exists()


def test_what_is_there_is_kept(run, finished, tmp_path: Path) -> None:
    out, _ = finished
    mesh, taken = out / "hypotheses/000.glb", tmp_path / "a.obj"
    (tmp_path / "a.png").write_bytes(b"mine")
    assert "a.png' is there already" in refused(run, mesh, "--output", taken)
    assert (tmp_path / "a.png").read_bytes() == b"mine"
    assert not taken.exists()
    assert run("export", mesh, "--output", taken, "--overwrite")[0] == 0
    assert len(load_mesh(taken)) == len(load_mesh(mesh))
    (tmp_path / "folder.glb").mkdir()
    assert "is a folder" in refused(run, mesh, "--output", tmp_path / "folder.glb")
    assert "Cannot write" in refused(run, mesh, "--output", mesh / "below.glb")
