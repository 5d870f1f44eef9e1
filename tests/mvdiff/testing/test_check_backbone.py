"""The embedded model keeps the contract that every backbone is held to."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mvdiff.backbones.registry import load_sampler
from mvdiff.sampling.sampler import SamplerInfo
from mvdiff.testing import check_backbone


@pytest.fixture(scope="module")
def exact(weights: Path) -> Any:
    """The sampler of the tiny model in single precision."""
    return load_sampler("embedded", weights=weights, device="cpu", dtype=torch.float32)


def test_the_embedded_sampler_keeps_it(exact: Any) -> None:
    assert len(check_backbone(exact)) > 20


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"channels": frozenset({"rgb", "alpha"})}, "channels that info.channels names"),
        ({"channels": frozenset({"rgb"})}, "rgb and alpha"),
        ({"license": ""}, "license"),
        ({"defaults": {"seed": 3}}, "info.defaults"),
    ],
)
def test_what_it_says_of_itself_is_checked(exact: Any, change: dict[str, Any], words: str) -> None:
    info: SamplerInfo = replace(exact.info, **change)
    with pytest.raises(AssertionError, match=words):
        check_backbone(replace(exact, info=info))
