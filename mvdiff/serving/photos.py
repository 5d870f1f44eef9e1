"""Uploaded photos and their mattes, on disk."""

import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from recon.core.errors import InputError
from recon.core.paths import inside
from recon.core.reading import read_json
from recon.io.folders import atomic_write, write_json
from recon.io.images import segment
from recon.io.images.files import VIEW_PNG, load_image
from recon.io.images.matting import MatteReport, find_matte

if TYPE_CHECKING:
    from mvdiff.helpers.selecting import Segmenter
    from recon.io.images.selection import Selection

_MATTE, _CUTOUT, _RECORD = "matte.png", "cutout.png", "record.json"
_ID = re.compile(r"[0-9a-f]{16}")
_UNSAFE = re.compile(r"[^\w-]+")
_LONGEST_NAME = 60
#: Seconds after which a photo that was uploaded is removed.
_KEPT = 7 * 86400
#: Tags of EXIF data: their folder, and the focal length that 35 mm film would need.
_EXIF, _FOCAL_35MM = 0x8769, 0xA405
#: Alpha below which nothing is seen.
_SEEN = 13


def safe_name(text: str | None) -> str:
    """A file name without its folder and suffix, in letters, digits, ``-`` and ``_``."""
    stem = Path((text or "").replace("\\", "/")).stem
    return _UNSAFE.sub("-", stem).strip("-")[:_LONGEST_NAME].strip("-") or "photo"


@dataclass(frozen=True)
class PhotoFolder:
    """One uploaded photo: the upright picture, its matte, and where a user corrected it the cut-out."""

    path: Path

    @staticmethod
    def find(state_dir: Path, photo_id: str) -> "PhotoFolder":
        """Raises :class:`InputError` where there is no such photo."""
        folder = PhotoFolder(state_dir / "photos" / photo_id)
        if not _ID.fullmatch(photo_id) or not (folder.path / _RECORD).is_file():
            raise InputError("There is no such photo: upload it again.")
        return folder

    @staticmethod
    def add(state_dir: Path, upload: bytes, name: str | None, max_pixels: int) -> "PhotoFolder":
        """Decode an upload, find the object in it, and keep both. Raises :class:`InputError` for what is no photo."""
        own, photo_id = safe_name(name), secrets.token_hex(8)
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "upload"
            file.write_bytes(upload)
            picture = _named(f"'{file}'", own, lambda: load_image(file, max_pixels=max_pixels))
            lens = lens_of(file)
        alpha, report = _matte(picture)
        folder = PhotoFolder(state_dir / "photos" / photo_id)
        with atomic_write(folder.path / f"{own}.png") as temporary:
            picture.save(temporary, exif=lens, **VIEW_PNG)
        folder._save_matte(alpha)
        record = {"name": own, "width": picture.width, "height": picture.height, "matte": report.to_dict()}
        write_json(folder.path / _RECORD, record | {"corrected": False})
        return folder

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def record(self) -> dict[str, Any]:
        """Name, size, matte and whether a user corrected it."""
        return read_json(self.path / _RECORD, dict[str, Any])

    @property
    def picture(self) -> Path:
        """The photo as it was uploaded, upright."""
        return inside(self.path, f"{self.record['name']}.png")

    @property
    def matte(self) -> Path:
        """The object's alpha as a gray picture."""
        return self.path / _MATTE

    def require_object(self) -> None:
        """Raise :class:`InputError` where no object was found and none was picked or painted."""
        matte = self.record["matte"]
        if matte["method"] == "none":
            raise InputError(" ".join(matte["warnings"]))

    @property
    def source(self) -> Path:
        """The picture that is sampled from: the cut-out where its matte was corrected, else the photo."""
        return self.path / _CUTOUT if self.record["corrected"] else self.picture

    def correct(self, mask: bytes, max_pixels: int) -> None:
        """Replace the matte by a user's, of the photo's size. Raises :class:`InputError` for what is none."""
        record = self.record
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "matte"
            file.write_bytes(mask)
            given = _named(f"'{file}'", "matte", lambda: load_image(file, alpha="straight", max_pixels=max_pixels))
        size = (record["width"], record["height"])
        if given.size != size:
            raise InputError(f"The matte has {given.width} x {given.height} pixels, its photo {size[0]} x {size[1]}.")
        alpha = np.asarray(given)[..., 0].astype(np.float32) / 255
        if not (alpha > 0.5).any():
            raise InputError("The matte leaves nothing of the object: paint some of it.")
        self.keep(alpha, MatteReport("alpha", 1.0).to_dict() | {"method": "corrected by hand"})

    def keep(self, alpha: Float[np.ndarray, "h w"], report: dict[str, Any]) -> None:
        """Replace the matte, and cut the object out by it; ``report`` says how it was found."""
        record = self.record
        rgb = np.ascontiguousarray(np.asarray(load_image(self.picture))[..., :3])
        colors = np.clip(segment.foreground_colors(rgb, alpha), 0, 255)
        rgba = np.concatenate([colors, alpha[..., None] * 255], -1).round().astype(np.uint8)
        with atomic_write(self.path / _CUTOUT) as temporary:
            Image.fromarray(rgba).save(temporary, **VIEW_PNG)
        self._save_matte(alpha)
        write_json(self.path / _RECORD, record | {"matte": report, "corrected": True})

    def select(self, place: "Selection", segmenter: "Segmenter | None" = None) -> list[str]:
        """Replace the matte by that of the object at ``place``; returns notes.

        Raises :class:`InputError` for a place that shows no object.
        """
        from mvdiff.helpers.selecting import select_objects

        (found,) = select_objects(self.picture, [place], segmenter)
        method = {"sam2": "picked, outlined by SAM 2", "selected": "picked, outlined by color and edges"}
        report = found.matte.to_dict() | {"method": method[found.matte.method]}
        # The sentence on a missing segmenter is for the command line; the page has one of its own.
        report["warnings"] = [each for each in found.matte.warnings if "--segmenter" not in each]
        self.keep(np.asarray(found.picture)[..., 3].astype(np.float32) / 255, report)
        return list(report["warnings"])

    def _save_matte(self, alpha: np.ndarray) -> None:
        with atomic_write(self.matte) as temporary:
            Image.fromarray((alpha * 255).round().astype(np.uint8)).save(temporary, **VIEW_PNG)


