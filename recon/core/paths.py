"""Paths that come from outside: names in files, arguments, folders of strangers."""

import os
import re
from pathlib import Path

from recon.core.errors import InputError

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NUMBER = re.compile(r"(\d+)")
#: Suffixes of pictures that can be read.
PICTURES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jp2"),
    *(".heic", ".heif", ".hif", ".avif"),
)
#: Bytes of a file's name on the usual file systems.
_LONGEST = 255


def is_file(path: Path) -> bool:
    """Whether ``path`` is a regular file; a name that no file can have (too long, a null character) is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder; a name that no folder can have is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Whether there is anything at ``path``; a name that nothing can have is nothing."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def inside(folder: Path, name: str) -> Path:
    """``folder / name`` for a name read from a file.

    Raises:
        InputError: for a name that leaves ``folder``, be it by ``..``, as an absolute path or through a link.
    """
    path, parts = folder / name, Path(name).parts
    try:
        kept = bool(parts) and ".." not in parts and path.resolve() == folder.resolve().joinpath(*parts)
        kept = kept and not Path(name).is_absolute() and max(len(os.fsencode(part)) for part in parts) <= _LONGEST
    except (OSError, ValueError, RuntimeError):  # a null character, links in a circle
        kept = False
    if not kept:
        raise InputError(f"'{name}' is not a file inside the folder '{folder}': remove the name or the link.")
    return path


def natural_key(path: Path) -> tuple[tuple[str | int, ...], str]:
    """Sort key in the order of file managers: ``2.png`` before ``10.png``; equal numbers by their text."""
    parts = _NUMBER.split(str(path).casefold())
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), str(path)


def printable(text: str) -> str:
    """``text`` on one line, its control characters, direction marks and broken characters as escapes."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
