"""Files that a mesh file names; readers pass over pictures that are not there, users should know."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote

from recon.core.paths import is_file
from recon.core.reading import MAX_ARRAYS, READ_ERRORS, check_file, read_json

_MAPS = ("map_kd", "map_ka")
#: What unreadable files bring about; they are the mesh reader's business.
_UNREADABLE = READ_ERRORS


def named_files(path: Path) -> list[str]:
    """Names in a .gltf (buffers, pictures), an .obj (libraries) or an .mtl (pictures); other kinds name none."""
    try:
        if path.suffix.lower() == ".gltf":
            return _addresses(path, "buffers", "images")
        keys = {".obj": ("mtllib",), ".mtl": _MAPS}.get(path.suffix.lower(), ())
        return _words(path, keys) if keys else []
    except _UNREADABLE:
        return []


def missing_textures(path: Path) -> list[str]:
    """Names in an .obj (by its .mtl) or a .gltf whose file is not beside it; other kinds hold their pictures."""
    suffix = path.suffix.lower()
    try:
        named = _of_obj(path) if suffix == ".obj" else _addresses(path, "images") if suffix == ".gltf" else []
    except _UNREADABLE:
        return []
    return sorted({name for name in named if not is_file(path.parent / name)})


def _of_obj(path: Path) -> list[str]:
    named = []
    for library in _words(path, ("mtllib",)):
        if not is_file(path.parent / library):
            named.append(library)
            continue
        named += [str(Path(library).parent / name) for name in _words(path.parent / library, _MAPS)]
    return named


def _words(path: Path, keys: tuple[str, ...]) -> list[str]:
    """The last word of each line that begins with one of ``keys`` (options come before the name)."""
    with check_file(path, MAX_ARRAYS).open(errors="replace") as file:
        lines = [line.split() for line in file if line[:8].lower().lstrip().startswith(keys)]
    return [words[-1].replace("\\", "/") for words in lines if len(words) > 1]


def _addresses(path: Path, *kinds: str) -> list[str]:
    content = read_json(path, dict[str, Any])
    addresses = [part.get("uri", "data:") for kind in kinds for part in content.get(kind, [])]
    return [unquote(address) for address in addresses if not address.startswith("data:")]
