"""Meshes from elsewhere as hypotheses: a run like any other, and the run's own meshes give its posterior again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial import cKDTree

from mvdiff import ImageTo3D
from mvdiff.data.procedural import make
from mvdiff.data.render.pictures import photo_like
from mvdiff.data.warp import SeededRandom
from mvdiff.runs.folder import FolderStore
from mvdiff.runs.own_meshes import OwnMeshes
from mvdiff.sampling.generation import GenerationConfig
from recon import Cameras, ReconstructionConfig, load_mesh, save_mesh
from recon.core.conventions import world_rotation
from recon.core.mesh import TexturedMesh
from recon.posterior import Posterior
from recon.posterior.from_meshes import hypotheses_of_meshes

ROOT = Path(__file__).resolve().parents[3]


def turn_and_scale(mesh: TexturedMesh, seed: int) -> TexturedMesh:
    """A random turn about the vertical, Y or Z up, a random size and place."""
    u = torch.rand(6, generator=torch.Generator().manual_seed(seed))
    angle, turn = u[0] * 2 * torch.pi, torch.eye(4)
    turn[0, 0], turn[0, 2], turn[2, 0], turn[2, 2] = angle.cos(), angle.sin(), -angle.sin(), angle.cos()
    matrix = world_rotation("y_up" if u[1] < 0.5 else "z_up").T @ turn
    matrix[:3, :3] *= torch.exp(3 * u[2] - 1.5)
    matrix[:3, 3] = 4 * (u[3:] - 0.5)
    return mesh.transformed(matrix)


def common_similarity(moving: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
    """Similarity that brings points onto points, in the sense of least squares (Umeyama 1991)."""
    moving, fixed = moving.double(), fixed.double()
    middle, goal = moving.mean(0), fixed.mean(0)
    u, values, v = torch.linalg.svd((fixed - goal).T @ (moving - middle))
    sign = torch.ones(3, dtype=torch.float64)
    sign[2] = torch.linalg.det(u @ v).sign()
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = (u * sign) @ v * (values * sign).sum() / (moving - middle).square().sum()
    matrix[:3, 3] = goal - matrix[:3, :3] @ middle
    return matrix.float()


def rotation_angle(matrix: torch.Tensor) -> float:
    """Angle in degrees of a similarity's rotation."""
    turn = matrix[:3, :3].double() / torch.linalg.det(matrix[:3, :3].double()) ** (1 / 3)
    return float(torch.rad2deg(((turn.trace() - 1) / 2).clamp(-1, 1).acos()))


def surface_distance(first: TexturedMesh, second: TexturedMesh) -> float:
    """Mean of the mean distances from either surface to the other."""
    generator = torch.Generator().manual_seed(0)
    a, b = (mesh.sample_surface(10_000, generator).numpy() for mesh in (first, second))
    return float(cKDTree(b).query(a)[0].mean() + cKDTree(a).query(b)[0].mean()) / 2


@pytest.mark.slow
def test_turned_and_scaled_meshes_of_a_run_give_its_posterior_again() -> None:
    """But for the size and distance of the whole, which no photo tells: one similarity of all hypotheses is left."""
    model = ImageTo3D.from_pretrained("embedded", "cpu", reconstruction=ReconstructionConfig.preset("fast"))
    settings = {"num_hypotheses": 4, "num_inference_steps": 4, "candidates": 1, "seed": 0}
    run = model.generate(ROOT / "mvdiff/assets/demo.png", **settings)
    meshes = [turn_and_scale(h.mesh, seed) for seed, h in enumerate(run.hypotheses)]
    made = hypotheses_of_meshes(meshes, run.reference.rgba, weighting="uniform")
    for found, own in zip(made.hypotheses, run.hypotheses, strict=True):
        assert rotation_angle(common_similarity(found.mesh.vertices, own.mesh.vertices)) < 2
    everything = torch.cat([h.mesh.vertices for h in run.hypotheses])
    common = common_similarity(torch.cat([h.mesh.vertices for h in made.hypotheses]), everything)
    again = Posterior.from_hypotheses([replace(h, mesh=h.mesh.transformed(common)) for h in made.hypotheses])
    before = Posterior.from_hypotheses([replace(h, views=None) for h in run.hypotheses])
    assert [mode.members for mode in again.modes] == [mode.members for mode in before.modes]
    assert [mode.mass for mode in again.modes] == pytest.approx([mode.mass for mode in before.modes])
    for level in (0.25, 0.5, 0.75):
        assert surface_distance(again.shell(level), before.shell(level)) < 0.01


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Path:
    """Two versions of an object as files, another object, and a photo of the first."""
    folder = tmp_path_factory.mktemp("case")
    thing = make(3).mesh.normalized()
    save_mesh(turn_and_scale(thing, 0), folder / "a.glb")
    thicker = torch.eye(4)
    thicker[0, 0] = 1.06
    save_mesh(turn_and_scale(thing.transformed(thicker), 1), folder / "b.ply")
    rgba = photo_like(thing, Cameras.orbit([40.0], 25.0, size=128), SeededRandom(0), 2)
    picture = (rgba.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(picture).save(folder / "photo.png")
    stick = TexturedMesh(
        torch.tensor([[0.0, 0, 0], [0.02, 0, 0], [0, 0, 0.02], [0, 3, 0]]),
        torch.tensor([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]]),
    )
    save_mesh(stick, folder / "stick.glb")
    return folder


@pytest.fixture(scope="module")
def posterior_run(case: Path, run) -> tuple[Path, dict]:
    code, text, error = run(
        *("posterior", case / "a.glb", case / "b.ply", "--photo", case / "photo.png"),
        *("--output-dir", case / "out", "--json"),
    )
    assert code == 0, error
    return case / "out", json.loads(text)