def remove_old_photos(state_dir: Path) -> None:
    """Remove uploads of more than a week ago; runs have copies of their own."""
    for folder in (state_dir / "photos").glob("*"):
        if time.time() - folder.stat().st_mtime > _KEPT:
            shutil.rmtree(folder, ignore_errors=True)
    for file in (state_dir / "paintings").glob("*"):
        if time.time() - file.stat().st_mtime > _KEPT:
            file.unlink(missing_ok=True)


def lens_of(file: Path) -> Image.Exif:
    """Metadata that keep nothing of a photo's but its focal length for 35 mm film, from which scenes take the lens."""
    kept = Image.Exif()
    try:
        with Image.open(file) as picture:
            focal = picture.getexif().get_ifd(_EXIF).get(_FOCAL_35MM)
        if focal is not None and 0 < int(focal) < 1 << 16:
            kept[_EXIF] = {_FOCAL_35MM: int(focal)}
    except (OSError, SyntaxError, ValueError, TypeError, KeyError):  # damaged metadata beside a sound picture
        return Image.Exif()
    return kept


def _matte(picture: Image.Image) -> tuple[Float[np.ndarray, "h w"], MatteReport]:
    """The object's alpha; where none stands out, that of the whole picture: a photo of a place has no object."""
    try:
        return find_matte(picture)
    except InputError as error:
        if np.asarray(picture)[..., 3].max() < _SEEN:
            raise
        whole = np.ones((picture.height, picture.width), np.float32)
        return whole, MatteReport("none", 0.0, (f"{str(error).split(':')[0]}: pick the object, or paint it.",))


def _named(text: str, name: str, read: Callable[[], Any]) -> Any:
    """Call ``read``; its errors speak of ``name`` where they say ``text``."""
    try:
        return read()
    except InputError as error:
        raise InputError(str(error).replace(text, f"'{name}'")) from error
