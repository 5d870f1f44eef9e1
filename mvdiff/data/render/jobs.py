"""Processes that photograph meshes, before and during training."""

import functools
import itertools
import logging
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import torch

from mvdiff.data.render.record import ObjectRecord, RecordConfig, render_record
from mvdiff.data.render.workers import Workers, deaths_told
from mvdiff.data.sources.meshes import MeshSource, pack_sources, procedural_sources
from mvdiff.data.stores.store import ViewStore
from mvdiff.data.warp import SeededRandom, warp_mesh
from recon.core.errors import InputError

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

#: Share of the refreshed records whose mesh is warped; the rest are the objects as they are, in another light.
_WARPED = 0.8
#: Azimuths of photos, in degrees.
_AROUND, _FRONT = (0.0, 360.0), (-8.0, 8.0)


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
        self.config = config
        self._workers = Workers(workers)
        self._taker = functools.partial(_take, config=config, device=str(device))

    def take_all(self, shots: Iterable[Shot], ahead: int = 64) -> Iterator[tuple[Shot, ObjectRecord | str]]:
        """Records in the order of ``shots``, or for a mesh that cannot be used the reason."""
        for shot, answer in self._workers.map(self._taker, shots, ahead):
            yield shot, as_record(answer)

    def submit(self, shot: Shot) -> Future:
        """One record to come, for :func:`as_record`."""
        return self._workers.submit(self._taker, shot)

    @property
    def workers(self) -> int:
        return self._workers.count

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
    mesh = warp_mesh(mesh, SeededRandom(shot.seed)) if shot.warp else mesh
    record = render_record(mesh, shot.seed, config, _FRONT if shot.source.faces_camera else _AROUND)
    if multiprocessing.parent_process() is None:
        return record
    # As numpy: a tensor would hold a file descriptor while it travels.
    return tuple(value.cpu().numpy() for value in vars(record).values())


def as_record(answer: "ObjectRecord | tuple | str") -> "ObjectRecord | str":
    """Convert a process' result back to tensors."""
    return ObjectRecord(*map(torch.from_numpy, answer)) if isinstance(answer, tuple) else answer


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
    """Replaces records by new variants of their meshes while training runs, so that few pictures are seen often.

    With worker processes the pictures are made beside the training and put in as they become ready: such a run cannot
    be repeated bit for bit; without workers each step waits for its own, and it can.
    """

    def __init__(
        self, store: ViewStore, sources: list[MeshSource], photographers: Photographers, seed: int, first_new_seed: int
    ) -> None:
        """Procedural objects are replaced by others, of seeds from ``first_new_seed`` on."""
        if len(sources) != len(store):
            raise ValueError(f"A store of {len(store)} objects needs as many sources, got {len(sources)}.")
        self.store, self.photographers, self.seed = store, photographers, seed
        self._sources, self._next = sources, itertools.count()
        self._first_new_seed = first_new_seed
        self._waiting: deque[tuple[int, Future]] = deque()
        self.count = 0
        """Records replaced so far."""

    def refresh(self, count: int) -> None:
        """Put in at most ``count`` new records, in the order in which they were asked for."""
        ahead = count if self.photographers.workers == 0 else max(count, 4 * self.photographers.workers)
        while len(self._waiting) < ahead:
            index, shot = self._shot(next(self._next))
            self._waiting.append((index, self.photographers.submit(shot)))
        for _ in range(count):
            if not self._waiting[0][1].done():
                return
            index, future = self._waiting.popleft()
            with deaths_told():
                record = as_record(future.result())
            if not isinstance(record, str):
                self.store.put(index, record)
                self.count += 1

    def close(self) -> None:
        self.photographers.close()

    def _shot(self, number: int) -> tuple[int, Shot]:
        """Draw job ``number``: index of the record to replace, and its new shot; depends on seed and number alone."""
        dice = SeededRandom(record_seed(self.seed, number, 1))
        index = int(dice.number(0, len(self.store)))
        source = self._sources[index]
        if source.path is None:
            new = self._first_new_seed + number
            source = procedural_sources(range(new, new + 1), source.ambiguous)[0]
        return index, Shot(source, record_seed(self.seed, number, 2), warp=dice.chance(_WARPED))
