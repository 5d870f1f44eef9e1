"""Meshes that lie in public git repositories, gathered by a list that says where: training data by reference."""

import csv
import hashlib
import itertools
import logging
import os
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import torch
import tyro

from mvdiff.data.sources.named_files import named_files
from recon.core.errors import InputError
from recon.core.paths import exists
from recon.core.reading import read_text, reading
from recon.io.folders import write_bytes
from recon.io.meshes.files import load_mesh, save_mesh

logger = logging.getLogger(__name__)

_COLUMNS = ("name", "repository", "file")
_LFS = b"version https://git-lfs"


@dataclass
class FetchMeshes:
    listing: tyro.conf.Positional[Path]
    """CSV with columns name, repository and file, and any of sha256 (of the file), use and up (y or z)."""
    output: tyro.conf.Positional[Path]
    """Folder for NAME.glb; what is there already stays."""
    repositories: Path = Path("repositories")
    """Folder of bare clones, OWNER/NAME.git; what is missing is cloned there."""
    base: str = "https://github.com"
    """Before OWNER/NAME.git."""
    use: str | None = None
    """Only rows with this in the column use."""


def fetch_meshes(config: FetchMeshes) -> tuple[int, dict[str, str]]:
    """The number of meshes in the folder, and why others are not, by name."""
    rows = read_listing(config.listing)
    rows = [row for row in rows if config.use is None or row.get("use") == config.use]
    if not rows:
        raise InputError(f"'{config.listing}' lists nothing for the use '{config.use}': check --use.")
    skipped: dict[str, str] = {}
    for repository, own in itertools.groupby(sorted(rows, key=lambda r: r["repository"]), lambda r: r["repository"]):
        pending = [row for row in own if not exists(_target(config, row))]
        failed = _fetch_all(config, repository, pending)
        for name, why in failed.items():
            logger.warning("%s is skipped: %s", name, why)
        logger.info("%s: %d meshes", repository, len(pending) - len(failed))
        skipped |= failed
    return len(rows) - len(skipped), skipped


def read_listing(path: Path) -> list[dict[str, str]]:
    with reading(path, "CSV file", "check --listing"):
        rows = list(csv.DictReader(read_text(path).splitlines()))
    for row in rows:
        names = [row.get(column) for column in _COLUMNS]
        if not all(names) or any(_strays(PurePosixPath(name)) for name in names):
            raise InputError(f"'{path}' has a row without a proper {', '.join(_COLUMNS)}: {row}.")
    return rows


def _strays(path: PurePosixPath) -> bool:
    return path.is_absolute() or ".." in path.parts


def _target(config: FetchMeshes, row: dict[str, str]) -> Path:
    return config.output / f"{row['name']}.glb"


def _fetch_all(config: FetchMeshes, repository: str, rows: list[dict[str, str]]) -> dict[str, str]:
    """Meshes of one repository; why some were not fetched, by name."""
    failed: dict[str, str] = {}
    if not rows:
        return failed
    try:
        clone = Repository.at(config, repository)
    except InputError as error:
        return {row["name"]: str(error) for row in rows}
    for row in rows:
        try:
            _fetch(clone, row, _target(config, row))
        except InputError as error:
            failed[row["name"]] = str(error)
    return failed


def _fetch(repository: "Repository", row: dict[str, str], target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = repository.extract(row["file"], Path(folder))
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if row.get("sha256") and found != row["sha256"]:
            raise InputError(f"{row['file']} is another file now than the one that was listed.")
        mesh = load_mesh(file)
    if (row.get("up") or "y").lower() == "z":
        x, y, z = mesh.vertices.unbind(-1)
        mesh = replace(mesh, vertices=torch.stack([x, z, -y], -1))
    target.parent.mkdir(parents=True, exist_ok=True)
    save_mesh(mesh, target)


@dataclass(frozen=True)
class Repository:
    """The newest commit of a bare clone."""

    folder: Path

    @staticmethod
    def at(config: FetchMeshes, name: str) -> "Repository":
        folder = config.repositories / f"{name}.git"
        if not exists(folder / "HEAD"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            # Of the files only those that are asked for are brought.
            sparing = ("--quiet", "--bare", "--depth=1", "--filter=blob:none")
            _git("clone", *sparing, f"{config.base}/{name}.git", str(folder))
        return Repository(folder)

    def read(self, path: str) -> bytes:
        data = _git("--git-dir", str(self.folder), "cat-file", "blob", f"HEAD:{path}")
        if data.startswith(_LFS):
            raise InputError(f"{path} lies in git's large file storage, which is not read.")
        return data

    def extract(self, path: str, folder: Path) -> Path:
        """The file and all that it names, in ``folder``; what is named and not there is left out."""
        base = PurePosixPath(path).parent
        file = folder / PurePosixPath(path).name
        write_bytes(file, self.read(path))
        waiting = named_files(file)
        while waiting:
            name = waiting.pop()
            target = folder / name
            if _strays(PurePosixPath(name)) or exists(target):
                continue
            try:
                data = self.read(str(base / name))
            except InputError:
                continue
            write_bytes(target, data)
            waiting += [str(PurePosixPath(name).parent / other) for other in named_files(target)]
        return file


def _git(*arguments: str) -> bytes:
    silent = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=True, env=silent).stdout
    except FileNotFoundError as error:
        raise InputError("git is not installed: it brings the repositories.") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason was given"]
        raise InputError(f"git {arguments[0] if arguments[0] == 'clone' else 'cat-file'} failed: {lines[0]}") from error
