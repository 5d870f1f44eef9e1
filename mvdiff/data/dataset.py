"""Meshes, packs and procedural objects into a view store on disk, shard by shard."""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mvdiff.data.meshes import MeshSource, find_all, procedural_sources
from mvdiff.data.photographers import Photographers, Shot, record_seed
from mvdiff.data.record import ObjectRecord, RecordConfig
from mvdiff.data.store import SHARD_OBJECTS, StoreWriter, ViewStore
from recon.errors import InputError
from recon.io.bundle import write_bytes

logger = logging.getLogger(__name__)


@dataclass
class RenderDataset:
    meshes: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Folders of meshes, single meshes or mesh packs."""
    output: Path = Path("views")
    """Folder of the store; the same command goes on where it was interrupted."""
    procedural: int = 0
    """Number of procedural objects."""
    procedural_seed: int = 1_000_000
    """Seed of the first of them."""
    variants: int = 1
    """Records of each mesh; all but the first are warped."""
    seed: int = 0
    """Of cameras, lights and warps."""
    device: str = "auto"
    """auto, cpu or cuda."""
    workers: int = 0
    """Processes; 0 works in this one."""
    overwrite: bool = False
    """Replace a store of other objects or settings."""
    record: Annotated[RecordConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=RecordConfig)

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        least = {"procedural": 0, "procedural_seed": 0, "variants": 1, "workers": 0, "seed": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"--{name.replace('_', '-')} is at least {low}, not {getattr(self, name)}.")
        for name, low in {"size": 16, "supersample": 1, "ring_views": 6, "references": 1}.items():
            if getattr(self.record, name) < low:
                raise InputError(f"--{name.replace('_', '-')} is at least {low}, not {getattr(self.record, name)}.")
        if not self.meshes and not self.procedural:
            raise InputError("There is nothing to render: name meshes or mesh packs, or pass --procedural.")

    def shots(self) -> list[Shot]:
        """As training takes them of the same meshes (mvdiff.training.data)."""
        sources = find_all(self.meshes)
        sources += procedural_sources(range(self.procedural_seed, self.procedural_seed + self.procedural))
        return [
            Shot(source, record_seed(self.seed, index, variant), warp=variant > 0)
            for variant in range(self.variants)
            for index, source in enumerate(sources)
        ]


def render_dataset(config: RenderDataset) -> Iterator[tuple[int, int]]:
    """Render what is not there yet, yielding (objects done, objects in all) after each shard; then close the store."""
    config.check()
    shots = config.shots()
    from mvdiff.pipelines.image_to_3d import pick_device  # after the cheap checks: it takes seconds

    device = pick_device(config.device)
    parts = [shots[start : start + SHARD_OBJECTS] for start in range(0, len(shots), SHARD_OBJECTS)]
    keys = [_key(part, config.record) for part in parts]
    plan = hashlib.sha256("".join(keys).encode()).hexdigest()
    _claim(config.output, plan, config.overwrite)
    writer = StoreWriter(config.output, config.record)
    with closing(Photographers(config.record, device, config.workers)) as photographers:
        for number, (part, key) in enumerate(zip(parts, keys, strict=True)):
            if not writer.keep(number, key):
                writer.write(number, _photographed(photographers, part), key)
            yield min((number + 1) * SHARD_OBJECTS, len(shots)), len(shots)
    writer.finish()


def _photographed(photographers: Photographers, shots: list[Shot]) -> ViewStore:
    store, count = ViewStore.empty(len(shots), photographers.config), 0
    for shot, record in photographers.take_all(shots):
        if isinstance(record, ObjectRecord):
            store.put(count, record, shot.source.name)
            count += 1
        else:
            logger.warning("%s is skipped: %s", shot.source.name, record)
    return store.truncated(count)


def _key(shots: list[Shot], config: RecordConfig) -> str:
    """Of all that the pictures depend on; files count by name, size and time of change."""
    objects = [(shot.seed, shot.warp, shot.source.name, shot.source.index, _stamp(shot.source)) for shot in shots]
    return hashlib.sha256(json.dumps([asdict(config), objects]).encode()).hexdigest()


def _stamp(source: MeshSource) -> tuple[int, int] | None:
    if source.path is None:
        return None
    status = Path(source.path).stat()
    return status.st_size, status.st_mtime_ns


def _claim(folder: Path, plan: str, overwrite: bool) -> None:
    """Take the folder for this plan; one that holds anything else is refused."""
    marker = folder / "plan.txt"
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        known = marker.read_text("utf-8", errors="replace").strip() if marker.is_file() else None
        if known != plan:
            raise InputError(
                f"'{folder}' holds other files or other pictures: choose another folder, or pass --overwrite."
            )
    write_bytes(marker, plan.encode())
