"""Space and intervals of scenes: an honest sampler's statements hold after calibration, an over-sure one's, too."""

from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from box_room import RoomJob, room_case

from mvdiff.evaluation.protocols import scene_space
from mvdiff.evaluation.protocols.scene_calibrate import SceneCalibrationConfig, calibrate_scenes
from mvdiff.evaluation.protocols.scene_case import SceneCase
from mvdiff.evaluation.protocols.scene_config import SceneEvaluationConfig
from mvdiff.evaluation.protocols.scene_runner import evaluate_scenes
from mvdiff.evaluation.protocols.scene_space import space_scores
from recon.core.errors import InputError
from recon.core.views import ViewSet

HEAD = {"command": "test", "weights": {"sha256": "0"}, "device": "cpu", "versions": {"mvdiff": "0"}}


@pytest.fixture(autouse=True)
def _coarse(monkeypatch):
    """Fewer cells than an evaluation has, which take most of its time."""
    monkeypatch.setattr(scene_space, "CELLS", 12_000)


@lru_cache
def case() -> SceneCase:
    return room_case(32)


def over_sure(case: SceneCase, num_hypotheses: int, seed: int) -> ViewSet:
    """Depths that are wrong by a factor of their own, with a spread of a third of that."""
    g = torch.Generator().manual_seed(seed)
    bias = 0.15 * torch.randn(1, generator=g)
    factor = (bias + 0.05 * torch.randn(num_hypotheses, 1, 1, 1, 1, generator=g)).exp()
    views = case.truth[[0] * num_hypotheses]
    return replace(views, depth=views.depth * factor)


def test_a_wall_that_is_pushed_back_makes_free_space_that_is_not():
    views = case().truth
    truth = space_scores(case(), views)
    assert truth["free_right"] == truth["free_called"] == 1
    assert truth["brier"] == truth["ece"] == 0
    farther = space_scores(case(), replace(views, depth=views.depth * 1.3))
    assert farther["free_right"] < 0.9
    nearer = space_scores(case(), replace(views, depth=views.depth * 0.7))
    assert nearer["free_right"] > farther["free_right"]
    assert nearer["free_called"] < 0.9
    assert min(farther["brier"], nearer["brier"]) > 0.02
    assert space_scores(case(), replace(views, normal=None)) == {}


def test_votes_beat_single_hypotheses():
    scores = space_scores(case(), over_sure(case(), 4, 3))
    assert scores["brier"] < scores["brier_one"]


def test_calibrated_intervals_hold_on_other_scenes(tmp_path):
    config = SceneCalibrationConfig(output=tmp_path / "calibration.json", num_hypotheses=2, scenes=14)
    jobs = [RoomJob(f"room/{k}", 20) for k in range(14)]
    told: list[str] = []
    calibration = calibrate_scenes(config, jobs, over_sure, HEAD, told.append)
    assert len(told) == 14
    assert sorted(calibration.corrections) == [1, 2]
    assert calibration.held_out["2"]["coverage_unseen_0.9"] == pytest.approx(0.9, abs=0.14)
    again = calibrate_scenes(config, jobs, over_sure, HEAD, told.append)
    assert again.to_dict() == calibration.to_dict()
    assert len(told) == 14

    judge = SceneEvaluationConfig(
        model="weights", output=tmp_path / "scene.json", num_hypotheses=2, calibration=config.output
    )
    others = [RoomJob(f"room/{k}", 20) for k in range(100, 103)]
    results = evaluate_scenes(judge, others, over_sure, HEAD, lambda _: None)
    summary = results["summary"]
    assert results["calibration"] == calibration.name
    assert summary["coverage_90_unseen"] > summary["raw_coverage_90_unseen"] + 0.3
    assert summary["width_50_seen"] < summary["width_90_seen"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"scenes": 5}, "at least 10"), ({"num_hypotheses": 0}, "--num-hypotheses"), ({"workers": -1}, "0")],
)
def test_settings_of_calibration_are_checked(wrong, told):
    with pytest.raises(InputError, match=told):
        SceneCalibrationConfig(**wrong).check()
