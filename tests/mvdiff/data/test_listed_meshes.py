"""Meshes gathered from git repositories by a list."""

import csv
import hashlib
import json
import runpy
import subprocess
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from mvdiff.data.sources.listed import FetchMeshes, fetch_meshes
from recon.core.errors import InputError
from recon.io.meshes.files import load_mesh

ROOT = Path(__file__).parents[3]


def textured_gltf(folder: Path) -> None:
    """A red quad that also names a relief, which the repository lacks."""
    folder.mkdir(parents=True)
    mesh = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 2, 0]], [[0, 1, 2]], process=False)
    picture = Image.new("RGB", (4, 4), (200, 30, 20))
    paint = trimesh.visual.material.PBRMaterial(baseColorTexture=picture)
    mesh.visual = trimesh.visual.TextureVisuals([[0, 0], [1, 0], [0, 1]], material=paint)
    files = trimesh.exchange.gltf.export_gltf(trimesh.Scene(mesh), merge_buffers=True)
    content = json.loads(files.pop("model.gltf"))
    for name, data in files.items():
        (folder / name).write_bytes(data)
    for index, image in enumerate(content["images"]):
        if "bufferView" in image:
            picture.save(folder / f"colour {index}.png")
            content["images"][index] = {"uri": f"colour%20{index}.png"}
    content["images"].append({"uri": "relief.png"})
    content["textures"].append({"source": len(content["images"]) - 1})
    content["materials"][0]["normalTexture"] = {"index": len(content["textures"]) - 1}
    (folder / "scene.gltf").write_text(json.dumps(content))


def standing_obj(folder: Path) -> None:
    """Up +Z, blue."""
    folder.mkdir(parents=True)
    (folder / "thing.mtl").write_text("newmtl paint\nKd 1 1 1\nmap_Kd textures/blue.png\n")
    (folder / "textures").mkdir()
    Image.new("RGB", (2, 2), (10, 20, 220)).save(folder / "textures" / "blue.png")
    (folder / "thing.obj").write_text(
        "mtllib thing.mtl\nv 0 0 0\nv 1 0 0\nv 0 0 3\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl paint\nf 1/1 2/2 3/3\n"
    )


@pytest.fixture
def listing(tmp_path: Path) -> FetchMeshes:
    work = tmp_path / "work"
    textured_gltf(work / "models" / "quad")
    standing_obj(work / "thing")
    (work / "large.glb").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (("init", "-q"), ("add", "."), (*identity, "commit", "-qm", "meshes")):
        subprocess.run(["git", "-C", str(work), *command], check=True)
    remote = tmp_path / "remote" / "someone" / "things.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(remote)], check=True)
    sha = hashlib.sha256((work / "models" / "quad" / "scene.gltf").read_bytes()).hexdigest()
    rows = [
        ("kept/quad", "training", "y", "someone/things", "models/quad/scene.gltf", sha),
        ("kept/thing", "training", "z", "someone/things", "thing/thing.obj", ""),
        ("kept/changed", "training", "y", "someone/things", "models/quad/scene.gltf", "0" * 64),
        ("kept/large", "training", "y", "someone/things", "large.glb", ""),
        ("kept/gone", "training", "y", "someone/things", "nowhere/scene.gltf", ""),
        ("kept/elsewhere", "training", "y", "someone/nothing", "scene.gltf", ""),
        ("apart/quad", "calibration", "y", "someone/things", "models/quad/scene.gltf", sha),
    ]
    path = tmp_path / "list.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("name", "use", "up", "repository", "file", "sha256"), *rows])
    base = (tmp_path / "remote").as_uri()
    return FetchMeshes(path, tmp_path / "meshes", tmp_path / "clones", base, use="training")


def test_meshes_come_with_their_colors_upright(listing: FetchMeshes) -> None:
    count, skipped = fetch_meshes(listing)
    assert count == 2
    assert set(skipped) == {"kept/changed", "kept/large", "kept/gone", "kept/elsewhere"}
    assert "another file" in skipped["kept/changed"]
    assert "large file storage" in skipped["kept/large"]
    found = sorted(path.relative_to(listing.output).as_posix() for path in listing.output.rglob("*.*"))
    assert found == ["kept/quad.glb", "kept/thing.glb"]
    quad, thing = (load_mesh(listing.output / name) for name in found)
    np.testing.assert_allclose(np.ptp(quad.vertices.numpy(), axis=0), (1, 2, 0), atol=1e-6)
    np.testing.assert_allclose(np.ptp(thing.vertices.numpy(), axis=0), (1, 3, 0), atol=1e-6)
    for mesh, color in ((quad, (200, 30, 20)), (thing, (10, 20, 220))):
        np.testing.assert_allclose(255 * mesh.texture.flatten(1).mean(1), color, atol=3)


def test_what_is_there_stays_and_another_use_is_another_choice(listing: FetchMeshes) -> None:
    fetch_meshes(listing)
    kept = listing.output / "kept/quad.glb"
    before = kept.stat().st_mtime_ns
    listing.use = "calibration"
    assert fetch_meshes(listing) == (1, {})
    assert (listing.output / "apart/quad.glb").is_file()
    listing.use = "training"
    fetch_meshes(listing)
    assert kept.stat().st_mtime_ns == before
    listing.use = "nothing"
    with pytest.raises(InputError, match="--use"):
        fetch_meshes(listing)


@pytest.mark.parametrize("row", ["../x,o/r,a.glb", "x,o/r,../a.glb", "x,,a.glb", "/x,o/r,a.glb"])
def test_a_list_cannot_reach_out_of_its_folder(row: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"name,repository,file\n{row}\n")
    with pytest.raises(InputError, match="proper"):
        fetch_meshes(FetchMeshes(tmp_path / "list.csv", tmp_path / "out"))


def test_the_shipped_list_is_proper_and_the_tool_explains_itself(capsys) -> None:
    from mvdiff.data.sources.listed import read_listing

    rows = read_listing(ROOT / "configs/train/github_meshes.csv")
    assert {row["use"] for row in rows} == {"training", "calibration"}
    assert len({row["name"] for row in rows}) == len(rows)
    assert all(len(row["sha256"]) == 64 for row in rows)
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / "tools/fetch_meshes.py"))["main"](["--help"])
    assert "--repositories" in capsys.readouterr().out
