"""Several objects of one photo: a run for each, one scene of all; and geometry of the photo through a whole run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_helpers import sphere_moge, tiny_sam2

from mvdiff.helpers.moge import MogeGeometry
from mvdiff.helpers.observing import GeometryPrior
from mvdiff.runs.image_to_3d import ImageTo3D
from recon.core.errors import InputError
from recon.io.meshes.files import load_mesh

SETTINGS = ("--num-hypotheses", 2, "--num-inference-steps", 1, "--candidates", 1)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """A photo of a red and a blue block on white."""
    picture = np.full((120, 200, 3), 255, np.uint8)
    picture[40:100, 20:70] = (190, 40, 30)
    picture[50:100, 120:180] = (30, 60, 190)
    path = tmp_path_factory.mktemp("photos") / "two.png"
    Image.fromarray(picture).save(path)
    return path


def test_two_places_become_two_runs_and_one_scene(run, two: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = (
        "generate",
        two,
        "--select",
        "45,70",
        "--box",
        "110,40,190,110",
        "--output-dir",
        out,
        *SETTINGS,
        "--json",
    )
    code, text, error = run(*command)
    assert code == 0, error
    record = json.loads(text)
    assert [Path(each["output_dir"]).name for each in record["runs"]] == ["object-1", "object-2"]
    assert all("No segmenter" in " ".join(each["notes"]) for each in record["runs"])
    for number in (1, 2):
        assert json.loads((out / f"object-{number}/summary.json").read_text())["matte"]["method"] == "selected"
    reference = np.asarray(Image.open(out / "object-2/reference.png"))
    assert reference[reference[..., 3] > 250][:, 2].mean() > 150  # the blue one
    scene = json.loads((out / "scene.json").read_text())
    assert len(scene["hypotheses"]) == 2
    assert max(scene["representatives"]["sizes"]) == 1
    mesh = load_mesh(out / "scene.glb")
    left, right = (torch.tensor(matrix)[:3, 3] for matrix in scene["representatives"]["matrices"])
    assert left[0] < right[0]
    low, high = mesh.bounds
    assert abs(float(low[1])) < 1e-3  # what stands lowest stands on the plane
    assert float(high[0] - low[0]) > float((right - left)[0])
    before = (out / "object-1/posterior.npz").read_bytes(), (out / "scene.glb").read_bytes()
    code, _, error = run(
        "generate", two, "--select", "45,70", "--box", "110,40,190,110", "--output-dir", out, *SETTINGS
    )
    assert code == 0, error
    assert before == ((out / "object-1/posterior.npz").read_bytes(), (out / "scene.glb").read_bytes())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--select", "500,20"), "outside of the picture of 200 x 120 pixels"),
        (("--select", "1"), "--select takes X,Y"),
        (("--box", "15,35,75,105", "--box", "18,38,72,102"), "same object"),
        (("--select", "45,70", "--no-matting"), "leave --no-matting away"),
        (("--select", "45,70", "--framing", "keep"), "one object in its middle"),
        (("--segmenter", "nowhere"), "needs a place to segment"),
        (("--select", "45,70", "--segmenter", "nowhere"), "no folder of weights 'nowhere'"),
        (("--geometry", "moge"), "--geometry takes KIND:PATH"),
        (("--geometry", "magic:x"), "one of moge, depth-anything, marigold"),
        (("--geometry", "moge:nowhere.onnx"), "no file 'nowhere.onnx'"),
    ],
)
def test_what_cannot_be_selected_is_one_sentence(run, two: Path, tmp_path: Path, options: tuple, words: str) -> None:
    out = tmp_path / "out"
    code, _, error = run("generate", two, *options, "--output-dir", out, *SETTINGS)
    assert code == 2
    assert words in error
    assert not out.exists()


def test_places_in_several_photos_are_refused(run, two: Path, tmp_path: Path) -> None:
    code, _, error = run("generate", two, two, "--select", "45,70", "--output-dir", tmp_path / "out", *SETTINGS)
    assert code == 2
    assert "give a single photo" in error


def test_a_segmenter_is_named_in_the_run(run, two: Path, tmp_path: Path) -> None:
    """Random weights find some mask; that it comes from them is what is recorded."""
    folder = tiny_sam2(tmp_path / "sam2")
    code, _, error = run(
        *("generate", two, "--box", "10,30,80,110", "--segmenter", folder, "--output-dir", tmp_path / "out", *SETTINGS)
    )
    if code == 2:
        assert "segmenter" in error or "pixels large" in error
        return
    assert json.loads((tmp_path / "out/summary.json").read_text())["matte"]["method"] == "sam2"


def test_geometry_changes_the_shapes_and_is_in_the_manifest(model: ImageTo3D, two: Path, tmp_path: Path) -> None:
    settings = {"num_hypotheses": 1, "num_inference_steps": 1, "candidates": 1}
    photo = np.zeros((96, 128, 4), np.uint8)
    photo[20:70, 40:100] = (190, 40, 30, 255)
    picture = Image.fromarray(photo)
    plain = model.generate(picture, tmp_path / "plain", **settings)
    prior = GeometryPrior(MogeGeometry.from_file(sphere_moge(tmp_path / "moge.onnx")))
    seen = replace(model, geometry=prior).generate(picture, tmp_path / "seen", **settings)
    assert torch.equal(plain.views.rgb, seen.views.rgb)
    inputs = [json.loads((tmp_path / name / "manifest.json").read_text())["inputs"] for name in ("plain", "seen")]
    assert "geometry" not in inputs[0]
    assert inputs[1]["geometry"]["name"] == "moge-2"
    assert len(inputs[1]["geometry"]["sha256"]) == 64
    with pytest.raises(InputError, match="trust"):
        GeometryPrior(prior.estimator, trust=0.0)
