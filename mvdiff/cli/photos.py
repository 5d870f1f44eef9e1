"""The photos that a command line names, and the folders of their results."""

from collections.abc import Sequence
from pathlib import Path

from recon.core.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".avif", ".jp2")


def find_photos(paths: Sequence[Path]) -> list[Path]:
    """List the given files, and the images of given folders in the order of their names."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith("."))
            if not inside:
                raise InputError(f"The folder '{path}' holds no pictures: give a photo, or a folder of them.")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"There is no file '{path}': check the path.")
    if not found:
        raise InputError("No photo was given: name at least one picture or a folder of pictures.")
    return found


def output_folders(paths: Sequence[Path], photos: Sequence[Path], output_dir: Path) -> list[Path]:
    """Return the folder itself for one photo, else one subfolder per photo, named after it."""
    if len(photos) == 1 and not paths[0].is_dir():
        return [output_dir]
    folders: list[Path] = []
    for photo in photos:
        name, number = photo.stem, 2
        while output_dir / name in folders:
            name, number = f"{photo.stem}-{number}", number + 1
        folders.append(output_dir / name)
    return folders
