"""The pictures that a run trains and validates on."""

import glob
import logging
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.data.batch import TrainingBatch, sample_batch
from mvdiff.data.meshes import is_held_out
from mvdiff.data.photographers import (
    MeshSource,
    Photographers,
    Shot,
    StoreRefresher,
    fill_store,
    pack_sources,
    procedural_sources,
    record_seed,
)
from mvdiff.data.store import ViewStore
from mvdiff.training.config import DataConfig
from recon.errors import InputError

logger = logging.getLogger(__name__)


@dataclass
class TrainingData:
    store: ViewStore
    validation: ViewStore
    probabilities: Float[Tensor, "o"]
    refresher: StoreRefresher | None
    config: DataConfig

    def refresh(self) -> None:
        """Replace some pictures, when the config asks for that."""
        if self.refresher is not None:
            self.refresher.refresh(self.config.refresh_per_step)

    def close(self) -> None:
        if self.refresher is not None:
            self.refresher.photographers.close()

    def batch(self, size: int, generator: torch.Generator, device: torch.device) -> TrainingBatch:
        batch = sample_batch(self.store, size, generator, self.config.batch, self.probabilities)
        return move(batch, device)

    def validation_batch(self, size: int, device: torch.device) -> TrainingBatch:
        """The same objects, views and photos every time."""
        generator = torch.Generator(self.validation.device).manual_seed(0)
        config = replace(self.config.batch, second_reference_probability=0.0, random_rig_probability=0.0)
        return move(sample_batch(self.validation, size, generator, config), device)


def move(batch: TrainingBatch, device: torch.device) -> TrainingBatch:
    return TrainingBatch(**{name: value.to(device) for name, value in vars(batch).items()})


def load_data(config: DataConfig, seed: int, device: torch.device, process_index: int = 0) -> TrainingData:
    """Stores from disk, packs and procedural objects photographed on ``device``.

    All processes have the same pictures, unless they are replaced while training: then each has its own from the start.
    """
    home = device if config.device == "auto" else torch.device("cpu")
    meshes, held_out = _sources(config)
    photographers = Photographers(config.record, home, config.workers)
    stores = [ViewStore.load(path, home) for path in config.stores]
    refresher = None
    own_seed = seed + 7919 * process_index * bool(config.refresh_per_step)
    if meshes:
        shots = [
            Shot(source, record_seed(own_seed, index, variant), warp=variant > 0)
            for variant in range(config.variants)
            for index, source in enumerate(meshes)
        ]
        rendered, sources = fill_store(photographers, shots, home)
        if config.refresh_per_step and not stores:
            # Beside the training step: on the processors, while the device is busy.
            behind = Photographers(config.record, "cpu", config.workers)
            new_seeds = config.procedural_seed + config.procedural + process_index * 10_000_000
            refresher = StoreRefresher(rendered, sources, behind, own_seed, new_seeds)
        stores.append(rendered)
    if not stores:
        raise InputError("There is nothing to train on: set data.stores, data.packs or data.procedural.")
    store = stores[0] if len(stores) == 1 else ViewStore.cat(stores)
    validation = store
    if not held_out:
        logger.warning("Nothing is held out (data.stores alone): validation runs on objects that are trained on.")
    else:
        shots = [Shot(source, record_seed(0, index, 0), warp=False) for index, source in enumerate(held_out)]
        validation = fill_store(photographers, shots, home)[0]
    photographers.close()
    return TrainingData(store, validation, store.group_probabilities(config.groups), refresher, config)


def _sources(config: DataConfig) -> tuple[list[MeshSource], list[MeshSource]]:
    """Meshes to train on and to validate on."""
    meshes: list[MeshSource] = []
    held_out: list[MeshSource] = []
    for pattern in config.packs:
        paths = sorted(glob.glob(pattern))
        if not paths:
            raise InputError(f"No mesh pack matches {pattern!r}.")
        for path in paths:
            for number, source in enumerate(pack_sources(path)):
                (held_out if is_held_out(number, config.holdout_every) else meshes).append(source)
    if config.procedural:
        first = config.procedural_seed
        meshes += procedural_sources(range(first, first + config.procedural))
        held_out += procedural_sources(range(first - 16, first))
    return meshes, held_out
