"""``mvdiff calibrate`` on a tiny network: the file it leaves, its resumption, and who uses it."""

import contextlib
import io
import json
import math
from pathlib import Path
from typing import get_args

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from PIL import Image

from mvdiff import ImageTo3D, MultiViewDiffusionPipeline
from mvdiff.cli.main import main
from mvdiff.evaluation.jobs.objects import FIRST_PROCEDURAL, ObjectSet
from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator
from mvdiff.sampling.calibrations import FILE, Calibrations, read_calibrations, settings_of
from mvdiff.sampling.generation import Framing, GenerationConfig
from mvdiff.weights import packing
from recon import ReconstructionConfig
from recon.core.errors import InputError

STEPS = ("--num-inference-steps", "2", "--preset", "fast", "--device", "cpu")


def run(*arguments) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A tiny network that draws something everywhere."""
    torch.manual_seed(0)
    transformer = MultiViewTransformer(sample_size=32, reference_size=32, width=64, depth=1, heads=2)
    for parameter in transformer.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    estimator = PhotoCameraEstimator(sample_size=32, width=32, depth=1, heads=2)
    folder = tmp_path_factory.mktemp("weights")
    MultiViewDiffusionPipeline(transformer, estimator, FlowMatchEulerDiscreteScheduler(shift=3.0)).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="module")
def calibrated(weights: Path) -> Path:
    """The weights' folder with a calibration of one framing."""
    code, text, error = run(
        "calibrate", "--procedural", 3, "--num-hypotheses", 2, "--weights", weights, "--output", weights / FILE, *STEPS,
        "--framings", "keep",
    )  # fmt: skip
    assert code == 0, error
    assert "keep, N = 2, 3 objects" in text
    return weights


