"""The command line and what it leaves on disk, on a tiny network with every other part real."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch
from PIL import Image

from mvdiff.cli.main import VERBS
from mvdiff.cli.photos import output_folders
from mvdiff.devices import pick_device
from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.sampling.candidates import hypothesis_seed
from mvdiff.sampling.generation import Preset
from recon import ReconstructionConfig, ViewSet
from recon.core.errors import InputError
from recon.io.meshes.files import load_mesh
from recon.posterior import load_posterior

STEPS = ("--num-inference-steps", "2")


def sentence(error: str) -> str:
    """The one line that is no progress bar."""
    lines = [line for line in error.splitlines() if line.startswith("mvdiff: ")]
    assert len(lines) == 1
    assert lines[0].rstrip().endswith(".")
    return lines[0]


# Help


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help_needs_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom mvdiff.cli.main import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'torch', 'numpy', 'diffusers', 'trimesh'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    assert "usage: mvdiff" in done.stdout


def test_the_interpreter_runs_it_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "mvdiff", "paint"], capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 2
    assert "'paint'" in done.stderr


def test_unknown_verbs_are_named(run) -> None:
    code, _, error = run("paint")
    assert code == 2
    assert "'paint'" in sentence(error)


# generate


def test_generate_leaves_a_complete_folder(finished) -> None:
    out, record = finished
    files = set(record["runs"][0]["files"])
    expected = {"posterior.npz", "posterior.glb", "summary.json", "report.html", "reference.png", "reference.json"}
    expected |= {f"hypotheses/{k:03d}.glb" for k in range(3)} | {f"views/{k:03d}/views.safetensors" for k in range(3)}
    assert expected <= files
    on_disk = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert on_disk == files | {"manifest.json"}

    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["complete"] is True
    assert manifest["seeds"] == [hypothesis_seed(0, k) for k in range(3)]
    assert manifest["inputs"]["config"]["num_hypotheses"] == 3
    assert len(manifest["inputs"]["weights"]["sha256"]) == 64
    assert set(manifest["seconds"]) == {"sample", "reconstruct", "posterior", "write"}

    posterior = load_posterior(out)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["seeds"] == list(posterior.seeds) == manifest["seeds"]
    assert len(load_mesh(out / "hypotheses/000.glb")) > 0
    assert len(load_mesh(out / "posterior.glb")) > 0
    assert "mug.png" in (out / "report.html").read_text("utf-8")


def test_a_hypothesis_is_the_same_whatever_their_number(model: ImageTo3D, photo: Path) -> None:
    from mvdiff.sampling.generation import GenerationConfig

    reference = model.prepare(photo)
    few, cameras = model.sample(reference, GenerationConfig(num_hypotheses=1, num_inference_steps=2, seed=9))
    many, more = model.sample(reference, GenerationConfig(num_hypotheses=3, num_inference_steps=2, seed=9))
    assert (few.rgb[0] - many.rgb[0]).abs().mean() < 0.01
    assert torch.allclose(cameras.elevation[0], more.elevation[0], atol=1e-3)
    assert (many.rgb[0] - many.rgb[1]).abs().mean() > 0.01


def test_seeds_do_not_collide() -> None:
    seeds = {hypothesis_seed(seed, k) for seed in range(50) for k in range(50)}
    assert len(seeds) == 2500
    assert max(seeds) < 2**53


@pytest.mark.parametrize(("stage", "done"), [("sample", 5), ("posterior", 0), ("write", 0)])
def test_an_interrupted_run_goes_on(
    run, finished, model: ImageTo3D, photo: Path, tmp_path: Path, stage: str, done: int
) -> None:
    whole, out = finished[0], tmp_path / "out"

    def stop(name: str, count: int, total: int) -> None:
        if name == stage and count >= done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.generate(photo, out, progress=stop, num_hypotheses=3, num_inference_steps=2)
    assert not list(out.rglob("*.partial*"))
    assert json.loads((out / "manifest.json").read_text())["complete"] is False
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert len(kept) == (2 if stage == "sample" else 3)

    code, _, _ = run("generate", photo, "--output-dir", out, "--num-hypotheses", 3, *STEPS)
    assert code == 0
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert torch.equal(load_posterior(out).fields, load_posterior(whole).fields)
    assert (out / "hypotheses/002.glb").read_bytes() == (whole / "hypotheses/002.glb").read_bytes()
    names = [{str(p.relative_to(folder)) for p in folder.rglob("*")} for folder in (whole, out)]
    assert names[0] == names[1]


def test_a_complete_run_is_kept(run, finished, model: ImageTo3D, photo: Path) -> None:
    out, record = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    code, text, _ = run("generate", photo, "--output-dir", out, "--num-hypotheses", 3, *STEPS, "--json")
    assert code == 0
    assert json.loads(text) == record
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = model.generate(photo, out, num_hypotheses=3, num_inference_steps=2)
    assert len(again.hypotheses) == 3
    assert again.hypotheses[0].seed == hypothesis_seed(0, 0)


def test_other_results_are_overwritten_only_on_request(run, finished, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    (out / "mine.txt").write_text("keep")
    before = (out / "posterior.npz").read_bytes()
    other = ("generate", photo, "--output-dir", out, "--num-hypotheses", 1, "--seed", 1, *STEPS)
    code, _, error = run(*other)
    assert code == 2
    assert "--overwrite" in sentence(error)
    assert (out / "posterior.npz").read_bytes() == before
    assert run(*other, "--overwrite")[0] == 0
    assert not (out / "hypotheses/002.glb").exists()
    assert (out / "mine.txt").exists()


@pytest.mark.parametrize("form", ["ply", "obj"])
def test_other_formats(run, photo: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    assert run("generate", photo, "--output-dir", out, "--num-hypotheses", 1, "--format", form, *STEPS)[0] == 0
    assert len(load_mesh(out / f"hypotheses/000.{form}")) > 0
    assert not (out / "hypotheses/000.glb").exists()


def test_several_photos_have_a_folder_each(run, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(photo.read_bytes())
    (folder / "notes.txt").write_text("not a picture")
    code, text, _ = run("generate", folder, "--output-dir", tmp_path / "out", "--num-hypotheses", 1, *STEPS, "--json")
    assert code == 0
    assert [Path(each["output_dir"]).name for each in json.loads(text)["runs"]] == ["a", "b"]
    assert (tmp_path / "out/a/report.html").exists()
    assert (tmp_path / "out/b/report.html").exists()


def test_photos_of_one_name_do_not_share_a_folder(tmp_path: Path) -> None:
    photos = [Path("x/cat.png"), Path("y/cat.jpg"), Path("dog.png")]
    names = [Path(folder).name for folder in output_folders(photos, photos, str(tmp_path))]
    assert names == ["cat", "cat-2", "dog"]
    assert output_folders(photos[:1], photos[:1], "s3://runs/one") == ["s3://runs/one"]


# The other verbs


def test_views_then_reconstruct(run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "views"
    code, text, _ = run("views", photo, "--output-dir", out, "--num-hypotheses", 2, *STEPS, "--json")
    assert code == 0
    assert not (out / "hypotheses").exists()
    one = out / "views/001"
    views = ViewSet.load(one)
    assert len(views) == 1
    assert (one / "transforms.json").exists()
    assert set(json.loads(text)["runs"][0]["files"]) >= {"views/001/views.safetensors", "views/001/transforms.json"}

    code, text, _ = run("reconstruct", one, "--output-dir", tmp_path / "mesh", "--json")
    assert code == 0
    assert json.loads(text)["complete"] is True
    assert len(load_mesh(tmp_path / "mesh/mesh.glb")) > 0


def test_views_of_other_worlds_keep_their_frame(run, tmp_path: Path) -> None:
    """A box seen by somebody else's cameras, far from the origin and larger, comes back where it was."""
    import trimesh

    from recon import Cameras, TexturedMesh
    from recon.rendering import render_mesh

    box = trimesh.creation.box((0.5, 0.3, 0.2)).subdivide().subdivide()
    box.apply_translation([0.05, 0.1, 0.0])
    mesh = TexturedMesh.from_arrays(box.vertices, box.faces, box.vertices * 0 + [0.8, 0.4, 0.2])
    views = render_mesh(mesh, Cameras.orbit([0.0, 60, 120, 180, 240, 300], [20.0, -10] * 3, size=64))
    c2w = views.cameras.c2w.clone()
    c2w[..., :3, 3] = c2w[..., :3, 3] * 3 + torch.tensor([7.0, 2.0, -5.0])
    moved = ViewSet(
        views.rgb, views.alpha, Cameras(c2w, views.cameras.intrinsics, 64, 64), views.normal, views.depth * 3
    )
    moved.save(tmp_path / "views")
    assert run("reconstruct", tmp_path / "views", "--output-dir", tmp_path / "mesh")[0] == 0
    low, high = load_mesh(tmp_path / "mesh/mesh.glb").bounds
    expected = torch.as_tensor(box.bounds).float() * 3 + torch.tensor([7.0, 2.0, -5.0])
    assert torch.allclose(torch.stack([low, high]), expected, atol=0.12)


