"""Folders of meshes into one mesh pack, with a record of where each mesh comes from."""

import csv
import functools
import json
import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import tyro

from mvdiff.data.sources.meshes import MAX_FACES, MeshSource, find_all, iter_objects
from mvdiff.data.sources.packs import MAX_VERTICES, MeshPack
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.paths import exists
from recon.core.reading import MAX_ARRAYS, READ_ERRORS, file_sha256, parse_json, read_bytes, read_text, reading
from recon.io.folders import write_bytes

logger = logging.getLogger(__name__)

CREDITS = {"licence": ("licence", "license"), "creator": ("creator", "author"), "source": ("source", "url")}
_KEYS = ("name", "id", "file")


@dataclass
class PackMeshes:
    meshes: tyro.conf.Positional[tuple[Path, ...]]
    """Folders, single meshes or other packs."""
    output: Path = Path("meshes.npz")
    """Beside it: .manifest.jsonl, one line for each mesh."""
    max_faces: int = MAX_FACES
    """Meshes with more are decimated."""
    prefix: str = ""
    """Before every name, for example "ycb/": training weighs groups of objects by such patterns."""
    credits: Path | None = None
    """CSV or JSONL file with a column name (or id, or file) and any of license, creator, source."""
    workers: int = 0
    """Processes that read and decimate; 0 works in this one."""
    overwrite: bool = False

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if not self.meshes:
            raise InputError("Name at least one folder of meshes.")
        if self.output.suffix != ".npz":
            raise InputError(f"The output is a .npz file, not '{self.output}'.")
        if not 4 <= self.max_faces <= MAX_VERTICES // 3:
            raise InputError(f"--max-faces lies between 4 and {MAX_VERTICES // 3}, not at {self.max_faces}.")
        if exists(self.output) and not self.overwrite:
            raise InputError(f"'{self.output}' exists: choose another name, or pass --overwrite.")

    @property
    def manifest(self) -> Path:
        return self.output.with_suffix(".manifest.jsonl")


def pack_meshes(config: PackMeshes) -> tuple[int, dict[str, str]]:
    """Write the pack and its manifest; returns the number of meshes and why others were left out, by name."""
    config.check()
    credits = {} if config.credits is None else read_credits(config.credits)
    sources = find_all(config.meshes)
    entries: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}

    def usable() -> Iterator[tuple[str, TexturedMesh]]:
        for source, mesh in iter_objects(sources, config.max_faces, config.workers):
            name = config.prefix + source.name
            if isinstance(mesh, str):
                logger.warning("%s is skipped: %s", name, mesh)
                skipped[name] = mesh
                continue
            entries.append(_entry(name, source, mesh, credits))
            yield name, mesh

    def write_manifest() -> None:
        lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        write_bytes(config.manifest, "".join(lines).encode(errors="replace"))

    count = MeshPack.write(config.output, usable(), before=write_manifest)
    return count, skipped


def read_credits(path: Path) -> dict[str, dict[str, str | None]]:
    """Licence, creator and source by the name, id or file of each row."""
    with reading(path, "CSV or JSONL file", "check --credits"):
        lines = read_text(path).splitlines()
        if path.suffix.lower() == ".csv":
            rows = list(csv.DictReader(lines))
        else:
            rows = [parse_json(line, dict[str, Any]) for line in lines if line.strip()]
        rows = [{str(key).lower(): value for key, value in row.items()} for row in rows]
    found = {}
    for row in rows:
        credit = {
            name: next((str(row[column]) for column in columns if row.get(column)), None)
            for name, columns in CREDITS.items()
        }
        found |= {str(row[key]): credit for key in reversed(_KEYS) if row.get(key)}
    if not found:
        raise InputError(f"'{path}' has no row with one of the columns {', '.join(_KEYS)}: check --credits.")
    return found


def gltf_copyright(path: Path) -> str | None:
    """``asset.copyright`` of a .glb or .gltf file."""
    try:
        data = read_bytes(path, MAX_ARRAYS)
        if data[:4] == b"glTF":
            data = data[20 : 20 + struct.unpack_from("<I", data, 12)[0]]
        return parse_json(data, _GltfHead).asset.copyright
    except READ_ERRORS:
        return None


class _GltfHead(msgspec.Struct, frozen=True):
    class Asset(msgspec.Struct, frozen=True):
        copyright: str | None = None

    asset: Asset


def _entry(
    name: str, source: MeshSource, mesh: TexturedMesh, credits: dict[str, dict[str, str | None]]
) -> dict[str, Any]:
    file = Path(source.path)
    credit = credit_of(source.name, file, credits, name)
    return {
        "name": name,
        "file": file.name if file.suffix == ".npz" else source.name + file.suffix,
        **credit,
        "copyright": gltf_copyright(file) if file.suffix.lower() in (".glb", ".gltf") else None,
        "sha256": _sha256(file),
        "faces": len(mesh),
        "vertices": len(mesh.vertices),
    }


def credit_of(name: str, file: Path, credits: dict[str, dict[str, str | None]], *names: str) -> dict[str, str | None]:
    """Licence, creator and source of the object ``name`` (or one of ``names``) of ``file``; None where not known."""
    known = (*names, name, f"{name}{file.suffix}", file.name, file.stem)
    return dict(next((credits[key] for key in known if key in credits), dict.fromkeys(CREDITS)))


@functools.lru_cache(maxsize=8)
def _sha256(path: Path) -> str:
    """SHA-256 of the mesh's file, or of the whole pack that holds it."""
    return file_sha256(path)
