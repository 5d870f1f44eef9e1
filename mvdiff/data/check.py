"""A look at a data set before hours of training go into it: a contact sheet, figures, licenses."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.data.render.record import ObjectRecord
from mvdiff.data.stores.shards import ShardReader
from recon.io.folders import atomic_write, write_json

SHEET, FIGURES = "contact_sheet.png", "statistics.json"
#: An object that covers less of its pictures than this is probably lost in the distance, or a sheet seen edge-on.
_LITTLE = 0.02
_UNKNOWN = "unknown"
_CHANNELS = {"colour": 0, "alpha": 3, "normal": 4, "depth": 7}


@dataclass
class DatasetFigures:
    """Findings of one pass over all objects."""

    objects: int = 0
    shards: dict[str, int] = field(default_factory=dict)
    """Largest and smallest shard, in objects."""
    coverage: dict[str, float] = field(default_factory=dict)
    """Share of the delit pictures that the object covers: mean, smallest, largest."""
    missing_channels: dict[str, int] = field(default_factory=dict)
    """Objects without a channel (posed photo sets)."""
    licences: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    """Objects by the first part of their name, which training can weigh."""
    skipped: dict[str, str] = field(default_factory=dict)
    suspicious: dict[str, str] = field(default_factory=dict)
    """Objects to look at, and why."""


def check_dataset(
    url: str | Path, objects: int = 32
) -> Iterator[tuple[int, int, DatasetFigures, Float[Tensor, "3 hh ww"] | None]]:
    """Read every object once; yields (read, all, figures so far, and at the end the contact sheet of ``objects``)."""
    reader = ShardReader(url)
    figures, rows = DatasetFigures(), []
    shown = set(np.linspace(0, len(reader) - 1, min(objects, len(reader))).round().astype(int).tolist())
    sizes = [len(shard.origins) for shard in reader.shards]
    figures.shards = {"count": len(sizes), "smallest": min(sizes), "largest": max(sizes)}
    figures.skipped = {name: why for shard in reader.shards for name, why in shard.skipped.items()}
    coverages: list[float] = []
    seen: dict[bytes, str] = {}
    licences: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for item in (item for number in range(len(reader.shards)) for item in reader.read(number)):
        if figures.objects in shown:
            rows.append(_row(item.record))
        figures.objects += 1
        licences[_licence(item.origin)] += 1
        missing.update(name for name, at in _CHANNELS.items() if not item.record.known[at])
        groups[item.name.split("/")[0] if "/" in item.name else "(no group)"] += 1
        coverages.append(float((item.record.targets[:, 3] > 127).float().mean()))
        suspicion = item.origin.get("note") or _suspicion(item.record, coverages[-1])
        digest = hashlib.sha256(item.record.targets.numpy()).digest()
        if digest in seen:
            suspicion = f"the same pictures as {seen[digest]}"
        seen.setdefault(digest, item.name)
        if suspicion:
            figures.suspicious[item.name] = suspicion
        figures.missing_channels = dict(missing)
        figures.licences, figures.groups = dict(licences.most_common()), dict(groups.most_common())
        figures.coverage = {
            "mean": round(float(np.mean(coverages)), 4),
            "smallest": round(min(coverages), 4),
            "largest": round(max(coverages), 4),
        }
        last = figures.objects == len(reader)
        yield figures.objects, len(reader), figures, torch.cat(rows, -2) if last else None


def write_check(folder: Path, figures: DatasetFigures, sheet: Float[Tensor, "3 hh ww"]) -> tuple[Path, Path]:
    from PIL import Image

    with atomic_write(folder / SHEET) as temporary:
        Image.fromarray((sheet * 255).round().byte().permute(1, 2, 0).numpy()).save(temporary)
    return folder / SHEET, write_json(folder / FIGURES, vars(figures))


def _licence(origin: dict[str, Any]) -> str:
    return str(origin.get("licence") or _UNKNOWN)


def _suspicion(record: ObjectRecord, coverage: float) -> str | None:
    inside = record.targets[:, 3] > 127
    if not inside.flatten(1).any(1).all():
        return "it is invisible from some sides"
    if coverage < _LITTLE:
        return f"it covers only {coverage:.1%} of its pictures"
    colors = record.targets[:, :3].transpose(0, 1)[:, inside].float()
    if colors.mean() < 8:
        return "it is black"
    if float(colors.std(1).max()) < 1:
        return "it has one colour only: a missing texture?"
    return None


def _row(record: ObjectRecord) -> Float[Tensor, "3 h ww"]:
    """Two photos; delit color, normal and depth of three views."""
    photos = [_over_white(photo.float() / 255) for photo in record.references[:2]]
    views = record.targets[:: max(1, len(record.targets) // 3)][:3].float() / 255
    return torch.cat([*photos, *(picture for view in views for picture in _channels(view))], -1)


def _channels(view: Float[Tensor, "8 h w"]) -> list[Float[Tensor, "3 h w"]]:
    color, alpha, normal, depth = view.split([3, 1, 3, 1])
    return [_over_white(torch.cat([part.expand(3, -1, -1), alpha])) for part in (color, normal, 1 - depth)]


def _over_white(rgba: Float[Tensor, "4 h w"]) -> Float[Tensor, "3 h w"]:
    return rgba[:3] * rgba[3:] + 1 - rgba[3:]