def test_info_names_weights_and_devices(run) -> None:
    code, text, _ = run("info", "--json")
    facts = json.loads(text)
    assert code == 0
    assert len(facts["weights"]["sha256"]) == 64
    assert facts["license"] == "Apache-2.0"
    assert "cpu" in facts["devices"]
    assert facts["extras"]["wandb"] in ("yes", "no")
    assert run("info")[0] == 0


# Bad input: one sentence, exit code 2, nothing written


def refused(run, out: Path, *arguments) -> str:
    code, text, error = run(*arguments, "--output-dir", out)
    assert code == 2
    assert text == ""
    assert not out.exists()
    return sentence(error)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--num-hypotheses", 0), "at least 1, not 0"),
        (("--num-hypotheses", -3), "at least 1, not -3"),
        (("--num-inference-steps", 0), "inference steps"),
        (("--seed", -1), "seed"),
        (("--guidance-scale", "nan"), "guidance scale"),
        (("--elevation", 120), "between -90 and 90"),
        (("--elevation-prior", 120, 10), "between -90 and 90"),
        (("--elevation-prior", 15, 0), "standard deviation above 0"),
        (("--camera-temperature", 0), "above 0 and at most 1"),
        (("--device", "tpu"), "auto, cpu or cuda"),
        (("--weights", "/no/such/weights"), "/no/such/weights"),
    ],
)
def test_bad_values_are_refused(run, photo: Path, tmp_path: Path, arguments: tuple, message: str) -> None:
    assert message in refused(run, tmp_path / "out", "generate", photo, *arguments)


