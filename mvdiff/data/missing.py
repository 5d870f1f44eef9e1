"""Pictures that a mesh file names and that are not there: readers pass over them, users should know."""

import json
from pathlib import Path
from urllib.parse import unquote

_MAPS = ("map_kd", "map_ka")


def missing_textures(path: Path) -> list[str]:
    """Names in an .obj (by its .mtl) or a .gltf whose file is not beside it; other kinds hold their pictures."""
    suffix = path.suffix.lower()
    try:
        named = _of_obj(path) if suffix == ".obj" else _of_gltf(path) if suffix == ".gltf" else []
    except (OSError, ValueError, TypeError, AttributeError):
        return []  # unreadable files are the mesh reader's business
    return sorted({name for name in named if not (path.parent / name).is_file()})


def _of_obj(path: Path) -> list[str]:
    named = []
    for library in _words(path, ("mtllib",)):
        if not (path.parent / library).is_file():
            named.append(library)
            continue
        named += [str(Path(library).parent / name) for name in _words(path.parent / library, _MAPS)]
    return named


def _words(path: Path, keys: tuple[str, ...]) -> list[str]:
    """The last word of each line that begins with one of ``keys`` (options come before the name)."""
    with path.open(errors="replace") as file:
        lines = [line.split() for line in file if line[:8].lower().lstrip().startswith(keys)]
    return [words[-1].replace("\\", "/") for words in lines if len(words) > 1]


def _of_gltf(path: Path) -> list[str]:
    images = json.loads(path.read_text("utf-8")).get("images", [])
    return [unquote(image["uri"]) for image in images if not image.get("uri", "data:").startswith("data:")]
