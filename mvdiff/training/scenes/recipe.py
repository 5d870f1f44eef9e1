"""Training on scenes, for the trainer."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from mvdiff.pipelines.scene_diffusion import SCENE_SHIFT, SceneDiffusionPipeline
from mvdiff.sampling.schedulers import make_scheduler
from mvdiff.training.config import TrainConfig
from mvdiff.training.export import replace_folder
from mvdiff.training.model_card import write_card
from mvdiff.training.scenes.config import SceneMixture
from mvdiff.training.scenes.data import ScenePictures, load_scenes
from mvdiff.training.scenes.objective import SceneObjective, build_scene_transformer
from mvdiff.training.scenes.validation import sample_validation, validation_loss
from recon.core.errors import InputError

_SPHERES, _STATIONS = SceneMixture(1, 0, 0, 0), SceneMixture(0, 1, 0, 0)


class SceneRecipe:
    """Multi-view diffusion of scenes from one photo."""

    #: Not TF32: what multiplies in 32 bits are cameras and places, which it would move by tenths of a pixel.
    matmul_precision = "highest"

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        if config.lora.rank:
            raise InputError("LoRAs of scenes are not supported: set lora.rank 0.")

    def objective(self) -> SceneObjective:
        return SceneObjective(build_scene_transformer(self.config.model), self.config.scenes.loss)

    def pictures(self, device: torch.device, process_index: int) -> ScenePictures:
        scenes = self.config.scenes
        return load_scenes(scenes.data, scenes.batch, self.config.seed, device, process_index)

    def validate(
        self,
        averaged: SceneObjective,
        teacher: nn.Module | None,
        pictures: ScenePictures,
        device: torch.device,
        picture: Path,
    ) -> dict[str, float]:
        config = self.config.validation
        spheres, stations = (pictures.validation_batch(config.objects, device, m) for m in (_SPHERES, _STATIONS))
        batches = {"sphere": spheres, "station": stations}
        values = validation_loss(averaged.transformer, batches, self.config.scenes.loss)
        if config.sampled_objects:
            with torch.autocast(device.type, enabled=False):
                values |= sample_validation(averaged.transformer, spheres, stations, config, picture)
        return values

    def export(self, folder: Path, averaged: SceneObjective, raw: SceneObjective, provenance: dict[str, Any]) -> None:
        """``ema/`` to use and ``raw/`` to continue from."""
        for name, objective in (("ema", averaged), ("raw", raw)):
            pipeline = SceneDiffusionPipeline(objective.transformer, make_scheduler(shift=SCENE_SHIFT))
            final = replace_folder(folder / name, pipeline.save_pretrained)
            write_card(final, provenance)
