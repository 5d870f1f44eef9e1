"""The photos that a command line names, and the folders of their results."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from recon.core.errors import InputError
from recon.core.paths import PICTURES, exists, is_folder, natural_key

T = TypeVar("T")


def find_photos(paths: Sequence[Path]) -> list[Path]:
    """List the given files, and the images of given folders in the order of their names."""
    found: list[Path] = []
    for path in paths:
        if is_folder(path):
            pictures = (p for p in path.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith("."))
            inside = sorted(pictures, key=natural_key)
            if not inside:
                raise InputError(f"The folder '{path}' holds no pictures: give a photo, or a folder of them.")
            found += inside
        elif exists(path):
            found.append(path)
        else:
            raise InputError(f"There is no file '{path}': check the path.")
    if not found:
        raise InputError("No photo was given: name at least one picture or a folder of pictures.")
    return found


def prepare_all(photos: Sequence[Path], prepare: Callable[[Path], T]) -> dict[Path, T | InputError]:
    """Prepare all photos before the first is worked on; a photo that cannot be used becomes its error.

    Raises:
        InputError: where not one can be used.
    """
    found: dict[Path, T | InputError] = {}
    for photo in photos:
        try:
            found[photo] = prepare(photo)
        except InputError as error:
            found[photo] = error
    errors = [value for value in found.values() if isinstance(value, InputError)]
    if len(errors) == len(found):
        raise errors[0]
    return found


def check_all_used(found: Mapping[Path, Any]) -> None:
    """Raise :class:`InputError` that names the photos which were left out, once the others are done."""
    errors = [str(value) for value in found.values() if isinstance(value, InputError)]
    if errors:
        raise InputError(f"{len(errors)} of {len(found)} photos were left out, the others are done: {' '.join(errors)}")


def output_folders(paths: Sequence[Path], photos: Sequence[Path], output_dir: str) -> list[str]:
    """Return the folder (or fsspec URL) itself for one photo, else one subfolder per photo, named after it."""
    if len(photos) == 1 and not is_folder(paths[0]):
        return [output_dir]
    names: list[str] = []
    for photo in photos:
        name, number = photo.stem, 2
        while name in names:
            name, number = f"{photo.stem}-{number}", number + 1
        names.append(name)
    return [f"{output_dir.rstrip('/') or '/'}/{name}" for name in names]
