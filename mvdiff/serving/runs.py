"""Run folders as the pages and the API show them, read without torch."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.core.errors import InputError
from recon.core.paths import inside, is_file
from recon.core.reading import READ_ERRORS, read_json
from recon.io.folders import MANIFEST, OutputFolder

_NAME = re.compile(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*")
#: Files of a run that its manifest does not list; later commands write the map of the next view.
_UNLISTED = (MANIFEST, "next_view.json", "next_view.png")
#: The page that shows a whole run.
_PAGES = ("explorer.html", "report.html")


@dataclass(frozen=True)
class RunFolder:
    """One folder that a run wrote, by this server or by a command."""

    path: Path
    manifest: dict[str, Any]

    @staticmethod
    def find(output_dir: Path, name: str) -> "RunFolder":
        """Raises :class:`InputError` where ``name`` is no run directly below ``output_dir``."""
        if not _NAME.fullmatch(name):
            raise InputError("There is no such run.")
        return RunFolder.open(inside(output_dir, name))

    @staticmethod
    def open(path: Path) -> "RunFolder":
        """Raises :class:`InputError` where ``path`` is no run's folder."""
        if not is_file(path / MANIFEST):
            raise InputError(f"There is no run in '{path.name}': give the output folder of a finished run.")
        return RunFolder(path, OutputFolder(path, resumed=True).manifest)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def complete(self) -> bool:
        return bool(self.manifest["complete"])

    @property
    def page(self) -> str | None:
        """The file that shows the run, where it has one."""
        return next((name for name in _PAGES if is_file(self.path / name)), None)

    def file(self, name: str) -> Path:
        """A file that the run wrote. Raises :class:`InputError` for any other."""
        if name not in self.manifest["files"] and name not in _UNLISTED:
            raise InputError(f"The run has no file '{name}'.")
        path = inside(self.path, name)
        if not is_file(path):
            raise InputError(f"The run has no file '{name}'.")
        return path

    def view(self, hypothesis: int, view: int) -> str | None:
        """Name of the picture of one sampled view; None where there is none."""
        place = f"views/{hypothesis:03d}/images/{view:03d}."
        return next((name for name in self.manifest["files"] if name.startswith(place)), None)

    def summary(self) -> dict[str, Any]:
        """``summary.json`` of the run, empty where it has none."""
        path = self.path / "summary.json"
        return read_json(path, dict[str, Any]) if is_file(path) else {}

    def record(self) -> dict[str, Any]:
        """Facts for a list of runs."""
        inputs = self.manifest["inputs"]
        parents = inputs.get("parents", [])
        return {
            "name": self.name,
            "complete": self.complete,
            "verb": inputs.get("verb", "generate"),
            "photo": (inputs.get("photo") or {}).get("name") if isinstance(inputs.get("photo"), dict) else None,
            "parent": parents[0]["folder"] if parents else None,
            "page": self.page,
            "thumbnail": next((n for n in ("photo.webp", "reference.png") if is_file(self.path / n)), None),
            "hypotheses": self.hypotheses,
            "backbone": self.backbone,
            "created": (self.path / MANIFEST).stat().st_mtime,
        }

    @property
    def backbone(self) -> str | None:
        """Name of the source of its views; None for runs of other commands."""
        weights = self.manifest["inputs"].get("weights")
        if not isinstance(weights, dict):
            return None
        return str(weights.get("backbone", "embedded"))

    def next_view(self) -> dict[str, Any] | None:
        """``next_view.json`` of the run, where the next photo was planned."""
        path = self.path / "next_view.json"
        return read_json(path, dict[str, Any]) if is_file(path) else None

    @property
    def hypotheses(self) -> int:
        """Number of hypotheses that can be judged; 0 for runs of other commands."""
        config = self.manifest["inputs"].get("config")
        if not self.complete or not isinstance(config, dict) or "posterior.npz" not in self.manifest["files"]:
            return 0
        count = self.manifest.get("num_hypotheses", config.get("num_hypotheses"))
        return count if isinstance(count, int) else 0


def list_runs(output_dir: Path) -> list[RunFolder]:
    """All runs directly below a folder, latest first; what cannot be read is left out."""
    found = []
    for path in output_dir.iterdir() if output_dir.is_dir() else ():
        if path.name.startswith(".") or not is_file(path / MANIFEST):
            continue
        try:
            found.append(RunFolder.open(path))
        except (InputError, *READ_ERRORS):
            continue
    return sorted(found, key=lambda run: -(run.path / MANIFEST).stat().st_mtime)
