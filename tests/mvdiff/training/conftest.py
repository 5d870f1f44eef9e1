"""A small data set, a tiny base model, and the settings of a short run on both."""

from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from training_runs import SIZES

from mvdiff.data.dataset import render_dataset
from mvdiff.data.render.config import RenderDataset
from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator
from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.sampling.schedulers import make_scheduler
from mvdiff.training.config import TrainConfig, apply_overrides


@pytest.fixture(scope="package")
def views(tmp_path_factory) -> Path:
    """A small data set of twelve objects."""
    folder = tmp_path_factory.mktemp("data") / "views"
    list(render_dataset(RenderDataset(output=folder, procedural=12, **SIZES)))
    return folder


@pytest.fixture(scope="package")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    transformer = MultiViewTransformer(sample_size=32, reference_size=32, width=64, depth=2, heads=2)
    estimator = PhotoCameraEstimator(sample_size=32, width=32, depth=1, heads=2)
    for parameter in transformer.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.02)
    MultiViewDiffusionPipeline(transformer, estimator, make_scheduler()).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _precision_of_its_own():
    """accelerate keeps the first run's precision for the whole process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def config(views: Path, base: Path, tmp_path: Path) -> TrainConfig:
    made = TrainConfig(output_dir=str(tmp_path / "run"), batch_size=2, max_steps=4, mixed_precision="no")
    overrides = {
        "checkpoint_every_steps": 2,
        "checkpoints_total_limit": 5,
        "model": {"init_from": str(base)},
        "lora": {"rank": 2},
        "data": {"stores": [str(views)]},
        "optimizer": {"name": "adamw", "warmup_steps": 1},
        "validation": {"objects": 0, "sampled_objects": 0},
    }
    apply_overrides(made, overrides)
    return made
