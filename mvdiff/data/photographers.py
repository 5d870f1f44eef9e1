"""Processes that photograph meshes, before and during training."""

import functools
import logging
import multiprocessing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from mvdiff.data.meshes import MeshSource, pack_sources, procedural_sources
from mvdiff.data.record import ObjectRecord, RecordConfig, render_record
from mvdiff.data.store import ViewStore
from mvdiff.data.warp import Dice, warp_mesh
from mvdiff.data.workers import Workers
from recon.errors import InputError

__all__ = [
    "MeshSource",
    "Photographers",
    "Shot",
    "StoreRefresher",
    "fill_store",
    "pack_sources",
    "procedural_sources",
    "record_seed",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shot:
    """One record to make; it depends on nothing else."""

    source: MeshSource
    seed: int
    warp: bool


def record_seed(seed: int, index: int, round_: int) -> int:
    """Independent of the order in which objects are photographed."""
    return ((seed * 1_000_003 + index) * 100_003 + round_) % 2**63


class Photographers:
    """``workers`` processes (0: this one) that turn shots into records on ``device``."""

    def __init__(self, config: RecordConfig, device: torch.device | str = "cpu", workers: int = 0) -> None:
        self.config, self.device = config, str(device)
        self._workers = Workers(workers)

    def take_all(self, shots: Iterable[Shot], ahead: int = 64) -> Iterator[tuple[Shot, ObjectRecord | str]]:
        """Records in the order of ``shots``, or for a mesh that cannot be used the reason."""
        take = functools.partial(_take, config=self.config, device=self.device)
        for shot, answer in self._workers.map(take, shots, ahead):
            yield shot, ObjectRecord(*map(torch.from_numpy, answer)) if isinstance(answer, tuple) else answer

    def close(self) -> None:
        self._workers.close()


def _take(shot: Shot, config: RecordConfig, device: str):
    """An ``ObjectRecord``, or its arrays when it must travel, or why there is none."""
    try:
        mesh = shot.source.load()
        if len(mesh) == 0 or not torch.isfinite(mesh.vertices).all():
            return "it has no faces or no finite positions"
    except InputError as error:
        return str(error)
    mesh = mesh.to(device)
    record = render_record(warp_mesh(mesh, Dice(shot.seed)) if shot.warp else mesh, shot.seed, config)
    if multiprocessing.parent_process() is None:
        return record
    # As numpy: a tensor would hold a file descriptor while it travels.
    return tuple(value.cpu().numpy() for value in vars(record).values())


def fill_store(
    photographers: Photographers, shots: list[Shot], device: torch.device | str = "cpu"
) -> tuple[ViewStore, list[MeshSource]]:
    """A store of all shots that could be taken, and the source of each of its objects; bad meshes are named."""
    store, sources = ViewStore.empty(len(shots), photographers.config, device), []
    for shot, record in photographers.take_all(shots):
        if isinstance(record, str):
            logger.warning("%s is skipped: %s", shot.source.name, record)
            continue
        store.put(len(sources), record, shot.source.name)
        sources.append(shot.source)
    if not sources:
        raise InputError("There is not one usable mesh to render; check the mesh folder or pack.")
    return store.truncated(len(sources)), sources


class StoreRefresher:
    """Replaces records by new variants of their meshes while training runs, so that few pictures are seen often."""

    def __init__(self, store: ViewStore, sources: list[MeshSource], seed: int) -> None:
        if len(sources) != len(store):
            raise ValueError(f"A store of {len(store)} objects needs as many sources, got {len(sources)}.")
        self.store, self.sources, self.seed = store, sources, seed
        # The renderer waits for its own results; on a stream of its own that is not a wait for the training step.
        self._stream = torch.cuda.Stream(store.device, priority=-1) if store.device.type == "cuda" else None

    def refresh(self, step: int, count: int) -> None:
        """Photograph ``count`` objects anew; which ones and how depends on (seed, step) alone."""
        generator = torch.Generator().manual_seed(record_seed(self.seed, step, 1))
        for index in torch.randint(len(self.store), (count,), generator=generator).tolist():
            shot = Shot(self.sources[index], record_seed(self.seed + 1, index, step), warp=True)
            with torch.cuda.stream(self._stream):
                record = _take(shot, self.store.config, str(self.store.device))
            if isinstance(record, str):
                continue
            if self._stream is not None:
                current = torch.cuda.current_stream(self.store.device)
                current.wait_stream(self._stream)
                for value in vars(record).values():
                    if value.is_cuda:
                        value.record_stream(current)
            self.store.put(index, record)
