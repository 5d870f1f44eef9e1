"""The photo of a scene as the network takes it: its middle square, its lens, and whether it can be used at all."""

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mvdiff.sampling.scene_settings import FOV_RANGE
from recon.core.errors import InputError
from recon.io.images.files import load_image

Source = str | os.PathLike | Image.Image | np.ndarray

_EXIF, _FOCAL_35MM = 0x8769, 0xA405
#: Diagonal in millimeters of the film to which equivalent focal lengths refer.
_DIAGONAL = 43.267
#: Shorter photos show less than the network could.
_LEAST_SIDE = 64
#: Levels of brightness beyond which a pixel says nothing, and the share of such pixels from which a photo does not.
_DARK, _BRIGHT, _LOST = 0.04, 0.985, 0.9
#: Spread of brightness below which a photo shows nothing.
_FLAT = 0.01


@dataclass(frozen=True)
class ScenePhoto:
    """A checked photo."""

    rgb: Float[Tensor, "3 s s"]
    """Its middle square at full resolution, sRGB in [0, 1]."""
    fov: float | None = None
    """Field of view of the square in degrees; None where neither the user nor the file says it."""
    name: str | None = None
    notes: tuple[str, ...] = ()
    """Notes on what was left out or assumed, one sentence each."""

    @staticmethod
    def load(source: "Source | ScenePhoto", fov: float | None = None) -> "ScenePhoto":
        """Read a photo and check that it can show a place.

        Args:
            source: File, picture or array.
            fov: Horizontal field of view of the whole photo in degrees; from EXIF by default.

        Raises:
            InputError: It cannot be read, or shows nothing.
        """
        if isinstance(source, ScenePhoto):
            return source
        picture, name = load_image(source), Path(source).name if isinstance(source, str | os.PathLike) else None
        _check_shape(picture, fov)
        values = torch.from_numpy(np.asarray(picture, np.float32).copy()).permute(2, 0, 1) / 255
        if float((values[3] > 0.5).float().mean()) < 0.9:
            raise InputError("The photo is a cut-out with transparency: use `mvdiff generate` for objects.")
        _check_light(values[:3])
        focal = _focal_from_fov(picture, fov) if fov is not None else _focal_from_exif(source, picture.size)
        side = min(picture.size)
        square = None if focal is None else math.degrees(2 * math.atan(side / 2 / focal))
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        rgb = values[:3, top : top + side, left : left + side].contiguous()
        return ScenePhoto(rgb, square, name, tuple(_notes(picture, square)))

    @property
    def sha256(self) -> str:
        return hashlib.sha256((self.rgb * 255).round().byte().numpy().tobytes()).hexdigest()

    def picture(self) -> Image.Image:
        return Image.fromarray((self.rgb * 255).round().byte().permute(1, 2, 0).numpy())


def _check_shape(picture: Image.Image, fov: float | None) -> None:
    width, height = picture.size
    if min(width, height) < _LEAST_SIDE:
        raise InputError(f"The photo is {width} x {height} pixels: give one of at least {_LEAST_SIDE} a side.")
    if fov is None and abs(width / height - 2) < 0.01 and width >= 512:
        raise InputError(
            "The photo is exactly twice as wide as high, like a 360° panorama, which is not read here: "
            "cut an ordinary view out of it, or state its lens by --fov."
        )
    if max(width, height) > 3 * min(width, height):
        raise InputError(f"The photo is {width} x {height} pixels, too narrow a strip: crop it nearer to a square.")


def _check_light(rgb: Float[Tensor, "3 h w"]) -> None:
    bright = rgb.mean(0)
    if float((bright < _DARK).float().mean()) > _LOST:
        raise InputError("The photo is almost black: give one that is exposed longer, or brighten it.")
    if float((bright > _BRIGHT).float().mean()) > _LOST:
        raise InputError("The photo is almost white, over-exposed or empty: give one with a shorter exposure.")
    if float(rgb.flatten(1).std(-1).max()) < _FLAT:
        raise InputError("The photo is one flat color and shows no place: give another one.")


def _focal_from_fov(picture: Image.Image, fov: float) -> float:
    focal = picture.width / 2 / math.tan(math.radians(fov) / 2)
    square = math.degrees(2 * math.atan(min(picture.size) / 2 / focal))
    if not FOV_RANGE[0] <= square <= FOV_RANGE[1]:
        raise InputError(
            f"A field of view of {fov:g} degrees makes {square:.0f} degrees of the photo's middle square; scenes are "
            f"known from {FOV_RANGE[0]:g} to {FOV_RANGE[1]:g}: check --fov, or crop the photo."
        )
    return focal


def _focal_from_exif(source: "Source", size: tuple[int, int]) -> float | None:
    """Focal length in pixels from the equivalent one for 35 mm film, which refers to the diagonal."""
    equivalent = None
    try:
        if isinstance(source, Image.Image):
            equivalent = source.getexif().get_ifd(_EXIF).get(_FOCAL_35MM)
        elif not isinstance(source, np.ndarray):
            with Image.open(source) as file:
                equivalent = file.getexif().get_ifd(_EXIF).get(_FOCAL_35MM)
        equivalent = float(equivalent or 0)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError):  # damaged metadata beside a sound picture
        return None
    if not 8 <= equivalent <= 400:
        return None
    focal = equivalent / _DIAGONAL * math.hypot(*size)
    square = math.degrees(2 * math.atan(min(size) / 2 / focal))
    return focal if FOV_RANGE[0] <= square <= FOV_RANGE[1] else None


def _notes(picture: Image.Image, fov: float | None) -> list[str]:
    notes = []
    if picture.width != picture.height:
        side = min(picture.size)
        notes.append(f"Only the middle {side} x {side} pixels of the photo are used: the network sees squares.")
    if fov is None:
        notes.append("The photo does not say its lens: each hypothesis draws a field of view; state it by --fov.")
    return notes
