"""The calibration beside a scene model's weights: what runs state with it, and that it belongs to the weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_scene_network import tiny_scene_network

from mvdiff.runs.image_to_scene import ImageToScene
from mvdiff.sampling.scene_calibrations import FILE
from mvdiff.weights.packing import save_packed, weights_hash
from recon.posterior.calibration import Margin, ProbabilityMap
from recon.posterior.scene_calibration import PARTS, STRATA, SceneCalibration, SceneCorrection

QUICK = {"num_inference_steps": 2, "preset": "fast", "num_hypotheses": 2}
MARGIN = Margin(0.2, 0.0, 0.0, (0.5, 0.9), (0.5, 1.5))
HELD = {"coverage_seen_0.9": 0.91, "coverage_unseen_0.9": 0.88, "free_called": 100.0, "free_right": 0.97}


def write_calibration(folder: Path, sha256: str, steps: int = 2) -> None:
    """A calibration in which half of the votes for free space mean a probability of 0.3, all of them 0.98."""
    free = ProbabilityMap(0.0, (-4.0, 0.0, 4.0), (0.02, 0.3, 0.98))
    correction = SceneCorrection(dict.fromkeys(PARTS, MARGIN), dict.fromkeys(STRATA.values(), free))
    settings = {"num_inference_steps": steps, "guidance_scale": 1.0, "stations": 0, "station_steps": 4}
    provenance = {"weights": {"sha256": sha256}, "settings": settings, "scenes": ["a", "b", "c"]}
    SceneCalibration({2: correction}, {"2": HELD}, provenance).save(folder / FILE)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_packed({"transformer": tiny_scene_network()}, folder, {})
    return folder


@pytest.fixture
def calibrated(weights: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(weights, tmp_path / "calibrated")
    write_calibration(folder, weights_hash(folder))
    return folder


def photo() -> Image.Image:
    y, x = np.mgrid[:64, :64]
    return Image.fromarray(np.stack([x * 3, y * 3, (x + y) % 200], -1).astype(np.uint8))


def test_a_run_states_and_applies_it(calibrated: Path, tmp_path: Path) -> None:
    result = ImageToScene.from_pretrained(calibrated, "cpu").generate(photo(), tmp_path / "out", **QUICK)
    stated = json.loads((tmp_path / "out/summary.json").read_text("utf-8"))["calibration"]
    assert stated["name"] == result.statement.calibration.name
    assert "3 procedural scenes" in stated["statement"]
    assert "91% of the rays that the photo sees and 88% of others" in stated["statement"]
    assert "97% of the space called free" in stated["statement"]
    assert "may not hold" not in stated["statement"]

    saved = np.load(tmp_path / "out/posterior.npz")
    assert np.allclose(sum(saved[name].astype(float) for name in ("occupied", "free", "unknown")), 1, atol=2e-3)
    known = saved["unknown"] == 0
    assert known.any()
    assert saved["free"][known].min() >= 0.02 - 1e-3
    assert saved["free"][known].max() <= 0.98 + 1e-3
    # The interval is the median times and over the same factor: a margin of log-depth.
    low, middle, high = (saved[f"depth_{name}"].astype(float) for name in ("low", "median", "high"))
    assert np.allclose(low * high, middle**2, rtol=0.02)
    assert (high > middle).all()


def test_other_settings_are_named(calibrated: Path) -> None:
    model = ImageToScene.from_pretrained(calibrated, "cpu")
    summary = model.generate(photo(), **QUICK | {"num_inference_steps": 3}).summary()
    assert "made with other num inference steps" in summary["calibration"]["statement"]


def test_that_of_other_weights_is_left_out(calibrated: Path, weights: Path) -> None:
    write_calibration(calibrated, "0" * 64)
    summary = ImageToScene.from_pretrained(calibrated, "cpu").generate(photo(), **QUICK).summary()
    assert summary["calibration"]["name"] is None
    assert "of other weights" in summary["calibration"]["statement"]
