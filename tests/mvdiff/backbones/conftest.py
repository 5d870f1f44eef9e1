"""A tiny Zero123++ folder, accepted by the user of the test."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_zero123 import save_tiny

from mvdiff.backbones.registry import load_sampler
from mvdiff.backbones.zero123plus import Zero123PlusSampler
from mvdiff.weights import licenses


@pytest.fixture(scope="session")
def zero123_folder(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("zero123") / "weights")


@pytest.fixture
def licensed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who has accepted the license of Zero123++."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    licenses.accept("CC-BY-NC-4.0")


@pytest.fixture
def sampler(zero123_folder: Path, licensed: None) -> Zero123PlusSampler:
    """Its views have 48 pixels instead of 320."""
    loaded = load_sampler("zero123plus", weights=zero123_folder, device="cpu", dtype=torch.float32)
    return replace(loaded, view_size=48)
