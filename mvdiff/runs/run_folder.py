"""The folder of a run, of objects or of scenes: its manifest, its times, its mirror behind a URL, and whether it is
complete."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from mvdiff.runs.remote import Mirror, is_url
from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.io.folders import MANIFEST, OutputFolder

_Folder = TypeVar("_Folder", bound=Any)  # the class itself, which has no name yet
NEXT_VIEW = ("next_view.json", "next_view.png")


class RunFolder:
    """A local folder, or one behind an fsspec URL, that is written piece by piece.

    A URL is mirrored: each stage is written to a local folder and then uploaded, the manifest last.
    """

    #: The verb that makes such folders.
    verb: ClassVar[str] = "generate"

    def __init__(self, output: OutputFolder, mirror: Mirror | None = None) -> None:
        self.output = output
        self._mirror = mirror

    @classmethod
    def create(cls: type[_Folder], path: str | os.PathLike, inputs: dict[str, Any], overwrite: bool = False) -> _Folder:
        """Make or resume the folder of a run that ``inputs`` describe.

        Raises:
            InputError: the folder holds something else and ``overwrite`` is not set, or cannot be written to.
        """
        mirror = Mirror.pull(str(path)) if is_url(path) else None
        output = OutputFolder.create(mirror.folder if mirror else path, inputs, overwrite=overwrite)
        if not output.resumed:
            for name in NEXT_VIEW:  # made later from the run that was replaced
                (output.path / name).unlink(missing_ok=True)
        folder = cls(output, mirror)
        folder._publish()
        return folder

    @classmethod
    def open(cls: type[_Folder], path: str | os.PathLike) -> _Folder:
        """Open the folder of a complete run.

        Raises:
            InputError: there is no run of this kind, or it is not complete.
        """
        mirror = Mirror.pull(str(path)) if is_url(path) else None
        local = mirror.folder if mirror else Path(path)
        if not is_file(local / MANIFEST):
            raise InputError(f"'{path}' holds no run: give the output folder of a finished `mvdiff {cls.verb}`.")
        folder = cls(OutputFolder(local, resumed=True), mirror)
        folder._check_kind(path)
        if not folder.complete:
            raise InputError(f"The run in '{path}' is not complete: run its own command again to go on, then this one.")
        return folder

    def _check_kind(self, path: str | os.PathLike) -> None:
        """Raise :class:`InputError` for the folder of another verb."""

    @property
    def path(self) -> Path:
        """The local folder."""
        return self.output.path

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.output.manifest

    @property
    def complete(self) -> bool:
        return bool(self.manifest["complete"]) and all(is_file(self.path / name) for name in self.manifest["files"])

    def note(self, **entries: Any) -> None:
        """Keep facts about the run in its manifest."""
        self.output.update(**entries)

    def add_seconds(self, stage: str, seconds: float) -> None:
        """Add to the time that a stage took, in this process or an interrupted one."""
        timings = self.manifest.get("seconds", {})
        self.output.update(seconds=timings | {stage: round(timings.get(stage, 0.0) + seconds, 3)})
        self._publish()

    def _publish(self, *more: str) -> None:
        """Upload what is new, where the folder is behind a URL."""
        if self._mirror is not None:
            self._mirror.push([*self.manifest["files"], *more])


def holds_scenes(path: str | os.PathLike) -> bool:
    """Whether a folder is that of a run of scenes; anything unreadable is not."""
    if is_url(path) or not is_file(Path(path) / MANIFEST):
        return False
    return "scene" in OutputFolder(Path(path), resumed=True).manifest["inputs"]
