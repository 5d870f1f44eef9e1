"""Manifest of pulled weights: where each file came from, its size and its SHA-256."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from recon.core.errors import InputError
from recon.core.paths import inside, is_file
from recon.core.reading import file_sha256, read_json, reading
from recon.io.folders import write_json

FILE = "mvdiff_weights.json"

_Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class StoredFile(msgspec.Struct, frozen=True):
    """One file of a manifest."""

    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: _Hash


class Source(msgspec.Struct, frozen=True):
    """Repository that a part of the weights came from."""

    repo: str
    revision: str
    """Commit of 40 hexadecimal digits."""


class Manifest(msgspec.Struct, frozen=True):
    """``mvdiff_weights.json``, written when everything else is there."""

    format: Literal["mvdiff-weights/1"]
    backbone: str
    license: str
    sources: dict[str, Source]
    """By the folder of the part; "." is the folder of the manifest."""
    files: dict[str, StoredFile]
    """By the path below the folder of the manifest."""

    @property
    def sha256(self) -> str:
        """Digest of all names and hashes."""
        digest = hashlib.sha256()
        for name in sorted(self.files):
            digest.update(f"{name} {self.files[name].sha256}\n".encode())
        return digest.hexdigest()

    @property
    def revision(self) -> str | None:
        """Repositories with their commits; None for a folder of unknown origin."""
        return ", ".join(f"{each.repo}@{each.revision}" for each in self.sources.values()) or None

    def save(self, folder: Path) -> Path:
        return write_json(folder / FILE, msgspec.to_builtins(self))

    def record(self) -> dict[str, Any]:
        """Identity of the weights for manifests of runs and for calibrations."""
        return {"sha256": self.sha256, "revision": self.revision, "license": self.license}


def make_manifest(backbone: str, license: str, sources: dict[str, Source], folder: Path) -> Manifest:
    """Hash every file of weights and settings below ``folder``."""
    files = {name: StoredFile((folder / name).stat().st_size, file_sha256(folder / name)) for name in stored(folder)}
    return Manifest("mvdiff-weights/1", backbone, license, sources, files)


def add_file(path: Path) -> None:
    """Add a converted file to the manifest of the weights that it lies among, where there is one."""
    for folder in path.resolve().parents[:2]:
        manifest = read_manifest(folder)
        if manifest is not None:
            own = StoredFile(path.stat().st_size, file_sha256(path))
            name = path.resolve().relative_to(folder).as_posix()
            msgspec.structs.replace(manifest, files={**manifest.files, name: own}).save(folder)


def stored(folder: Path) -> list[str]:
    """Paths below ``folder`` of all that a manifest lists, sorted; hidden folders hold the state of downloads."""
    kinds = {".json", ".safetensors", ".txt"}
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.suffix in kinds and is_file(path)]
    shown = [path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)]
    return sorted(name for name in shown if name != FILE and not name.endswith("calibration.json"))


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none."""
    if not is_file(folder / FILE):
        return None
    with reading(folder / FILE, "manifest of weights", "pull these weights again"):
        return read_json(folder / FILE, Manifest)


def check_sizes(manifest: Manifest, folder: Path) -> None:
    """Raise :class:`InputError` that names every file that is missing or of another size; quick."""
    wrong = [
        name
        for name, file in manifest.files.items()
        if not is_file(inside(folder, name)) or (folder / name).stat().st_size != file.size
    ]
    if wrong:
        raise InputError(f"'{folder}' is not what was pulled ({', '.join(wrong)}): run `mvdiff models pull` again.")


def verify(manifest: Manifest, folder: Path, progress: Callable[[str], None] = lambda name: None) -> None:
    """Hash every file again. Raises :class:`InputError` that names every one that differs."""
    check_sizes(manifest, folder)
    wrong = []
    for name, file in manifest.files.items():
        progress(name)
        if file_sha256(folder / name) != file.sha256:
            wrong.append(name)
    if wrong:
        raise InputError(f"The SHA-256 of {', '.join(wrong)} in '{folder}' is another: pull these weights again.")
