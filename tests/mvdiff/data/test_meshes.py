"""Meshes of any origin become small colored objects; packing and rendering tools around them."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals

from mvdiff.data.procedural import make
from mvdiff.data.sources.meshes import MeshSource, find_all, find_meshes, iter_objects, load_object
from mvdiff.data.sources.packing import PackMeshes, gltf_copyright, pack_meshes
from mvdiff.data.sources.packs import MeshPack
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.meshes.files import save_mesh

ROOT = Path(__file__).parents[3]


def tool(name: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "tools" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def two_colored_ball(subdivisions: int = 3) -> TexturedMesh:
    """Red where x > 0, blue elsewhere; off center and of another size than objects have."""
    ball = trimesh.creation.icosphere(subdivisions)
    colors = np.where(ball.vertices[:, :1] > 0, [[1.0, 0, 0]], [[0, 0, 1.0]])
    return TexturedMesh.from_arrays(3 * ball.vertices + (5, -2, 1), ball.faces, colors)


@pytest.mark.parametrize("suffix", [".glb", ".ply", ".obj"])
def test_an_object_is_light_centered_and_keeps_its_colors(tmp_path: Path, suffix: str):
    path = save_mesh(two_colored_ball(5), tmp_path / f"ball{suffix}")
    mesh = load_object(path, max_faces=2000)
    assert 1500 < len(mesh) <= 2000
    assert mesh.vertices.norm(dim=-1).amax() == pytest.approx(0.5, abs=1e-5)
    assert mesh.vertices.norm(dim=-1).amin() > 0.49
    clear = mesh.vertices[:, 0].abs() > 0.05
    right = (mesh.vertices[:, 0] > 0).float()
    assert (mesh.colors[:, 0] - right)[clear].abs().max() < 0.02
    assert (mesh.colors[:, 2] - 1 + right)[clear].abs().max() < 0.02


@pytest.mark.parametrize("suffix", [".stl", ".off"])
def test_formats_without_color_are_read(tmp_path: Path, suffix: str):
    trimesh.creation.icosphere(2).export(tmp_path / f"ball{suffix}")
    mesh = load_object(tmp_path / f"ball{suffix}")
    assert len(mesh) == 320
    assert mesh.colors is None
    assert mesh.vertices.norm(dim=-1).amax() == pytest.approx(0.5, abs=1e-5)


def test_a_texture_on_two_faces_is_not_lost(tmp_path: Path):
    """A square with a black and a white half: colors at the four corners alone would be a smear."""
    vertices = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], float)
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = 255
    visual = TextureVisuals((vertices[:, :2] + 1) / 2, PBRMaterial(baseColorTexture=Image.fromarray(picture)))
    trimesh.Trimesh(vertices, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False).export(tmp_path / "card.glb")
    mesh = load_object(tmp_path / "card.glb")
    assert len(mesh) == 2 * 4**5
    clear = mesh.vertices[:, 0].abs() > 0.02
    assert (mesh.colors[:, 0] - (mesh.vertices[:, 0] > 0).float())[clear].abs().max() < 0.02
    whole = load_object(tmp_path / "card.glb", max_faces=None)
    assert len(whole) == 2
    assert whole.texture.shape == (3, 64, 64)


def test_vertices_of_no_face_do_not_count(tmp_path: Path):
    text = "OFF\n5 2 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n99 99 99\n3 0 1 2\n3 0 2 3\n"
    (tmp_path / "stray.off").write_text(text)
    mesh = load_object(tmp_path / "stray.off")
    assert len(mesh.vertices) == 4
    assert mesh.vertices.norm(dim=-1).amax() == pytest.approx(0.5, abs=1e-5)


def test_meshes_are_found(tmp_path: Path):
    ball = two_colored_ball(1)
    save_mesh(ball, tmp_path / "set" / "b.glb")
    save_mesh(ball, tmp_path / "set" / "deep" / "a.ply")
    (tmp_path / "set" / "notes.txt").write_text("no mesh")
    assert [source.name for source in find_meshes(tmp_path / "set")] == ["b", "deep/a"]
    assert [source.name for source in find_meshes(tmp_path / "set" / "b.glb")] == ["b"]
    MeshPack.write(tmp_path / "pack.npz", [("x/ball", ball.normalized())])
    assert [source.name for source in find_all([tmp_path / "set", tmp_path / "pack.npz"])] == [
        *("set/b", "set/deep/a", "x/ball")
    ]
    (tmp_path / "empty").mkdir()
    for path, reason in (("nowhere", "There is no"), ("empty", "no mesh"), ("set/notes.txt", "neither")):
        with pytest.raises(InputError, match=reason):
            find_meshes(tmp_path / path)
    save_mesh(ball, tmp_path / "set" / "b.ply")
    with pytest.raises(InputError, match="rename"):
        find_meshes(tmp_path / "set")
    with pytest.raises(InputError, match="called 'x/ball'"):
        find_all([tmp_path / "pack.npz", tmp_path / "pack.npz"])


def test_broken_meshes_are_told_and_left_out(tmp_path: Path):
    save_mesh(two_colored_ball(1), tmp_path / "good.ply")
    (tmp_path / "bad.glb").write_bytes(b"glTF" + bytes(40))
    answers = {source.name: mesh for source, mesh in iter_objects(find_meshes(tmp_path))}
    assert len(answers["good"]) == 80
    assert "bad.glb" in answers["bad"]


@pytest.mark.slow
def test_worker_processes_give_the_same(tmp_path: Path):
    sources = [MeshSource(f"procedural/{seed}", seed) for seed in range(4)]
    alone, together = (dict(iter_objects(sources, workers=workers)) for workers in (0, 2))
    for source in sources:
        assert torch.equal(alone[source].vertices, together[source].vertices)
        assert torch.equal(alone[source].colors, together[source].colors)


def test_a_pack_tells_where_its_meshes_come_from(tmp_path: Path):
    thing = make(3, "teapot").mesh
    save_mesh(thing, tmp_path / "set" / "pot.ply")
    scene = trimesh.creation.icosphere(2).export(file_type="glb")
    text, binary = gltf_parts(scene)
    text["asset"]["copyright"] = "2024 A. Turner, CC-BY-4.0"
    (tmp_path / "set" / "ball.glb").write_bytes(glb_of(text, binary))
    (tmp_path / "set" / "bad.ply").write_text("ply\n")
    (tmp_path / "credits.csv").write_text("file,License,author\npot.ply,CC0-1.0,B. Potter\n")
    config = PackMeshes(
        (tmp_path / "set",), tmp_path / "out.npz", prefix="kit/", credits=tmp_path / "credits.csv", max_faces=500
    )
    count, skipped = pack_meshes(config)
    assert count == 2
    assert list(skipped) == ["kit/bad"]
    entries = {entry["name"]: entry for entry in map(json.loads, config.manifest.read_text().splitlines())}
    assert list(entries) == MeshPack.load(config.output).names.tolist() == ["kit/ball", "kit/pot"]
    assert entries["kit/pot"]["licence"] == "CC0-1.0"
    assert entries["kit/pot"]["creator"] == "B. Potter"
    assert entries["kit/pot"]["faces"] <= 500
    assert entries["kit/ball"]["copyright"] == "2024 A. Turner, CC-BY-4.0"
    assert entries["kit/ball"]["licence"] is None
    assert len(entries["kit/ball"]["sha256"]) == 64
    before = config.output.read_bytes()
    with pytest.raises(InputError, match="--overwrite"):
        pack_meshes(config)
    pack_meshes(replace(config, overwrite=True))
    assert config.output.read_bytes() == before


def gltf_parts(glb: bytes) -> tuple[dict, bytes]:
    length = int.from_bytes(glb[12:16], "little")
    return json.loads(glb[20 : 20 + length]), glb[20 + length :]


def glb_of(text: dict, binary: bytes) -> bytes:
    body = json.dumps(text).encode()
    body += b" " * (-len(body) % 4)
    sizes = [(20 + len(body) + len(binary)).to_bytes(4, "little"), len(body).to_bytes(4, "little")]
    return b"glTF" + (2).to_bytes(4, "little") + sizes[0] + sizes[1] + b"JSON" + body + binary


def test_copyright_of_what_is_no_gltf(tmp_path: Path):
    for content in (b"", b"glTF", b"[]", b'{"asset": {}}', b'{"asset": {"copyright": 3}}'):
        (tmp_path / "x.gltf").write_bytes(content)
        assert gltf_copyright(tmp_path / "x.gltf") is None


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing"], "missing"),
        ([], "at least one folder"),
        (["{set}", "--output", "x.zip"], ".npz"),
        (["{set}", "--max-faces", "1"], "--max-faces"),
        (["{set}", "--credits", "missing.csv"], "--credits"),
        (["{set}", "--output", "{set}/o.npz"], "not one usable|no object"),
    ],
)
def test_bad_input_to_pack_meshes(tmp_path: Path, arguments: list[str], reason: str):
    (tmp_path / "bad.ply").write_text("ply\n")
    run = tool("pack_meshes.py", *(a.replace("{set}", str(tmp_path)) for a in arguments))
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert any(word in run.stderr for word in reason.split("|"))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.ply"]


def test_the_shipped_pictures_are_those_of_the_commands(tmp_path: Path):
    assets = ROOT / "mvdiff" / "assets"
    commands = [line.split() for line in (assets / "README.md").read_text().splitlines() if "take_picture" in line]
    assert len(commands) == 2
    for command in commands:
        shipped = ROOT / command[3]
        made = tmp_path / shipped.name
        run = tool("take_picture.py", command[2], made, *command[4:])
        assert run.returncode == 0, run.stderr
        difference = np.asarray(Image.open(made)).astype(int) - np.asarray(Image.open(shipped))
        assert (np.abs(difference) > 2).mean() < 1e-3


def test_bad_input_to_take_picture(tmp_path: Path):
    for arguments in (["dragon", "x.png"], ["chair", "x.png", "--hidden", "3"], ["chair", "x.jpg"]):
        run = tool("take_picture.py", arguments[0], tmp_path / arguments[1], *arguments[2:])
        assert run.returncode == 2
        assert run.stderr.startswith("error: ")
    assert not list(tmp_path.iterdir())
