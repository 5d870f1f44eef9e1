"""Scenes into tar shards, shard by shard."""

import hashlib
import itertools
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvdiff.data.dataset import claim
from mvdiff.data.render.workers import Workers
from mvdiff.data.scenes.record import SceneConfig, SceneRecord, record_arrays
from mvdiff.data.scenes.render_config import RenderScenes
from mvdiff.data.scenes.sheet import contact_row
from mvdiff.data.scenes.stream import SceneJob, run_job
from mvdiff.data.stores.shards import RecordKind, ShardInfo, ShardObject, ShardReader, ShardWriter
from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.io.folders import atomic_write

SHEET = "contact_sheet.png"
#: Scenes a shard: some hundred megabytes at 128 pixels and 28 views.
_SHARD_SCENES = 32


def _tensors(record: SceneRecord) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(getattr(record, name)) for name in record_arrays(SceneConfig())}


def _record(arrays: dict[str, torch.Tensor], origin: dict[str, Any]) -> SceneRecord:
    about = {name: origin[name] for name in ("kind", "hidden", "seed", "split")}
    return SceneRecord(**{name: value.numpy() for name, value in arrays.items()}, **about)


#: Data sets of scenes, for :class:`ShardReader` and :class:`ShardWriter`.
SCENES = RecordKind(
    "mvdiff-scenes/1",
    SceneConfig,
    lambda config: {name: shape for name, (_, shape) in record_arrays(config).items()},
    _tensors,
    _record,
    "mvdiff data render-scenes",
)


def render_scenes(config: RenderScenes) -> Iterator[tuple[int, int, ShardInfo | None]]:
    """Render what is not there yet, then close the data set and draw its contact sheet.

    Yields (scenes made, scenes in all, the shard that has just been finished).
    """
    config.check()
    packs = tuple(Path(pack) for pack in config.packs)
    for pack in packs:
        if not is_file(pack):
            raise InputError(f"There is no mesh pack '{pack}': name .npz files made with tools/pack_meshes.py.")
    jobs = [SceneJob(config.kind, seed, config.split, packs, config.record) for seed in config.seeds]
    parts = [jobs[start : start + _SHARD_SCENES] for start in range(0, len(jobs), _SHARD_SCENES)]
    keys = [_key(part) for part in parts]
    claim(config.output, hashlib.sha256("".join(keys).encode()).hexdigest(), config.overwrite)
    writer, done = ShardWriter(config.output, config.record, SCENES), 0
    with closing(Workers(config.workers)) as workers:
        for part, key in zip(parts, keys, strict=True):
            if not writer.keep(key):
                made: list[ShardObject] = []
                for job, record in workers.map(run_job, part):
                    made.append(ShardObject(record, _origin(job, record)))
                    yield done + len(made), len(jobs), None
                writer.write(key, made)
            done += len(part)
            yield done, len(jobs), writer.shards[-1]
    writer.finish()
    _write_sheet(config)


def _origin(job: SceneJob, record: SceneRecord) -> dict[str, Any]:
    licence = "Apache-2.0" if not job.packs else "Apache-2.0, with meshes under the licences of their packs"
    about = {"kind": record.kind, "hidden": record.hidden, "seed": record.seed, "split": record.split}
    name = f"scene/{record.kind}/{record.split}/{record.seed}"
    packs = [pack.name for pack in job.packs]
    return {"name": name, "licence": licence, "creator": "mvdiff", "source": "procedural", "packs": packs, **about}


def _key(jobs: list[SceneJob]) -> str:
    """Hash of everything that the images depend on; packs count by name, size and modification time."""
    stamps = {str(pack): (pack.stat().st_size, pack.stat().st_mtime_ns) for pack in jobs[0].packs}
    plan = [[job.kind, job.seed, job.split, asdict(job.config)] for job in jobs]
    return hashlib.sha256(json.dumps([SCENES.format, stamps, plan]).encode()).hexdigest()


def _write_sheet(config: RenderScenes) -> None:
    """Contact sheet of the first scenes, read back from their shards."""
    from PIL import Image

    reader = ShardReader(config.output, SCENES)
    scenes = (item.record for number in range(len(reader.shards)) for item in reader.read(number))
    rows = [contact_row(record) for record in itertools.islice(scenes, config.sheet)]
    if rows:
        with atomic_write(config.output / SHEET) as temporary:
            Image.fromarray(np.concatenate(rows)).save(temporary, format="PNG")
