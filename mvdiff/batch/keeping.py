"""The part of a run folder that a batch keeps."""

import os
from collections.abc import Sequence
from pathlib import Path

from recon.io.folders import MANIFEST

#: Beginnings of the names that each word of ``--keep`` stands for.
_PARTS = {
    "glb": ("hypotheses/", "posterior.glb"),
    "summary": ("summary.json",),
    "report": ("report.html",),
    "views": ("views/",),
    "posterior": ("posterior.npz",),
    "photo": ("photo.", "reference"),
}


def kept_files(names: Sequence[str], keep: Sequence[str]) -> list[str]:
    """Names out of a run's files that are kept, sorted. Only a whole run keeps its manifest, so that no manifest lists
    files which are not there."""
    if "all" in keep:
        return sorted({*names, MANIFEST})
    wanted = tuple(beginning for word in keep for beginning in _PARTS[word])
    return sorted(name for name in names if name.startswith(wanted))


def move_kept(run: Path, target: Path, names: Sequence[str]) -> int:
    """Move the named files of ``run`` to ``target``. Returns their bytes."""
    total = 0
    for name in names:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(run / name, place)
        total += place.stat().st_size
    return total
