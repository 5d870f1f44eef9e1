"""Verbs that act on a finished run: next view, refinement, feedback."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mvdiff.runs.folder import FolderStore
from mvdiff.runs.refine import FinishedRun
from recon.posterior import load_posterior


def sentence(error: str) -> str:
    """The one line that is no progress bar."""
    lines = [line for line in error.splitlines() if line.startswith("mvdiff: ")]
    assert len(lines) == 1
    assert lines[0].rstrip().endswith(".")
    return lines[0]


def test_next_view_writes_its_ranking_and_its_map(run, finished, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    code, text, error = run("next-view", out, "--num-views", 2, "--json")
    assert code == 0, error
    record = json.loads(text)
    assert len(record["views"]) == 2
    assert json.loads((out / "next_view.json").read_text()) == {k: v for k, v in record.items() if k != "output_dir"}
    assert Image.open(out / "next_view.png").width == 960
    code, text, _ = run("next-view", out)
    assert code == 0
    assert "bits" in text


REFINE = ("refine", "--azimuth", 120, "--photo", "mug.png")


@pytest.mark.parametrize("verb", [("next-view",), REFINE, ("feedback", "--keep", 0)], ids=lambda verb: verb[0])
def test_folders_without_a_complete_run_are_refused(run, finished, tmp_path: Path, verb: tuple) -> None:
    code, _, error = run(*verb, tmp_path / "nowhere")
    assert code == 2
    assert "nowhere" in sentence(error)
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    (out / "posterior.npz").unlink()
    code, _, error = run(*verb, out)
    assert code == 2
    assert "not complete" in sentence(error)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not (out / "next_view.json").exists()


def test_next_view_needs_a_view(run, finished) -> None:
    code, _, error = run("next-view", finished[0], "--num-views", 0)
    assert code == 2
    assert "at least 1" in sentence(error)


@pytest.fixture(scope="module")
def second(photo: Path, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("second") / "side.png"
    Image.open(photo).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    return path


def complete(out: Path) -> dict:
    """The manifest of a folder that holds all that a run leaves."""
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["complete"] is True
    on_disk = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert on_disk == {*manifest["files"], "manifest.json"}
    assert "report.html" in on_disk
    assert len(FolderStore.open(out).load_result().hypotheses) == manifest["inputs"]["config"]["num_hypotheses"]
    return manifest


def test_refining_makes_a_new_run(run, finished, second: Path, tmp_path: Path) -> None:
    out = tmp_path / "refined"
    arguments = ("refine", finished[0], "--photo", second, "--azimuth", 90, "--num-hypotheses", 2)
    code, text, error = run(*arguments, "--output-dir", out, "--json")
    assert code == 0, error
    record = json.loads(text)
    assert record["before"]["num_hypotheses"] == 3
    assert record["reweighted"]["index_entropy_bits"] <= record["before"]["index_entropy_bits"] + 1e-6
    assert record["after"]["num_hypotheses"] == 2
    manifest = complete(out)
    assert manifest["inputs"]["verb"] == "refine"
    assert manifest["inputs"]["evidence"]["azimuth"] == 90
    assert manifest["inputs"]["parents"][0]["seeds"] == json.loads((finished[0] / "manifest.json").read_text())["seeds"]
    assert not set(manifest["seeds"]) & set(manifest["inputs"]["parents"][0]["seeds"])
    assert manifest["change"]["before"] == record["before"]
    result = FolderStore.open(out).load_result()
    assert any("not measured" in warning for warning in result.posterior.warnings)
    assert float(result.posterior.weights.sum()) == pytest.approx(1, abs=1e-5)

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    code, text, _ = run(*arguments, "--output-dir", out, "--json")
    assert code == 0
    assert json.loads(text)["after"] == pytest.approx(record["after"], abs=1e-3)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}


def test_reweighting_keeps_the_hypotheses(run, finished, second: Path, tmp_path: Path) -> None:
    out = tmp_path / "reweighted"
    arguments = ("--photo", second, "--azimuth", 90, "--elevation", 10, "--no-resample", "--json")
    code, text, error = run("refine", finished[0], *arguments, "--output-dir", out)
    assert code == 0, error
    record = json.loads(text)
    manifest = complete(out)
    new, old = load_posterior(out), load_posterior(finished[0])
    assert new.seeds == old.seeds == tuple(manifest["seeds"])
    assert torch.allclose(new.weights, torch.tensor(record["reweighted"]["weights"]), atol=1e-4)
    assert record["after"]["index_entropy_bits"] == pytest.approx(record["reweighted"]["index_entropy_bits"], abs=1e-2)


def test_an_edited_view_is_evidence(run, finished, tmp_path: Path) -> None:
    parent = tmp_path / "out"
    shutil.copytree(finished[0], parent)
    path = parent / "views/001/images/003.png"
    rgba = np.array(Image.open(path).convert("RGBA"))
    code, _, error = run("refine", parent, "--edited-view", path)
    assert code == 2
    assert "paint over it first" in sentence(error)
    rgba[8:24, 8:24] = (255, 0, 255, 255)
    edited = path.with_name("003 magenta.png")
    Image.fromarray(rgba).save(edited)
    code, _, error = run("refine", parent, "--edited-view", edited, "--num-hypotheses", 1)
    assert code == 0, error
    manifest = complete(tmp_path / "out-refined")
    assert manifest["inputs"]["evidence"]["hypothesis"] == 1
    assert manifest["inputs"]["evidence"]["view"] == 3
    first = FinishedRun.open(tmp_path / "out-refined").result.views
    sampled = FinishedRun.open(parent).result.views
    assert torch.allclose(first.cameras.c2w[0, 0], sampled.cameras.c2w[1, 3])
    assert first.rgb[0, 0, 1, 10:22, 10:22].max() < 0.1  # given clean, it stays


def test_kept_hypotheses_stay_and_new_ones_are_near(run, finished, tmp_path: Path) -> None:
    out = tmp_path / "judged"
    arguments = ("--keep", 1, "--reject", "0", "--strength", 0.4, "--num-hypotheses", 3, "--output-dir", out)
    code, text, error = run("feedback", finished[0], *arguments, "--json")
    assert code == 0, error
    record = json.loads(text)
    assert record["reweighted"]["weights"][1] > 0.5
    assert record["reweighted"]["weights"][0] < 1e-3
    assert complete(out)["inputs"]["judgement"] == {"keep": [1], "reject": [0], "strength": 0.4}
    new, old = (FinishedRun.open(folder).result for folder in (out, finished[0]))
    assert torch.equal(new.views.rgb[0], old.views.rgb[1])
    for k in (1, 2):
        assert new.views.rgb[k].sub(old.views.rgb[1]).abs().mean() > 1e-3
        assert torch.equal(new.photo_cameras.elevation[k], old.photo_cameras.elevation[1])
    code, text, error = run(
        "feedback", finished[0], "--reject", "0,2", "--no-resample", "--output-dir", tmp_path / "w", "--json"
    )
    assert code == 0, error
    assert json.loads(text)["after"]["effective_size"] < 1.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("feedback", "--keep", "0,9"), "no hypothesis 9"),
        (("feedback", "--keep", "0,1", "--reject", "1"), "both kept and rejected"),
        (("feedback", "--reject", "0,1,2"), "All hypotheses are rejected"),
        (("feedback",), "Name hypotheses"),
        (("feedback", "--keep", "a"), "takes numbers"),
        (("feedback", "--keep", "0,1,2"), "--num-hypotheses 4"),
        (("feedback", "--keep", "0", "--strength", "0"), "strength"),
        (("refine",), "--edited-view"),
        (("refine", "--photo", "missing.png"), "missing.png"),
        (("refine", "--photo", "PHOTO", "--elevation", 95), "between -90 and 90"),
        (("refine", "--photo", "missing.png", "--azimuth", 90), "missing.png"),
        (("refine", "--photo", "PHOTO", "--azimuth", "nan"), "azimuth"),
        (("refine", "--photo", "PHOTO", "--azimuth", 90, "--elevation", 95), "between -90 and 90"),
        (("refine", "--photo", "PHOTO", "--azimuth", 90, "--azimuth-tolerance", -1), "tolerance"),
        (("refine", "--edited-view", "PHOTO"), "is not below"),
    ],
)
def test_bad_evidence_and_judgement_are_refused(run, finished, photo, tmp_path, arguments: tuple, message: str) -> None:
    verb, *rest = [photo if argument == "PHOTO" else argument for argument in arguments]
    out = tmp_path / "new"
    code, text, error = run(verb, finished[0], *rest, "--output-dir", out)
    assert code == 2
    assert text == ""
    assert message in sentence(error)
    assert not out.exists()


def test_a_run_never_overwrites_its_parent(run, finished, photo: Path) -> None:
    code, _, error = run("feedback", finished[0], "--keep", 0, "--output-dir", finished[0], "--overwrite")
    assert code == 2
    assert "cannot go into its parent" in sentence(error)
    complete(finished[0])


@pytest.mark.parametrize("verb", [("refine", "--azimuth", 90, "--photo"), ("feedback", "--keep", 0)])
def test_weights_of_other_sizes_are_refused_before_anything_is_written(run, finished, photo, tmp_path, verb) -> None:
    """The parent's pictures have 32 pixels, the embedded network takes 128."""
    out, rest = tmp_path / "new", (photo,) if verb[-1] == "--photo" else ()
    code, text, error = run(*verb, *rest, finished[0], "--weights", "embedded", "--output-dir", out)
    assert code == 2
    assert text == ""
    assert "pass the --weights that it was made with" in sentence(error)
    assert not out.exists()


@pytest.mark.parametrize("place", [".", "²/1.png", "001/images/x.png", "9" * 5000 + "/1.png", f"001/{'9' * 5000}.png"])
def test_painted_pictures_that_are_no_view_are_refused(run, finished, tmp_path, place: str) -> None:
    code, _, error = run("refine", finished[0], "--edited-view", finished[0] / "views" / place)
    assert code == 2
    assert "names no sampled view" in sentence(error)


def test_an_azimuth_that_is_not_given_is_estimated_and_told(run, finished, photo, tmp_path) -> None:
    out = tmp_path / "new"
    code, _, error = run("refine", finished[0], "--photo", photo, "--no-resample", "--output-dir", out)
    assert code == 0, error
    assert "The azimuth was estimated" in error
    assert -180 < complete(out)["inputs"]["evidence"]["azimuth"] <= 180
