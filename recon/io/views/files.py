"""Views from whatever a user has: our own files, transforms.json, a COLMAP model, turntable pictures."""

import os
from pathlib import Path

from recon.core.errors import InputError
from recon.core.paths import exists, is_file, is_folder
from recon.core.views import VIEWS_FILE, ViewSet
from recon.io.views import colmap, transforms_json, turntable
from recon.io.views.turntable import Turntable


def load_views(path: str | os.PathLike, table: Turntable | None = None) -> ViewSet:
    """The views that ``path`` is or holds; ``table`` holds the cameras of turntable images.

    In the world of their own cameras. Raises :class:`InputError` with what is wrong.
    """
    path, table = Path(path), table or Turntable()
    if not exists(path):
        raise InputError(f"There are no views at '{path}': check the path.")
    if table.azimuths:
        return turntable.load(path, table)
    if path.suffix == ".safetensors" or is_file(path / VIEWS_FILE):
        return ViewSet.load(path)
    if not is_folder(path):
        return colmap.load(path) if colmap.find(path) else transforms_json.load(path)
    if transforms_json.find(path):
        return transforms_json.load(path)
    if colmap.find(path):
        return colmap.load(path)
    if turntable.pictures_in(path):
        return turntable.load(path, table)
    raise InputError(
        f"The folder '{path}' holds no views: it needs a {VIEWS_FILE}, a {transforms_json.FILE}, COLMAP's "
        f"{colmap.CAMERAS} and {colmap.IMAGES} (or .bin), or turntable pictures."
    )
