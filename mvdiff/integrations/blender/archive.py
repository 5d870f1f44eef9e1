"""The add-on as the zip file that Blender installs."""

import io
import os
import zipfile
from importlib.resources import files
from pathlib import Path

import mvdiff
from recon.core.errors import InputError
from recon.io.folders import write_bytes

MANIFEST = "blender_manifest.toml"
#: Date of the archive's members, so that the same add-on is the same file.
_DATE = (1980, 1, 1, 0, 0, 0)


def write_archive(path: str | os.PathLike) -> Path:
    """Write the add-on with this package's version as an extension for Blender 4.2 and later.

    Raises:
        InputError: the name does not end in ``.zip``, which Blender asks for.
    """
    if Path(path).suffix != ".zip":
        raise InputError(f"'{path}' must end in .zip: Blender installs nothing else.")
    return write_bytes(path, archive_bytes())


def archive_bytes() -> bytes:
    """The content of the archive."""
    addon = files("mvdiff.integrations.blender") / "addon"
    members = {each.name: each.read_text("utf-8") for each in addon.iterdir() if each.is_file()}
    members[MANIFEST] = members[MANIFEST].replace("VERSION", mvdiff.__version__)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, _DATE), members[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
