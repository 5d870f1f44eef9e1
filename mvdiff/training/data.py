"""The pictures that a run trains and validates on."""

import glob
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.data.batch import TrainingBatch, sample_batch
from mvdiff.data.packs import MeshPack
from mvdiff.data.store import StoreRefresher, ViewStore, procedural_meshes
from mvdiff.training.config import DataConfig
from recon.errors import InputError
from recon.mesh import TexturedMesh


@dataclass
class TrainingData:
    store: ViewStore
    validation: ViewStore
    probabilities: Float[Tensor, "o"]
    refresher: StoreRefresher | None
    config: DataConfig

    def batch(self, size: int, generator: torch.Generator, device: torch.device) -> TrainingBatch:
        batch = sample_batch(self.store, size, generator, self.config.batch, self.probabilities)
        return move(batch, device)

    def validation_batch(self, size: int, device: torch.device) -> TrainingBatch:
        """The same objects, views and photos every time, photos as they come."""
        generator = torch.Generator(self.validation.device).manual_seed(0)
        config = replace(self.config.batch, second_reference_probability=0.0, random_rig_probability=0.0)
        return move(sample_batch(self.validation, size, generator, config), device)


def move(batch: TrainingBatch, device: torch.device) -> TrainingBatch:
    return TrainingBatch(**{name: value.to(device) for name, value in vars(batch).items()})


def load_data(config: DataConfig, seed: int, device: torch.device) -> TrainingData:
    """Stores from disk, packs and procedural objects photographed on ``device``."""
    home = device if config.device == "auto" else torch.device("cpu")
    named: list[tuple[str, TexturedMesh]] = []
    held_out: list[tuple[str, TexturedMesh]] = []
    for pattern in config.packs:
        paths = sorted(glob.glob(pattern))
        if not paths:
            raise InputError(f"No mesh pack matches {pattern!r}.")
        for path in paths:
            pack = MeshPack.load(path)
            for index in range(len(pack)):
                target = held_out if index % config.holdout_every == config.holdout_every - 1 else named
                mesh = pack[index]
                if len(mesh):
                    target.append((str(pack.names[index]), mesh))
    if config.procedural:
        seeds = range(config.procedural_seed, config.procedural_seed + config.procedural)
        procedural = list(procedural_meshes(seeds, config.workers))
        held_out += procedural_meshes(range(config.procedural_seed - 16, config.procedural_seed))
    else:
        procedural = []

    stores, meshes = [ViewStore.load(path, home) for path in config.stores], []
    stored = sum(map(len, stores))
    for variant in range(config.variants):
        if named:
            stores.append(_photograph_all(named, config, seed + variant, home, warp=variant > 0))
            meshes += [mesh for _, mesh in named]
    if procedural:
        stores.append(_photograph_all(procedural, config, seed, home, warp=False))
        meshes += [mesh for _, mesh in procedural]
    if not stores:
        raise InputError("There is nothing to train on: set data.stores, data.packs or data.procedural.")
    store = stores[0] if len(stores) == 1 else ViewStore.cat(stores)
    validation = _photograph_all(held_out, config, seed, home, warp=False) if held_out else store
    refresher = None
    if config.refresh_per_step and meshes and stored == 0 and len(meshes) == len(store):
        refresher = StoreRefresher(store, [mesh.to(home) for mesh in meshes], seed)
    return TrainingData(store, validation, store.group_probabilities(config.groups), refresher, config)


def _photograph_all(named: list, config: DataConfig, seed: int, home: torch.device, warp: bool) -> ViewStore:
    return ViewStore.render(named, len(named), config.record, seed, home, warp)
