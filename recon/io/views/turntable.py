"""Pictures of an object on a turntable: the angles are given, or stand in the files' names."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recon.core.cameras import DEFAULT_DISTANCE, DEFAULT_FOV, Cameras
from recon.core.errors import InputError
from recon.core.paths import is_folder, natural_key
from recon.core.views import ViewSet
from recon.io.views.posed import MAX_SIDE, PosedPicture, load_posed

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_NUMBER = r"(?:[ _=]|-(?=[-+−]))?([-+−]?\d+(?:\.\d+)?)"
_AZIMUTH = re.compile(rf"(?:^|[^a-z])(?:az|azimuth){_NUMBER}", re.IGNORECASE)
_ELEVATION = re.compile(rf"(?:^|[^a-z])(?:el|elevation){_NUMBER}", re.IGNORECASE)


@dataclass(frozen=True)
class Turntable:
    """Camera of turntable images: it aims at the origin, +Y is up."""

    azimuths: tuple[float, ...] = ()
    """Degrees, one for each picture in the order of their names (2.png before 10.png): where the camera stands around
    the object, 0 on +Z and 90 on +X; the plate has then turned clockwise by as much. Without them names such as
    az030_el20.png tell."""
    elevation: float = 0.0
    """Degrees above the horizon, where the names do not tell."""
    fov: float = DEFAULT_FOV
    """Vertical field of view in degrees."""
    distance: float = DEFAULT_DISTANCE
    """Distance of the camera from the turntable's axis, in the units of the mesh."""


def angles_in_name(name: str) -> tuple[float, float | None] | None:
    """Azimuth and elevation in a file's name such as ``az030_el20.png``."""
    azimuth, elevation = _AZIMUTH.search(name), _ELEVATION.search(name)
    if azimuth is None:
        return None
    numbers = [None if found is None else float(found[1].replace("−", "-")) for found in (azimuth, elevation)]
    return numbers[0], numbers[1]


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of file managers: 2.png before 10.png."""
    found = (p for p in folder.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith("."))
    return sorted(found, key=natural_key)


def load(folder: str | os.PathLike, turntable: Turntable, *, max_side: int = MAX_SIDE) -> ViewSet:
    """The pictures of ``folder`` as a ViewSet of one hypothesis. Raises :class:`InputError`."""
    folder = Path(folder)
    if not is_folder(folder):
        raise InputError(f"'{folder}' is no folder of pictures: angles go with a folder.")
    pictures = pictures_in(folder)
    if not pictures:
        raise InputError(f"The folder '{folder}' holds no pictures ({', '.join(PICTURES)}).")
    frames = []
    for picture, (azimuth, elevation) in zip(pictures, _angles(folder, pictures, turntable), strict=True):
        c2w = Cameras.orbit(azimuth, elevation, turntable.distance).c2w.double().numpy()
        frames.append(PosedPicture(f"'{picture}'", picture, c2w, lens=None, fov=turntable.fov))
    return load_posed(frames, str(folder), max_side)


def _angles(folder: Path, pictures: Sequence[Path], turntable: Turntable) -> list[tuple[float, float]]:
    values = (*turntable.azimuths, turntable.elevation, turntable.fov, turntable.distance)
    if not all(map(math.isfinite, values)) or not 0 < turntable.fov < 170 or turntable.distance <= 0:
        raise InputError("Angles are finite, the field of view lies between 0 and 170 degrees, the distance above 0.")
    if abs(turntable.elevation) > 90:
        raise InputError(f"The elevation lies between -90 and 90 degrees, not {turntable.elevation:g}.")
    if turntable.azimuths:
        if len(turntable.azimuths) != len(pictures):
            raise InputError(
                f"The folder '{folder}' holds {len(pictures)} pictures for {len(turntable.azimuths)} azimuths: "
                "give one for each, in the order of the names."
            )
        return [(azimuth, turntable.elevation) for azimuth in turntable.azimuths]
    told = [angles_in_name(picture.name) for picture in pictures]
    # A dash may be a sign (az-30 … az30) or stand between word and number (az-030 … az-330).
    dashes = any(angles is not None and angles[0] < -180 for angles in told)
    silent = next((picture.name for picture, angles in zip(pictures, told, strict=True) if angles is None), None)
    if silent is not None:
        raise InputError(f"The name '{silent}' in '{folder}' has no azimuth: call it az030.png, or give --azimuths.")
    return [(abs(a) if dashes else a, turntable.elevation if e is None else e) for a, e in told]
