"""Meshes, packs and procedural objects into tar shards, shard by shard."""

import functools
import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mvdiff.data.render.config import RenderDataset
from mvdiff.data.render.jobs import Photographers, Shot, record_seed
from mvdiff.data.render.record import ObjectRecord, RecordConfig
from mvdiff.data.sources.meshes import MeshSource, find_all, procedural_sources
from mvdiff.data.sources.named_files import missing_textures
from mvdiff.data.sources.packing import credit_of, gltf_copyright, read_credits
from mvdiff.data.stores.shards import SHARD_OBJECTS, ShardInfo, ShardObject, ShardWriter
from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.io.folders import place_errors_told, write_bytes
from recon.io.locks import LOCK, hold

logger = logging.getLogger(__name__)

_OWN = {"licence": "Apache-2.0", "creator": "mvdiff", "source": "procedural"}


def plan_shots(config: RenderDataset) -> list[Shot]:
    """As training takes them of the same meshes (mvdiff.training.data)."""
    sources = find_all(config.meshes)
    sources += procedural_sources(range(config.procedural_seed, config.procedural_seed + config.procedural))
    return [
        Shot(source, record_seed(config.seed, index, variant), warp=variant > 0)
        for variant in range(config.variants)
        for index, source in enumerate(sources)
    ]


def balanced(shots: list[Shot]) -> list[list[Shot]]:
    """Shards that differ by one object at most and share out every family of objects alike."""
    count = -(-len(shots) // SHARD_OBJECTS)
    return [shots[number::count] for number in range(count)]


def render_dataset(config: RenderDataset) -> Iterator[tuple[int, int, ShardInfo | None]]:
    """Render what is not there yet, then close the data set.

    Yields (objects looked at, objects in all, the shard that has just been finished), often enough for a progress bar.
    """
    config.check()
    credits = {} if config.credits is None else read_credits(config.credits)
    shots = plan_shots(config)
    from mvdiff.devices import pick_device  # after the cheap checks: it takes seconds

    device = pick_device(config.device)
    parts = balanced(shots)
    keys = [_key(part, config.record) for part in parts]
    plan = hashlib.sha256("".join(keys).encode()).hexdigest()
    claim(config.output, plan, config.overwrite)
    writer, done = ShardWriter(config.output, config.record), 0
    with closing(Photographers(config.record, device, config.workers)) as photographers:
        for part, key in zip(parts, keys, strict=True):
            if not writer.keep(key):
                taken: list[ShardObject] = []
                skipped: dict[str, str] = {}
                for looked_at, (shot, record) in enumerate(photographers.take_all(part), 1):
                    if isinstance(record, ObjectRecord):
                        taken.append(ShardObject(record, _origin(shot, credits)))
                    else:
                        skipped[shot.source.name] = record
                        logger.warning("%s is skipped: %s", shot.source.name, record)
                    yield done + looked_at, len(shots), None
                writer.write(key, taken, skipped)
            done += len(part)
            yield done, len(shots), writer.shards[-1]
    writer.finish()


def _origin(shot: Shot, credits: dict[str, dict[str, str | None]]) -> dict[str, Any]:
    """Name, license, creator and source of an object, and which of its variants this is."""
    source = shot.source
    origin: dict[str, Any] = {"name": source.name, "warped": shot.warp, **origin_of(source, credits)}
    if source.path is None:
        return origin
    path = Path(source.path)
    missing = missing_textures(path)
    if missing:
        origin["note"] = f"rendered without {', '.join(missing)}, which is not beside '{path.name}'"
    return origin | {"file": path.name}


def origin_of(source: MeshSource, credits: dict[str, dict[str, str | None]]) -> dict[str, str | None]:
    """Licence, creator and source: of ``credits``, of the manifest beside a mesh pack, or of the GLB itself."""
    if source.path is None:
        return dict(_OWN)
    path = Path(source.path)
    if path.suffix.lower() == ".npz":
        credits = credits | _pack_credits(str(path.with_suffix(".manifest.jsonl")))
    credit = credit_of(source.name, path, credits)
    if path.suffix.lower() in (".glb", ".gltf") and credit["licence"] is None:
        credit["licence"] = gltf_copyright(path)
    return credit


@functools.lru_cache(maxsize=64)
def _pack_credits(path: str) -> dict[str, dict[str, str | None]]:
    return read_credits(Path(path)) if is_file(Path(path)) else {}


def _key(shots: list[Shot], config: RecordConfig) -> str:
    """Hash of everything that the images depend on; files count by name, size and modification time."""
    objects = [(shot.seed, shot.warp, shot.source.name, shot.source.index, _stamp(shot.source)) for shot in shots]
    return hashlib.sha256(json.dumps([asdict(config), objects]).encode()).hexdigest()


def _stamp(source: MeshSource) -> tuple[int, int] | None:
    if source.path is None:
        return None
    status = Path(source.path).stat()
    return status.st_size, status.st_mtime_ns


def claim(folder: Path, plan: str, overwrite: bool) -> None:
    """Take the folder for this plan; one that holds anything else, or that another process writes to, is refused."""
    with place_errors_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _lock = hold(folder)  # until the writer holds it
        occupied = any(path.name != LOCK for path in folder.iterdir())
    marker = folder / "plan.txt"
    if occupied and not overwrite:
        known = marker.read_text("utf-8", errors="replace").strip() if is_file(marker) else None
        if known != plan:
            raise InputError(
                f"'{folder}' holds other files or other pictures: choose another folder, or pass --overwrite."
            )
    write_bytes(marker, plan.encode())