def test_the_shipped_calibration_is_of_the_shipped_weights_and_of_what_the_main_job_does():
    """Whoever changes weights, steps, guidance or the default reconstruction must calibrate again."""
    folder = packing.resolve("embedded")
    shipped = Calibrations.find("default", folder, {"sha256": packing.weights_hash(folder)})
    default = GenerationConfig()
    settings = settings_of(default, ReconstructionConfig())
    for framing in get_args(Framing):
        calibration, notes = shipped.choose(framing, settings)
        assert notes == ()
        held_out = calibration.held_out[str(default.num_hypotheses)]
        assert held_out["objects"] >= 30
        for kind in ("band", "intervals"):
            covered = {row["level"]: row["coverage"] for row in held_out[kind]}
            assert covered[0.9] == pytest.approx(0.9, abs=0.05)
        assert held_out["probability"]["ece"] <= 0.02
        assert held_out["probability"]["brier"] < held_out["probability"]["brier_single"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    image = Image.new("RGBA", (64, 64))
    image.paste((200, 80, 30, 255), (16, 12, 48, 56))
    image.save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_the_file_says_where_it_comes_from(calibrated: Path) -> None:
    found, owner = read_calibrations(calibrated / FILE)
    assert owner["sha256"] == ImageTo3D.from_pretrained(calibrated, "cpu").weights["sha256"]
    assert str(calibrated.parent) not in (calibrated / FILE).read_text()  # no places on this machine
    provenance = found["keep"].provenance
    assert sorted(provenance["objects"]) == [f"procedural/{FIRST_PROCEDURAL + k}" for k in range(3)]
    assert provenance["num_hypotheses"] == 2
    assert provenance["settings"]["num_inference_steps"] == 2
    assert set(found["keep"].corrections) == {1, 2}
    assert found["keep"].held_out["2"]["probability"]["brier"] >= 0


def test_more_objects_go_on_from_those_that_are_done(calibrated: Path, tmp_path: Path) -> None:
    target = tmp_path / FILE
    records = target.with_suffix(".objects.jsonl")
    records.write_bytes((calibrated / FILE).with_suffix(".objects.jsonl").read_bytes())
    arguments = ("--num-hypotheses", 2, "--weights", calibrated, "--output", target, *STEPS, "--framings", "keep")
    code, text, error = run("calibrate", "--procedural", 4, *arguments, "--json")
    assert code == 0, error
    assert error.count("keep:procedural") == 1
    assert json.loads(text)["calibrations"]["keep"]["held_out"]["2"]["objects"] == 4
    code, _, error = run("calibrate", "--procedural", 4, *arguments, "--seed", 1)
    assert code == 2
    assert "seed" in error


def test_generation_uses_it_and_says_so(calibrated: Path) -> None:
    settings = GenerationConfig(num_hypotheses=2, num_inference_steps=2, framing="keep", coverage=0.5)
    fast = ImageTo3D.from_pretrained(calibrated, "cpu", reconstruction=ReconstructionConfig.preset("fast"))
    calibration, notes = fast._calibration(settings)
    assert calibration is not None
    assert notes == ()
    model = ImageTo3D.from_pretrained(calibrated, "cpu")  # another preset than the calibration's
    calibration, notes = model._calibration(settings)
    assert calibration is None
    assert notes[0].startswith("Uncalibrated: the calibration was made with other settings (reconstruction)")
    assert model._calibration(GenerationConfig(framing="recentre"))[0] is None
    assert "recentre" in model._calibration(GenerationConfig(framing="recentre"))[1][0]


def test_calibrations_of_other_weights_are_not_used(calibrated: Path, tmp_path: Path) -> None:
    found = Calibrations.find("default", calibrated, {"sha256": "another"})
    assert not found.by_framing
    assert "other weights" in found.note
    weights = ImageTo3D.from_pretrained(calibrated, "cpu").weights
    assert Calibrations.find("default", calibrated, weights).by_framing
    assert not Calibrations.find("default", calibrated, weights | {"lora_sha256": "an adapter"}).by_framing
    with pytest.raises(InputError, match="other weights"):
        Calibrations.find(str(calibrated / FILE), tmp_path, {"sha256": "another"})
    assert "no calibration" in Calibrations.find("default", tmp_path, {}).note
    assert not Calibrations.find("none", calibrated, {}).by_framing
    with pytest.raises(InputError, match="check the path"):
        Calibrations.find(str(tmp_path / "no.json"), tmp_path, {})
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(InputError, match="no readable calibration"):
        Calibrations.find("default", tmp_path, {})


def save_balls(folder: Path, count: int) -> None:
    from recon.io.meshes.files import save_mesh
    from recon.posterior import VoxelGrid

    grid = VoxelGrid(torch.zeros(3), 0.5, 12)
    folder.mkdir(exist_ok=True)
    for k in range(count):
        save_mesh(grid.surface(grid.points().norm(dim=-1) - 0.3), folder / f"{k}.ply")


def test_beside_meshes_procedural_objects_only_tell_what_is_known(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_balls(tmp_path / "balls", 2)
    arguments = ("--meshes", tmp_path / "balls", "--procedural", 1, "--num-hypotheses", 2, "--weights", weights)
    for enough, asked in ((2, ["0", "1"]), (3, ["0", f"procedural/{FIRST_PROCEDURAL}", "1"])):
        monkeypatch.setattr("mvdiff.evaluation.protocols.calibrate._ENOUGH", enough)
        code, _, error = run("calibrate", *arguments, "--output", tmp_path / FILE, *STEPS, "--framings", "keep")
        assert code == 0, error
        found = read_calibrations(tmp_path / FILE)[0]["keep"]
        assert list(found.provenance["objects"]) == asked
        assert found.provenance["known"] == 3
        assert all(len(values) == 3 for values in found.scores.values())


def test_objects_are_mixed_and_only_those_that_training_left_out(tmp_path: Path) -> None:
    save_balls(tmp_path, 6)
    assert ObjectSet(tmp_path, holdout_every=3).names == ["2", "5"]
    mixed = ObjectSet([tmp_path], procedural=3, holdout_every=3, limit=4)
    assert mixed.names == [f"procedural/{FIRST_PROCEDURAL}", "2", f"procedural/{FIRST_PROCEDURAL + 1}", "5"]


@pytest.mark.parametrize(
    "arguments", [(), ("--procedural", "-1"), ("--procedural", "3", "--output", "x.txt"), ("--meshes", "missing")]
)
def test_bad_settings_are_one_sentence(arguments, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = run("calibrate", *arguments, "--device", "cpu")
    assert code == 2
    assert error.startswith("mvdiff: ")
    assert list(tmp_path.iterdir()) == []


def test_the_photo_is_found_again_in_the_view_of_it() -> None:
    """A rendering by the default lens, cropped as photos are, comes back where that lens would see it."""
    from mvdiff.backbones.novelty import photo_in_view
    from mvdiff.evaluation.jobs.objects import View, photograph
    from mvdiff.sampling.photo_camera import PhotoCamera
    from mvdiff.sampling.reference import prepare
    from recon.core.cameras import Cameras
    from recon.posterior import VoxelGrid

    grid = VoxelGrid(torch.zeros(3), 0.6, 24)
    low = grid.surface((grid.points() - torch.tensor([0.1, -0.2, 0.0])).norm(dim=-1) - 0.22)
    picture = photograph(low, View(0.0, 20.0, 0), size=128)
    reference = prepare(picture, framing="keep")
    crop = torch.tensor([reference.crop_parameters()])
    camera = PhotoCamera.from_parameters(torch.cat([torch.tensor([[0.349]]), crop], 1))
    found = photo_in_view(reference, camera, Cameras.orbit([0.0], 20.0, size=128))
    expected = torch.tensor(list(picture.getchannel("A").getdata())).reshape(128, 128) / 255
    assert float((found[0, 3] - expected).abs().mean()) < 0.01
    assert float(found[0, 3].sum()) > 500


def test_novelty_is_the_same_every_time_and_kept_with_the_calibration(calibrated: Path) -> None:
    from mvdiff.backbones.novelty import novelty_scores
    from mvdiff.evaluation.protocols.non_objects import non_object

    model = ImageTo3D.from_pretrained(calibrated, "cpu")
    settings = GenerationConfig(num_hypotheses=2, num_inference_steps=2, framing="keep", matting=False, coverage=0.5)
    reference = model.prepare(non_object(1, 64)[1], settings)
    views, cameras = model.sample(reference, settings)
    scores = novelty_scores(model.sampler.pipeline, reference, views, cameras)
    assert novelty_scores(model.sampler.pipeline, reference, views, cameras) == scores
    assert all(math.isfinite(value) for value in scores.values())
    known = read_calibrations(calibrated / FILE)[0]["keep"].scores
    assert known.keys() == scores.keys()
    assert all(len(values) == 3 for values in known.values())


def test_generate_states_its_calibration_weights_and_novelty(
    calibrated: Path, picture: Path, tmp_path: Path, monkeypatch
) -> None:
    """With as many hypotheses as are enough; the second time the complete folder is loaded."""
    from mvdiff.runs import image_to_3d

    monkeypatch.setattr(image_to_3d, "AUTO_COUNTS", (2,))
    settings = ("--weights", calibrated, "--framing", "keep", *STEPS)
    arguments = ("--num-hypotheses", "auto", "--weighting", "photo", "--coverage", 0.6)
    for _ in range(2):
        code, text, error = run("generate", picture, "--output-dir", tmp_path / "out", *settings, *arguments)
        assert code == 0, error
        assert "Calibrated" in text
        assert "2 hypotheses" in text
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [step["count"] for step in summary["convergence"]] == [2]
    assert summary["calibration"]["coverage"] == 0.6
    assert summary["calibration"]["name"] in text
    assert summary["out_of_distribution"]["p_value"] is None  # three objects are too few to compare with
    assert summary["out_of_distribution"]["scores"]
    assert sum(summary["weights"]) == pytest.approx(1, abs=1e-5)
    assert 1 <= summary["effective_size"] <= 2
    arguments = ("--num-hypotheses", 2, "--coverage", 0.9)
    code, _, error = run("generate", picture, "--output-dir", tmp_path / "more", *settings, *arguments)
    assert code == 2  # three objects cannot promise 90 %
    assert "calibrate on more objects" in error
    assert not (tmp_path / "more").exists()


def test_auto_stops_when_the_hypotheses_agree_and_samples_each_once(calibrated: Path, monkeypatch) -> None:
    from mvdiff.evaluation.protocols.non_objects import non_object
    from mvdiff.runs import image_to_3d
    from mvdiff.runs.store import MemoryStore

    model = ImageTo3D.from_pretrained(calibrated, "cpu")
    monkeypatch.setattr(image_to_3d, "AUTO_COUNTS", (2, 4))
    settings = {"num_inference_steps": 1, "framing": "keep", "matting": False, "coverage": 0.5}
    reference = model.prepare(non_object(2, 64)[1], GenerationConfig(**settings))
    samples = MemoryStore()
    loose, tight = (GenerationConfig(num_hypotheses="auto", tolerance=t, **settings) for t in (0.99, 1e-9))
    assert model.enough(reference, loose, samples) == 2
    first = samples.load_sample(0)
    assert model.enough(reference, tight, samples) == 4
    assert samples.load_sample(0) is first
    views, _ = model.sample(reference, GenerationConfig(num_hypotheses=4, **settings))
    assert torch.equal(views.rgb[3], samples.load_sample(3).views.rgb[0])
    with pytest.raises(InputError, match="pass a number"):
        model.sample(reference, loose)