def test_an_unknown_preset_is_refused_with_the_known_ones(run, photo: Path, tmp_path: Path) -> None:
    code, text, error = run("generate", photo, "--preset", "nonsense", "--output-dir", tmp_path / "out")
    assert code == 2
    assert not (tmp_path / "out").exists()
    assert all(name in text + error for name in get_args(Preset))


def test_presets_of_the_options_are_those_of_the_reconstruction() -> None:
    with pytest.raises(InputError, match=f"use {', '.join(get_args(Preset))}[.]"):
        ReconstructionConfig.preset("nonsense")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("name", ["cuda", "cuda:3"], ids=["any", "fourth"])
def test_gpus_are_refused_where_there_is_none(run, photo: Path, tmp_path: Path, name: str) -> None:
    assert "--device cpu" in refused(run, tmp_path / "out", "generate", photo, "--device", name)
    with pytest.raises(InputError):
        pick_device(name)


def test_views_of_an_open_number_are_refused(run, photo: Path, tmp_path: Path) -> None:
    told = refused(run, tmp_path / "out", "views", photo, "--num-hypotheses", "auto", *STEPS)
    assert "give --num-hypotheses a number" in told


def test_unknown_formats_are_refused(run, photo: Path, tmp_path: Path) -> None:
    code, _, error = run("generate", photo, "--output-dir", tmp_path / "out", "--format", "fbx")
    assert code == 2
    assert "fbx" in error
    assert not (tmp_path / "out").exists()


def test_photos_that_cannot_be_used_are_refused(run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (64, 64)).save(clear)
    flat = tmp_path / "flat.png"
    Image.new("RGB", (64, 64), "white").save(flat)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "missing.png" in refused(run, out, "generate", tmp_path / "missing.png")
    assert "text.png" in refused(run, out, "generate", text)
    assert "clear.png" in refused(run, out, "generate", clear)
    assert "flat.png" in refused(run, out, "generate", flat)
    assert "no pictures" in refused(run, out, "generate", empty)
    assert "No photo" in refused(run, out, "generate")


def test_bad_photos_alone_leave_nothing(run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("not a picture")
    assert "bad.png" in refused(run, tmp_path / "out", "generate", bad)


def test_places_that_cannot_be_written_are_refused(run, photo: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for place in (file, file / "below"):
        code, _, error = run("generate", photo, "--output-dir", place, *STEPS)
        assert code == 2
        assert str(file) in sentence(error)
    assert file.read_text() == "mine"
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "thesis.txt").write_text("mine")
    code, _, error = run("generate", photo, "--output-dir", occupied, *STEPS)
    assert code == 2
    assert "not empty" in sentence(error)
    assert [path.name for path in occupied.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("damage", ["truncated", "architecture", "index"])
def test_weights_that_cannot_be_used_are_refused(run, weights: Path, photo: Path, tmp_path: Path, damage: str) -> None:
    broken = tmp_path / "weights"
    shutil.copytree(weights, broken)
    if damage == "truncated":
        shard = next((broken / "transformer").glob("*.safetensors"))
        shard.write_bytes(shard.read_bytes()[:1000])
    elif damage == "architecture":
        config = broken / "transformer/config.json"
        config.write_text(config.read_text().replace('"width": 64', '"width": 128'))
    else:
        (broken / "packed.json").write_text("{")
    assert str(broken) in refused(run, tmp_path / "out", "generate", photo, "--weights", broken)


def test_views_that_cannot_be_read_are_refused(run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "missing" in refused(run, out, "reconstruct", tmp_path / "missing")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert str(empty) in refused(run, out, "reconstruct", empty)
    broken = tmp_path / "views.safetensors"
    broken.write_bytes(b"nonsense")
    assert "views.safetensors" in refused(run, out, "reconstruct", broken)
