"""Finished runs of objects, as verbs print them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def finished_record(photo: Path, folder: str, notes: Sequence[str]) -> dict[str, Any]:
    """The finished run as it is written: files are rounded, and a complete run says the same again."""
    from mvdiff.runs.folder import FolderStore

    store = FolderStore.open(folder)
    return {
        "photo": str(photo),
        "output_dir": str(folder),
        "files": store.manifest["files"],
        "seconds": store.manifest.get("seconds", {}),
        "summary": store.summary,
        "notes": list(notes),
    }


def finished_sentence(run: dict[str, Any]) -> str:
    """Summary of a record, to be printed."""
    summary = run["summary"]
    modes = len(summary["modes"])
    lines = [
        f"{run['output_dir']}: {summary['num_hypotheses']} hypotheses in {modes} mode{'s' if modes > 1 else ''}, "
        f"ambiguity {summary['ambiguity']['value']:.0%}; open {run['output_dir']}/report.html"
    ]
    lines.append(f"  {summary['calibration']['statement']}")
    return "\n".join([*lines, *(f"  note: {note}" for note in [*run["notes"], *summary["warnings"]])])
