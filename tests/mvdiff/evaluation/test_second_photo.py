"""What a second photo tells: of objects whose alternatives are known, and the whole way on a tiny network."""

import json
import math
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh

from mvdiff.evaluation.jobs.cases import Case
from mvdiff.evaluation.jobs.jobs import make_cases
from mvdiff.evaluation.jobs.objects import ObjectSet, View, photograph
from mvdiff.evaluation.protocols.second_photo import (
    SecondPhotoConfig,
    judge_second_photos,
    second_photo,
    second_photo_entry,
    summarise,
    table,
)
from mvdiff.evaluation.protocols.shape import Frame
from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.runs.refine import refine
from recon import TexturedMesh
from recon.core.errors import InputError
from recon.io.meshes.files import save_mesh
from recon.posterior import Hypothesis, PosteriorConfig

KEYS = {
    *("objects", "entropy_bits_before", "entropy_bits_chosen", "entropy_bits_random", "entropy_ratio"),
    *("occupancy_bits_before", "occupancy_bits_chosen", "occupancy_bits_random", "occupancy_ratio"),
    *("cd_before", "cd_reweighted_chosen", "cd_reweighted_random", "expected_ratio"),
}
RESAMPLED = {
    *("cd_resampled_chosen", "cd_resampled_random", "occupancy_ratio_resampled"),
    *("occupancy_bits_resampled_chosen", "occupancy_bits_resampled_random"),
}


def knobbed(azimuth: float | None) -> TexturedMesh:
    """A ball with a knob at an azimuth, or with none."""
    parts = [trimesh.creation.icosphere(3, 0.3)]
    if azimuth is not None:
        angle = math.radians(azimuth)
        parts.append(trimesh.creation.icosphere(2, 0.14))
        parts[1].apply_translation([0.34 * math.sin(angle), 0, 0.34 * math.cos(angle)])
    mesh = trimesh.util.concatenate(parts)
    return TexturedMesh.from_arrays(mesh.vertices, mesh.faces, mesh.vertices * 0 + (0.3, 0.5, 0.8))


def case(truth: TexturedMesh, *hypotheses: TexturedMesh, azimuth: float = 70.0) -> Case:
    """All of them in the photo's frame, which stands askew in the true one."""
    view = View(azimuth, 10.0, seed=5)
    own = truth.transformed(Frame(azimuth, 1.0).from_photo)
    made = [Hypothesis(mesh, seed=k) for k, mesh in enumerate(hypotheses)]
    return Case("ball", view, own, photograph(own, view), made, slice(1, None), {})


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> SecondPhotoConfig:
    return SecondPhotoConfig(
        tmp_path_factory.mktemp("none"), num_hypotheses=2, num_inference_steps=1, device="cpu", resample=False
    )


@pytest.fixture(scope="module")
def judge(weights: Path) -> ImageTo3D:
    from mvdiff.runs.loading import load_model

    model = load_model(str(weights), "cpu", "fast", calibration="none")
    return replace(model, posterior=PosteriorConfig(grid=32, samples=512))


@pytest.mark.parametrize("truth", [0, 1])
def test_the_chosen_view_sees_the_back_and_random_ones_may_not(truth: int, config, judge) -> None:
    alternatives = [knobbed(None), knobbed(180.0)]
    entry = second_photo_entry(case(alternatives[truth], *alternatives), replace(config, randoms=64), judge)
    assert entry["entropy_bits_before"] == pytest.approx(1.0)
    assert entry["entropy_bits_chosen"] < 0.02
    assert entry["entropy_bits_random"] > 0.1
    assert entry["expected_bits_chosen"] < 0.5 * entry["expected_bits_random"]
    chosen, *others = entry["views"]
    assert chosen["weights"][truth] > 0.99
    assert chosen["azimuth"] not in (0.0, 22.5, 337.5)
    assert len({(view["azimuth"], view["elevation"]) for view in others}) == 64  # the whole grid
    assert entry["expected_bits_random"] == pytest.approx(sum(v["expected_bits"] for v in others) / 64, abs=1e-3)
    # What the front hides stays open in a view of it.
    front = [view["entropy_bits"] for view in others if view["azimuth"] == 0 and view["elevation"] < 30]
    assert len(front) == 2
    assert min(front) > 0.9
    assert entry["occupancy_bits_chosen"] < 0.1 * entry["occupancy_bits_before"]
    assert entry["occupancy_bits_chosen"] < entry["occupancy_bits_random"] < entry["occupancy_bits_before"]
    # The distance is that of the true one, which is nothing.
    assert entry["distances"][truth] < 1e-3 < entry["distances"][1 - truth]
    assert entry["cd_reweighted_chosen"] < 0.02 * entry["cd_before"]
    assert entry["cd_reweighted_chosen"] < entry["cd_reweighted_random"]


@pytest.mark.parametrize("azimuth", [0.0, 70.0, 260.0])
def test_the_photo_is_taken_around_the_object_from_the_first(azimuth: float, config, judge) -> None:
    """Mirrored or counted from the true axes, the photo would speak for the other hypothesis."""
    left, right = knobbed(250.0), knobbed(110.0)
    entry = second_photo_entry(case(right, left, right, azimuth=azimuth), config, judge)
    assert all(view["weights"][1] > 0.9 for view in entry["views"] if view["elevation"] < 50)
    assert entry["cd_reweighted_chosen"] < 0.05 * entry["cd_before"]