@pytest.mark.slow
def test_the_folder_is_a_run_like_any_other(posterior_run, run, case: Path) -> None:
    out, record = posterior_run
    manifest = json.loads((out / "manifest.json").read_text())
    on_disk = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert on_disk == {*manifest["files"], "manifest.json"}
    assert record["summary"]["num_hypotheses"] == 2
    assert any(text.startswith("Uncalibrated") for text in record["summary"]["warnings"])
    registration = json.loads((out / "registration.json").read_text())["meshes"]
    assert [entry["mesh"] for entry in registration] == ["a.glb", "b.ply"]
    assert all(entry["elevation"] == pytest.approx(25, abs=3) for entry in registration)
    result = FolderStore.open(out).load_result()
    assert len(result.hypotheses) == 2
    assert float(result.photo_cameras.azimuth.abs().max()) == 0
    assert np.isclose(float(result.posterior.weights.sum()), 1)
    assert run("next-view", out)[0] == 0
    assert run("export", out, "--output", case / "exported", "--format", "ply")[0] == 0
    assert len(load_mesh(case / "exported/hypotheses/000.ply"))
    code, _, error = run(
        *("refine", out, "--photo", case / "photo.png", "--azimuth", 0, "--no-resample"),
        *("--output-dir", case / "refined"),
    )
    assert code == 0, error


@pytest.mark.slow
def test_the_same_command_loads_what_is_there_and_another_is_refused(posterior_run, run, case: Path) -> None:
    out, record = posterior_run
    command = ("posterior", case / "a.glb", case / "b.ply", "--photo", case / "photo.png", "--output-dir", out)
    before = (out / "posterior.npz").stat().st_mtime_ns
    code, text, _ = run(*command, "--json")
    assert code == 0
    assert json.loads(text)["summary"] == record["summary"]
    assert (out / "posterior.npz").stat().st_mtime_ns == before
    code, _, error = run(*command, "--frame", "y-up")
    assert code == 2
    assert "other inputs" in error


def test_bad_input_is_one_sentence_and_leaves_nothing(case: Path, run, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.fromarray(np.full((64, 64, 3), 255, np.uint8)).save(blank)
    photo, out = case / "photo.png", tmp_path / "out"
    for arguments, cause in (
        ((case / "stick.glb", "--photo", photo, "--frame", "y-up"), "No mesh fits the photo"),
        ((case / "a.glb", "--photo", blank), "nothing but background"),
        ((case / "none.glb", "--photo", photo), "There is no file"),
        ((case / "a.glb", "--photo", tmp_path / "none.png"), "none.png"),
        ((case / "a.glb", "--photo", photo, "--coverage", 2), "coverage lies between"),
    ):
        code, _, error = run("posterior", *arguments, "--output-dir", out)
        lines = [line for line in error.splitlines() if line.startswith("mvdiff: ")]
        assert code == 2
        assert len(lines) == 1
        assert cause in lines[0]
        assert not out.exists()


@pytest.mark.slow
def test_a_folder_of_meshes_is_painted_from_the_photo_and_a_painter(case: Path, run, tmp_path: Path) -> None:
    folder = tmp_path / "meshes"
    folder.mkdir()
    for name in ("a.glb", "b.ply"):
        (folder / name).write_bytes((case / name).read_bytes())
    (folder / "notes.txt").write_text("no mesh")
    out = tmp_path / "out"
    code, text, error = run(
        *("posterior", folder, "--photo", case / "photo.png", "--output-dir", out, "--json"),
        *("--project-photo", "--paint", "embedded", "--device", "cpu"),
    )
    assert code == 0, error
    record = json.loads(text)
    assert record["summary"]["num_hypotheses"] == 2
    assert any("colors of the rest are not observed" in said for said in record["summary"]["warnings"])
    inputs = json.loads((out / "manifest.json").read_text())["inputs"]
    assert inputs["project_photo"] is True
    assert inputs["painter"]["backbone"] == "embedded"
    result = FolderStore.open(out).load_result()
    for hypothesis in result.hypotheses:
        unseen = hypothesis.mesh.attributes["unseen"]
        assert 0.2 < float(unseen.mean()) < 0.95
        assert hypothesis.mesh.texture is not None


def test_files_that_are_no_meshes_are_told_in_words_of_meshes(case: Path, run, tmp_path: Path) -> None:
    (tmp_path / "empty.glb").write_bytes(b"")
    (tmp_path / "text.glb").write_text("hello")
    (tmp_path / "broken.gltf").write_text('{"asset": ')
    (tmp_path / "folder").mkdir()
    for name, words in (
        ("empty.glb", "the file is empty"),
        ("text.glb", "it is a text file, no glTF"),
        ("broken.gltf", "its JSON document is damaged"),
        ("folder", "holds no meshes"),
    ):
        code, _, error = run(
            "posterior", tmp_path / name, "--photo", case / "photo.png", "--output-dir", tmp_path / "o"
        )
        assert code == 2
        assert words in error
        assert "Expecting value" not in error
    code, _, error = run("posterior", case / "a.glb", "--photo", case / "photo.png", "--paint", "embedded")
    assert code == 2
    assert "add --project-photo" in error


@pytest.mark.slow
def test_what_fits_badly_is_told_first(case: Path, tmp_path: Path) -> None:
    paths = [case / "a.glb", case / "stick.glb"]
    meshes = OwnMeshes.read(paths, case / "photo.png", "auto", GenerationConfig())
    assert "fits the photo badly" in meshes.run(tmp_path / "out").posterior.warnings[0]
