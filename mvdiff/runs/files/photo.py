"""The photo of a run: ``photo.webp``, ``reference.png``, ``reference.json``."""

from pathlib import Path
from typing import Any

from mvdiff.sampling.reference import ReferenceImage
from recon.core.paths import is_file
from recon.io.folders import OutputFolder
from recon.io.images.files import load_image

_REFERENCE, _DETAIL = ("reference.png", "reference.json"), "reference_detail.png"
_PHOTO = "photo.webp"
_PHOTO_SIZE = 768


def write_photo(output: OutputFolder, reference: ReferenceImage, photo: Any) -> None:
    """Write the prepared reference, and a small copy of the photo where that is not the reference itself."""
    if all(output.has(name) for name in _REFERENCE):
        return
    if not isinstance(photo, ReferenceImage):
        picture = load_image(photo)
        picture.thumbnail((_PHOTO_SIZE, _PHOTO_SIZE))
        with output.write(_PHOTO) as temporary:
            picture.save(temporary, quality=90)
    output.list_files(*_REFERENCE, *([] if reference.detail is None else [_DETAIL]))
    reference.save(output.path)


def photo_path(output: OutputFolder) -> Path | None:
    """The photo's small copy, where the run was given a photo."""
    path = output.path / _PHOTO
    return path if is_file(path) else None
