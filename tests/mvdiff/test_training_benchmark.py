"""What a training step costs."""

import json
from pathlib import Path

import pytest

from mvdiff.evaluation.training import TrainingBenchmarkConfig, benchmark_training, training_table
from recon.errors import InputError

TINY = Path(__file__).parents[2] / "configs/train/tiny.yaml"


def test_every_part_of_a_step_is_timed(tmp_path):
    config = TrainingBenchmarkConfig(
        TINY, device="cpu", batch_size=2, objects=1, steps=1, warmup=0, output=tmp_path / "cost.json"
    )
    record = benchmark_training(config, "benchmark train")
    parts = record["milliseconds"]
    assert all(value > 0 for value in parts.values())
    assert record["objects_per_second"] == pytest.approx(2 / parts["whole step"] * 1e3)
    assert json.loads((tmp_path / "cost.json").read_text())["parameters"] == record["parameters"]
    assert "whole step" in training_table(record)


@pytest.mark.parametrize(
    ("changes", "name"), [({"objects": 0}, "--objects"), ({"steps": 0}, "--steps"), ({"output": Path("x.txt")}, "json")]
)
def test_bad_settings_are_named(changes, name):
    with pytest.raises(InputError, match=name):
        TrainingBenchmarkConfig(TINY, **changes).check()