def test_random_views_are_those_of_the_object(config, judge) -> None:
    one = case(knobbed(180.0), knobbed(None), knobbed(180.0))
    first, again = (second_photo_entry(one, config, judge) for _ in range(2))
    assert first == again
    other = second_photo_entry(replace(one, view=replace(one.view, seed=6)), config, judge)
    assert [v["azimuth"] for v in other["views"]] != [v["azimuth"] for v in first["views"]]
    assert other["views"][0]["azimuth"] == first["views"][0]["azimuth"]


def test_nothing_to_tell_apart_is_told(config, judge) -> None:
    empty = TexturedMesh(torch.zeros(0, 3), torch.zeros(0, 3).long())
    entry = second_photo_entry(case(knobbed(180.0), knobbed(None), empty), config, judge)
    assert "fewer than two" in entry["problem"]
    summary = summarise([entry])
    assert summary == {"objects": 0, "left_out": 1}
    assert "fewer than two" in table({"command": "c", "summary": summary, "objects": [entry]}, "title")


def test_ratios_are_of_means() -> None:
    one = {f"{key}_{kind}": 1.0 for key in ("entropy_bits", "expected_bits") for kind in ("chosen", "random")}
    summary = summarise([one, one | {"entropy_bits_random": 4.0}, {"name": "x", "problem": "none"}])
    assert summary["objects"] == 2
    assert summary["entropy_ratio"] == pytest.approx(1 / 2.5)
    assert summary["expected_ratio"] == 1
    assert summary["occupancy_ratio_resampled"] is None
    assert summary["entropy_bits_saved"] == 1.5
    assert summarise([one | {"entropy_bits_random": 0.0}])["entropy_ratio"] is None


@pytest.fixture(scope="module")
def meshes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("meshes")
    save_mesh(knobbed(40.0), folder / "a.ply")
    save_mesh(knobbed(160.0), folder / "b.ply")
    return folder


@pytest.mark.slow
def test_the_whole_way_and_its_resumption(weights, meshes, judge, config, tmp_path) -> None:
    own = replace(config, meshes=meshes, output=tmp_path / "second.json", limit=1, randoms=2, resample=True)
    lines: list[str] = []
    first = judge_second_photos(own, judge, "command", lines.append)
    assert first["summary"].keys() >= KEYS | RESAMPLED
    assert [entry["name"] for entry in first["objects"]] == ["a"]
    assert first["summary"]["cd_resampled_chosen"] > 0
    assert ["resampled" in view for view in first["objects"][0]["views"]] == [True, True, False]
    second = judge_second_photos(replace(own, limit=None), judge, "command", lines.append)
    assert second["objects"][0] == first["objects"][0]
    assert sum(" a: " in line for line in lines) == 1
    assert json.loads(own.output.read_text()) == second
    written = own.output.with_suffix(".md").read_text()
    assert "| b |" in written
    assert "resampled" in written
    with pytest.raises(InputError, match="randoms"):
        judge_second_photos(replace(own, randoms=3), judge)


@pytest.mark.slow
def test_a_photo_says_what_refining_with_it_says(meshes, judge, config, tmp_path) -> None:
    own = replace(config, meshes=meshes, resample=True, randoms=1)
    (made,) = make_cases(own, judge, ObjectSet(meshes), [1])
    entry = second_photo_entry(made, own, judge)
    chosen = entry["views"][0]
    photo = second_photo(made, chosen["azimuth"], chosen["elevation"], own, judge)
    settings = {"num_hypotheses": 2, "seed": made.view.seed, "framing": own.framing, **own.sampling}
    judge.generate(made.reference, tmp_path / "out", **settings)
    record = refine(judge, tmp_path / "out", photo, tmp_path / "refined").record
    assert record["before"]["occupancy_entropy"] == pytest.approx(entry["occupancy_bits_before"], rel=1e-2)
    assert record["reweighted"]["weights"] == pytest.approx(chosen["weights"], abs=1e-2)
    assert record["after"]["occupancy_entropy"] == pytest.approx(chosen["resampled"]["occupancy_bits"], rel=1e-2)
    assert record["after"]["effective_size"] == pytest.approx(chosen["resampled"]["effective_size"], rel=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--randoms", 0), "randoms"),
        (("--randoms", 65), "64"),
        (("--num-hypotheses", 1), "num-hypotheses 2"),
        (("--limit", 0), "limit"),
        (("--output", "second.txt"), "json"),
        (("--meshes", "missing"), "missing"),
    ],
)
def test_bad_input_is_refused(arguments, message, weights, meshes, tmp_path) -> None:
    main = runpy.run_path(str(Path(__file__).parents[3] / "tools" / "evaluate.py"))["main"]
    usual = {"--meshes": meshes, "--output": tmp_path / "second.json", "--weights": weights, "--device": "cpu"}
    given = usual | {arguments[0]: arguments[1]}
    with pytest.raises(InputError, match=message):
        main(["second-photo", *(str(each) for pair in given.items() for each in pair), "--no-resample"])
    assert not list(tmp_path.iterdir())
