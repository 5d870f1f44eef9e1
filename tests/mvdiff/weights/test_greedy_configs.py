"""Configs that ask for more than the files hold are refused before anything is allocated."""

import json
from pathlib import Path

import pytest
from tiny_helpers import tiny_dinov2

from mvdiff.helpers.dinov2 import Dinov2Encoder
from recon.core.errors import InputError


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("hidden_size", 20_000, "weights"), ("mlp_ratio", 999_999, "weights"), ("num_hidden_layers", 10**9, "more than")],
)
def test_a_config_that_asks_for_too_much_is_refused(name: str, value: int, told: str, tmp_path: Path):
    config = tiny_dinov2(tmp_path) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {name: value}))
    with pytest.raises(InputError, match=told):
        Dinov2Encoder.from_folder(tmp_path)
