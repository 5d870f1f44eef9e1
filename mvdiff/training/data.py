"""The pictures that a run trains and validates on."""

import glob
import logging
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.data.batch import TrainingBatch, sample_batch
from mvdiff.data.dataset import origin_of
from mvdiff.data.render.jobs import (
    Photographers,
    Shot,
    StoreRefresher,
    fill_store,
    procedural_sources,
    record_seed,
)
from mvdiff.data.render.record import RecordConfig
from mvdiff.data.sources.meshes import MeshSource, find_meshes, is_held_out
from mvdiff.data.stores.shards import ShardReader
from mvdiff.data.stores.store import ViewStore, joined_config
from mvdiff.data.stores.stream import ViewStream
from mvdiff.training.config import DataConfig
from recon.core.errors import InputError

logger = logging.getLogger(__name__)


@dataclass
class TrainingData:
    store: ViewStore
    validation: ViewStore | None
    """Objects that are never trained on; None where there are too few."""
    probabilities: Float[Tensor, "o"]
    refresher: StoreRefresher | ViewStream | None
    config: DataConfig
    licences: dict[str, int]
    """Objects by license."""

    @property
    def device(self) -> torch.device:
        return self.store.device

    @property
    def refreshed(self) -> int | None:
        return None if self.refresher is None else self.refresher.count

    def summary(self) -> dict[str, Any]:
        """For the model card."""
        held_out = 0 if self.validation is None else len(self.validation)
        return {"objects": len(self.store), "held_out": held_out, "licences": self.licences}

    def refresh(self) -> None:
        """Replace some pictures, when the config asks for that."""
        if self.refresher is not None:
            self.refresher.refresh(self.config.refresh_per_step)

    def seek(self, step: int) -> None:
        """Hold what an unbroken run would hold after ``step`` steps (of a data set; new photographs differ)."""
        if isinstance(self.refresher, ViewStream):
            self.refresher.seek(step * self.config.refresh_per_step)

    def close(self) -> None:
        if self.refresher is not None:
            self.refresher.close()

    def batch(self, size: int, generator: torch.Generator, device: torch.device) -> TrainingBatch:
        batch = sample_batch(self.store, size, generator, self.config.batch, self.probabilities)
        return move(batch, device)

    def validation_batch(self, size: int, device: torch.device) -> TrainingBatch:
        """The same objects, views and photos every time."""
        store = self.store if self.validation is None else self.validation
        generator = torch.Generator(store.device).manual_seed(0)
        config = replace(self.config.batch, second_reference_probability=0.0, random_rig_probability=0.0)
        return move(sample_batch(store, size, generator, config), device)


def move(batch: TrainingBatch, device: torch.device) -> TrainingBatch:
    return TrainingBatch(**{name: value.to(device) for name, value in vars(batch).items()})


def record_config(config: DataConfig) -> RecordConfig:
    """Size of the training images: the data sets' own if there are any."""
    if not config.stores:
        return config.record
    return joined_config(ShardReader(url).config for url in config.stores)


def load_data(config: DataConfig, seed: int, device: torch.device, process_index: int = 0) -> TrainingData:
    """Data sets, and packs and procedural objects photographed on ``device``.

    All processes have the same pictures, unless they are replaced while training: then each has its own from the start.
    """
    home = device if config.device == "auto" else torch.device("cpu")
    readers = [ShardReader(url) for url in config.stores]
    names = sorted({name for reader in readers for name in reader.names})
    apart = {name for name, out in zip(names, held_out(len(names), config.holdout_every), strict=True) if out}
    licences = Counter(
        str(origin.get("licence") or "unknown") for r in readers for shard in r.shards for origin in shard.origins
    )
    meshes, unseen = _sources(config)
    if config.capacity is not None and (meshes or not readers):
        raise InputError("data.capacity is for data sets alone: leave it out with data.packs and data.procedural.")
    if config.capacity is not None:
        stream = ViewStream(readers, config.capacity, seed, home, apart)
        store, refresher = stream.store, stream
        if set(config.groups) != {"*"}:
            raise InputError("data.groups cannot weigh objects that pass by: leave it out with data.capacity.")
    else:
        store, refresher = _in_memory(config, seed, home, process_index, apart, meshes)
    validation = [ViewStore.load(url, home, lambda name: name in apart) for url in config.stores if apart]
    if unseen:
        shots = [Shot(source, record_seed(0, index, 0), warp=False) for index, source in enumerate(unseen)]
        with closing(Photographers(record_config(config), home, config.workers)) as photographers:
            validation.append(fill_store(photographers, shots, home)[0])
    if not validation:
        logger.warning("Nothing is held out of so few objects: validation runs on objects that are trained on.")
    licences.update(str(origin_of(source, {})["licence"] or "unknown") for source in meshes)
    return TrainingData(
        store,
        ViewStore.cat(validation) if validation else None,
        store.group_probabilities(config.groups),
        refresher,
        config,
        dict(licences.most_common()),
    )


def held_out(count: int, every: int) -> list[bool]:
    """Indices of the held-out objects among ``count``: every n-th, and about four if that would be fewer."""
    every = min(every, max(3, count // 4))
    return [count >= 4 and number % every == every - 1 for number in range(count)]


def _in_memory(
    config: DataConfig,
    seed: int,
    home: torch.device,
    process_index: int,
    apart: set[str],
    meshes: list[MeshSource],
) -> tuple[ViewStore, StoreRefresher | None]:
    stores = [ViewStore.load(url, home, lambda name: name not in apart) for url in config.stores]
    refresher = None
    own_seed = seed + 7919 * process_index * bool(config.refresh_per_step)
    if meshes:
        shots = [
            Shot(source, record_seed(own_seed, index, variant), warp=variant > 0)
            for variant in range(config.variants)
            for index, source in enumerate(meshes)
        ]
        with closing(Photographers(record_config(config), home, config.workers)) as photographers:
            rendered, sources = fill_store(photographers, shots, home)
        if config.refresh_per_step and not stores:
            # Beside the training step: on the processors, while the device is busy.
            behind = Photographers(config.record, "cpu", config.workers)
            new_seeds = config.procedural_seed + config.procedural + process_index * 10_000_000
            refresher = StoreRefresher(rendered, sources, behind, own_seed, new_seeds)
        stores.append(rendered)
    if not stores:
        raise InputError("There is nothing to train on: set data.stores, data.packs or data.procedural.")
    return stores[0] if len(stores) == 1 else ViewStore.cat(stores), refresher


def _sources(config: DataConfig) -> tuple[list[MeshSource], list[MeshSource]]:
    """Meshes to train on and to validate on."""
    meshes: list[MeshSource] = []
    unseen: list[MeshSource] = []
    for pattern in config.packs:
        paths = sorted(glob.glob(pattern))
        if not paths:
            raise InputError(f"No mesh pack or folder of meshes matches {pattern!r}.")
        for path in paths:
            for number, source in enumerate(find_meshes(path)):
                (unseen if is_held_out(number, config.holdout_every) else meshes).append(source)
    if config.procedural:
        first = config.procedural_seed
        meshes += procedural_sources(range(first, first + config.procedural))
        unseen += procedural_sources(range(first - 16, first))
    if config.ambiguous:
        meshes += procedural_sources(range(config.procedural_seed, config.procedural_seed + config.ambiguous), True)
    return meshes, unseen
