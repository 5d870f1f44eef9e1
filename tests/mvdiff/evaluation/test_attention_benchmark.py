"""Benchmark of the attention backends."""

import json
from pathlib import Path

import pytest

from mvdiff.evaluation.benchmarks.attention import AttentionBenchmarkConfig, attention_table, benchmark_attention
from recon.core.errors import InputError


def test_backends_are_timed_and_held_against_exact_attention(tmp_path: Path) -> None:
    config = AttentionBenchmarkConfig(
        ("native", "sage"), "cpu", num_hypotheses=1, tokens=16, heads=2, repeats=2, output=tmp_path / "attention.json"
    )
    record = benchmark_attention(config, "benchmark attention")
    assert record["backends"]["native"]["largest_deviation"] < 1e-5
    assert record["backends"]["native"]["milliseconds"] > 0
    assert "sage" in record["backends"]["sage"]["unavailable"]
    assert json.loads((tmp_path / "attention.json").read_text()) == record
    assert "| sage | – |" in attention_table(record)


@pytest.mark.parametrize("changes", [{"tokens": 0}, {"output": Path("x.txt")}])
def test_bad_settings_are_named(changes: dict) -> None:
    with pytest.raises(InputError, match=r"at least 1|json"):
        AttentionBenchmarkConfig(**changes).check()
