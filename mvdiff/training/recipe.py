"""Recipes: the networks, pictures, validation and export of a kind of training run.

The trainer does the same for all of them: steps, averages, checkpoints, clocks, logs.
"""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from mvdiff.training.config import TrainConfig
from mvdiff.training.data import load_data, record_config
from mvdiff.training.export import export_run
from mvdiff.training.objective import Objective, build_models, build_teacher
from mvdiff.training.validation import camera_scores, sample_validation, validation_loss
from recon.core.errors import InputError


@runtime_checkable
class Pictures(Protocol):
    """Training and validation pictures of a run."""

    @property
    def device(self) -> torch.device:
        """Device on which batches are drawn."""

    @property
    def refreshed(self) -> int | None:
        """Number of records replaced so far; None if none ever are."""

    def batch(self, size: int, generator: torch.Generator, device: torch.device) -> Any: ...

    def refresh(self) -> None: ...

    def seek(self, step: int) -> None: ...

    def summary(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


@runtime_checkable
class Recipe(Protocol):
    """Parts of a run that differ between kinds of networks."""

    matmul_precision: str
    """Precision of float32 products on CUDA, as torch.set_float32_matmul_precision takes it."""

    def objective(self) -> nn.Module:
        """Networks and loss; completes the settings with what the networks bring."""

    def pictures(self, device: torch.device, process_index: int) -> Pictures: ...

    def validate(
        self, averaged: nn.Module, teacher: nn.Module | None, pictures: Any, device: torch.device, picture: Path
    ) -> dict[str, float]:
        """Figures of the averaged networks, and a contact sheet in the file ``picture``."""

    def export(self, folder: Path, averaged: nn.Module, raw: nn.Module, provenance: dict[str, Any]) -> None: ...


class ObjectRecipe:
    """Multi-view diffusion of objects and the camera estimator of their photos."""

    matmul_precision = "high"

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        config.data.record = record_config(config.data)
        if config.loss.flow_weight and not config.data.record.num_targets:
            raise InputError("data.record.ring_views 0 leaves no views to learn from: set loss.flow_weight to 0, too.")

    def objective(self) -> Objective:
        config = self.config
        networks = build_models(config)
        config.model.learnt_guidance = networks[0].config.learnt_guidance
        config.model.guidance_below = networks[0].config.guidance_below
        return Objective(*networks, config.loss, config.lora, build_teacher(config, networks[0]))

    def pictures(self, device: torch.device, process_index: int) -> Pictures:
        return load_data(self.config.data, self.config.seed, device, process_index)

    def validate(
        self, averaged: Objective, teacher: nn.Module | None, pictures: Any, device: torch.device, picture: Path
    ) -> dict[str, float]:
        config, networks = self.config.validation, (averaged.transformer, averaged.camera_estimator)
        batch = pictures.validation_batch(config.objects, device)
        values: dict[str, float] = validation_loss(*networks, batch, self.config.loss, teacher=teacher)
        values |= camera_scores(averaged.camera_estimator, batch)
        if config.sampled_objects and self.config.loss.flow_weight:
            values |= sample_validation(*networks, batch, config, picture)
        return values

    def export(self, folder: Path, averaged: Objective, raw: Objective, provenance: dict[str, Any]) -> None:
        export_run(folder, averaged, raw, provenance)


def recipe_of(config: TrainConfig) -> Recipe:
    """The recipe that ``config.task`` names."""
    if config.task == "objects":
        return ObjectRecipe(config)
    from mvdiff.training.scenes.recipe import SceneRecipe

    return SceneRecipe(config)
