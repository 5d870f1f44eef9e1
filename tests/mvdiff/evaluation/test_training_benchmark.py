"""What a training step and its pictures cost."""

import json
from pathlib import Path

import pytest

from mvdiff.evaluation.benchmarks.rendering import RenderingBenchmarkConfig, benchmark_rendering, rendering_table
from mvdiff.evaluation.benchmarks.training import TrainingBenchmarkConfig, benchmark_training, training_table
from recon.core.errors import InputError

TINY = Path(__file__).parents[3] / "configs/train/tiny.yaml"


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


def test_pictures_are_timed_in_processes_of_their_own(tmp_path):
    config = RenderingBenchmarkConfig(objects=2, processes=(1,), size=16, device="cpu", output=tmp_path / "cost.json")
    record = benchmark_rendering(config, "benchmark render")
    (result,) = record["results"]
    assert record["views"] == 18 + 6 + 6
    per_view = (result["mesh_milliseconds"] + result["picture_milliseconds"]) / 1e3
    assert result["views_per_processor_second"] == pytest.approx(1 / per_view)
    assert json.loads((tmp_path / "cost.json").read_text())["results"] == record["results"]
    assert "views/s" in rendering_table(record)
    with pytest.raises(InputError, match="--processes"):
        RenderingBenchmarkConfig(processes=()).check()
