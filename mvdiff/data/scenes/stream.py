"""A pool of scenes in memory that worker processes renew while training runs."""

import itertools
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Float16, Int8, Int64, UInt8
from torch import Tensor

from mvdiff.data.render.workers import Workers, deaths_told
from mvdiff.data.scenes.make import make_scene
from mvdiff.data.scenes.record import SceneConfig, SceneRecord, record_arrays, record_scene
from mvdiff.data.scenes.scene import Split
from recon.core.errors import InputError

#: Seconds between looks at whether a record is ready.
_PATIENCE = 0.02


@dataclass(frozen=True)
class SceneJob:
    """One record to make; it depends on nothing else."""

    kind: str | None
    seed: int
    split: Split = "train"
    packs: tuple[Path, ...] = ()
    config: SceneConfig = field(default_factory=SceneConfig)

    def run(self) -> SceneRecord:
        scene = make_scene(self.kind, self.seed, self.split, self.packs)
        return record_scene(scene, self.seed, self.config)


def run_job(job: SceneJob) -> SceneRecord:
    """For worker processes."""
    return job.run()


@dataclass(frozen=True)
class SceneStore:
    """Records of ``s`` scenes as big tensors on one device; fields as in :class:`SceneRecord`."""

    rgba: UInt8[Tensor, "s v 4 h w"]
    normal: Int8[Tensor, "s v 3 h w"]
    depth: Float16[Tensor, "s v h w"]
    c2w: Float[Tensor, "s v 4 4"]
    intrinsics: Float[Tensor, "s v 3 3"]
    place: Int64[Tensor, "s v"]
    role: UInt8[Tensor, "s v"]
    kinds: list[str]
    hidden: list[dict[str, str]]

    @staticmethod
    def empty(count: int, config: SceneConfig, device: torch.device | str = "cpu") -> "SceneStore":
        arrays = {
            name: torch.zeros((count, *shape), dtype=getattr(torch, kind.__name__), device=device)
            for name, (kind, shape) in record_arrays(config).items()
        }
        return SceneStore(**arrays, kinds=[""] * count, hidden=[{} for _ in range(count)])

    def __len__(self) -> int:
        return len(self.rgba)

    @property
    def device(self) -> torch.device:
        return self.rgba.device

    def put(self, index: int, record: SceneRecord) -> None:
        for name in record_arrays(SceneConfig()):
            value = torch.from_numpy(getattr(record, name))
            if self.device.type == "cuda":
                value = value.pin_memory()  # a copy from other memory would wait for all work queued on the device
            getattr(self, name)[index] = value.to(self.device, non_blocking=True)
        self.kinds[index], self.hidden[index] = record.kind, record.hidden


@dataclass(frozen=True)
class SceneStreamConfig:
    """Settings of the scenes' stream and of its memory."""

    capacity: int = 512
    """Scenes in memory at once."""
    workers: int = 0
    """Processes that make scenes; 0 makes them in this one, step by step."""
    seed: int = 0
    """Seed of the first scene; the next scenes have the following ones."""
    split: Split = "train"
    """Split of seeds, things and parameter ranges: train, validation or held_out."""
    kind: str | None = None
    """One kind of scene; by default the usual mixture."""
    packs: tuple[Path, ...] = ()
    """Mesh packs whose furniture stands in the scenes."""
    record: SceneConfig = field(default_factory=SceneConfig)
    """Views of each scene."""

    def __post_init__(self) -> None:
        if self.capacity < 1 or self.seed < 0:
            raise InputError("A stream of scenes has a capacity of 1 or more and a seed of 0 or more.")


class SceneStream:
    """Keeps the newest ``capacity`` scenes in ``store``, the oldest replaced first.

    Scenes enter in the order of their seeds. With workers, how many have entered by a certain step depends on their
    speed; without, each step waits for its own, and a run can be repeated bit for bit.
    """

    def __init__(self, config: SceneStreamConfig, device: torch.device | str = "cpu") -> None:
        self.config, self.store = config, SceneStore.empty(config.capacity, config.record, device)
        self._workers, self._waiting = Workers(config.workers), deque[Future]()
        self._next = itertools.count(config.seed)
        self.count = 0
        """Scenes that have entered so far."""

    def __len__(self) -> int:
        """Scenes that the store holds."""
        return min(self.count, len(self.store))

    def fill(self, count: int | None = None) -> None:
        """Wait until the store holds ``count`` scenes (by default as many as it can)."""
        wanted = min(count or len(self.store), len(self.store))
        while len(self) < wanted:
            if not self.refresh(1):
                time.sleep(_PATIENCE)

    def refresh(self, count: int = 1) -> int:
        """Put in at most ``count`` scenes that are ready; returns how many."""
        ahead = count if self._workers.count == 0 else max(count, 3 * self._workers.count)
        while len(self._waiting) < ahead:
            self._waiting.append(self._workers.submit(run_job, self._job(next(self._next))))
        for done in range(count):
            if not self._waiting[0].done():
                return done
            with deaths_told():
                record = self._waiting.popleft().result()
            self.store.put(self.count % len(self.store), record)
            self.count += 1
        return count

    def close(self) -> None:
        self._workers.close()

    def _job(self, seed: int) -> SceneJob:
        c = self.config
        return SceneJob(c.kind, seed, c.split, c.packs, c.record)
