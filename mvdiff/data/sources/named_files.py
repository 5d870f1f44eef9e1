"""Files that a mesh file names; readers pass over pictures that are not there, users should know."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from recon.core.reading import MAX_ARRAYS, READ_ERRORS, check_file, read_json

if TYPE_CHECKING:
    from recon.io.meshes.beside import FilesBeside

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
    """Names in an .obj (by its .mtl) or a .gltf whose file is not found beside it; other kinds hold their pictures."""
    from recon.io.meshes.beside import FilesBeside

    suffix, beside = path.suffix.lower(), FilesBeside(path.parent)
    try:
        named = _of_obj(path, beside) if suffix == ".obj" else _addresses(path, "images") if suffix == ".gltf" else []
    except _UNREADABLE:
        return []
    return sorted({name for name in named if beside.find(name) is None})


def _of_obj(path: Path, beside: "FilesBeside") -> list[str]:
    from recon.io.meshes.mtl import split_options

    named = []
    for library in _rests(path, ("mtllib",)):
        file = beside.find(library)
        if file is None:
            named.append(library)
            continue
        named += [split_options(rest, beside)[0] for rest in _rests(file, _MAPS)]
    return named


def _rests(path: Path, keys: tuple[str, ...]) -> list[str]:
    """The rest of each line that begins with one of ``keys``."""
    with check_file(path, MAX_ARRAYS).open(errors="replace") as file:
        lines = [line.strip().split(None, 1) for line in file if line[:8].lower().lstrip().startswith(keys)]
    return [words[1] for words in lines if len(words) > 1]


def _words(path: Path, keys: tuple[str, ...]) -> list[str]:
    """The last word of each line that begins with one of ``keys`` (options come before the name)."""
    with check_file(path, MAX_ARRAYS).open(errors="replace") as file:
        lines = [line.split() for line in file if line[:8].lower().lstrip().startswith(keys)]
    return [words[-1].replace("\\", "/") for words in lines if len(words) > 1]


def _addresses(path: Path, *kinds: str) -> list[str]:
    content = read_json(path, dict[str, Any])
    addresses = [part.get("uri", "data:") for kind in kinds for part in content.get(kind, [])]
    return [unquote(address) for address in addresses if not address.startswith("data:")]
