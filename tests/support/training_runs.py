"""Short training runs: variants of their settings, and whether two ended alike."""

import json
from pathlib import Path

import torch

from mvdiff.training.config import TrainConfig, apply_overrides, load_config
from mvdiff.training.trainer import Trainer

ROOT = Path(__file__).parents[2]
#: Of the pictures of small data sets.
SIZES = {"size": 32, "supersample": 1, "ring_views": 6, "references": 2}


def tiny(folder: Path, **overrides) -> TrainConfig:
    """configs/train/tiny.yaml, shorter still; no network or data set is needed."""
    config = load_config(ROOT / "configs/train/tiny.yaml")
    quiet = {"output_dir": str(folder), "max_steps": 4, "checkpoint_every_steps": 2, "validation": {"objects": 0}}
    apply_overrides(config, quiet | {"data": {"procedural": 3}} | overrides)
    return config


def changed(config: TrainConfig, folder: Path, **overrides) -> TrainConfig:
    apply_overrides(made := TrainConfig(), json.loads(json.dumps(config, default=vars)))
    apply_overrides(made, {"output_dir": str(folder)} | overrides)
    return made


def trained(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value for name, value in trainer.objective.named_parameters() if value.requires_grad}


def assert_same_run(one: Trainer, other: Trainer) -> None:
    assert trained(one).keys() == trained(other).keys()
    for name, value in trained(one).items():
        assert torch.equal(value, trained(other)[name]), name
        assert torch.equal(one.ema.averages[name], other.ema.averages[name]), name
