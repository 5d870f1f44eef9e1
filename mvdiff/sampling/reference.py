"""ReferenceImage: the photo as the network sees it, and how it was cut from its source."""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mvdiff.sampling.generation import Framing
from mvdiff.sampling.photo_camera import PhotoCamera
from recon.core.cameras import DEFAULT_DISTANCE, DEFAULT_FOV
from recon.core.errors import InputError
from recon.core.paths import exists
from recon.core.reading import read_json, reading
from recon.core.views import ViewSet
from recon.io.folders import atomic_write, write_json
from recon.io.images.files import load_image
from recon.io.images.matting import MatteReport, cut_out
from recon.io.images.segment import without_specks

#: The larger side of the object's box fills 1 / MARGIN of the square.
MARGIN = 1.15
#: Objects with fewer pixels on their larger side hold nothing that a shape could be told from.
MIN_OBJECT_PIXELS = 8
#: Most pixels along each side that a texture takes from the photo.
DETAIL_SIZE = 512

_PICTURE, _DETAIL, _RECORD = "reference.png", "reference_detail.png", "reference.json"
_FORMAT = "mvdiff-reference/1"


@dataclass(frozen=True)
class ReferenceImage:
    """A cut-out photo, recentered so that the object fills the square but for a margin."""

    rgba: Float[Tensor, "4 h w"]
    """sRGB in [0, 1], straight alpha, color 0 where alpha is 0."""
    crop: tuple[float, float, float]
    """(left, top, side) of the square in source pixels; it may reach beyond the source."""
    source_size: tuple[int, int]
    """(width, height) of the picture that ``crop`` refers to."""
    matte: MatteReport
    detail: Float[Tensor, "4 s s"] | None = None
    """The same square with more of the source's pixels, where it has them: for textures, not for the network."""
    framed: bool = False
    """Whether the source is a whole picture of the default lens that aims at the object's center."""

    @property
    def size(self) -> int:
        return self.rgba.shape[-1]

    @property
    def device(self) -> torch.device:
        return self.rgba.device

    def to(self, device: torch.device | str) -> "ReferenceImage":
        detail = None if self.detail is None else self.detail.to(device)
        return replace(self, rgba=self.rgba.to(device), detail=detail)

    def views(self, cameras: PhotoCamera) -> ViewSet:
        """The photo as a ViewSet [n 1], once for each idea of where it was taken from; as fine as the source is."""
        rgba = (self.rgba if self.detail is None else self.detail)[None, None].expand(len(cameras), -1, -1, -1, -1)
        placed = cameras.cameras(rgba.shape[-1]).to(self.device).reshape(len(cameras), 1)
        return ViewSet(rgba[:, :, :3], rgba[:, :, 3:], placed)

    def __repr__(self) -> str:
        left, top, side = self.crop
        return (
            f"ReferenceImage({self.size}x{self.size} from {side:.0f} px at ({left:.0f}, {top:.0f}) of "
            f"{self.source_size[0]}x{self.source_size[1]}, {self.matte.method} {self.matte.confidence:.2f}"
            f"{', framed' if self.framed else ''})"
        )

    def crop_parameters(self) -> tuple[float, float, float]:
        """(cx, cy, log_scale) of the camera whose picture is the source: default lens, aimed at the object's center.

        ``cx, cy`` is where the object's center (the middle of the source) lies in the crop, −1…1 with x right and
        y down; the scale is the projected radius of the bounding sphere, focal · 0.5 / distance, in half crops.
        """
        if not self.framed:
            raise ValueError('The camera is known only for a reference prepared with framing="keep".')
        left, top, side = self.crop
        width, height = self.source_size
        half = side / 2
        focal = 0.5 * height / math.tan(math.radians(DEFAULT_FOV) / 2)
        scale = focal * 0.5 / DEFAULT_DISTANCE / half
        return (width / 2 - left) / half - 1, (height / 2 - top) / half - 1, math.log(scale)

    def picture(self) -> Image.Image:
        """The 8-bit RGBA picture (exact: the values are multiples of 1/255)."""
        return _picture_of(self.rgba)

    def save(self, folder: str | os.PathLike) -> Path:
        """Write ``reference.png`` (and ``reference_detail.png``) and ``reference.json`` into ``folder`` (created);
        returns the picture's path."""
        folder = Path(folder)
        if self.detail is not None:
            with atomic_write(folder / _DETAIL) as temporary:
                _picture_of(self.detail).save(temporary)
        with atomic_write(folder / _PICTURE) as temporary:
            self.picture().save(temporary)
        record = {
            "format": _FORMAT,
            "crop": list(self.crop),
            "source_size": list(self.source_size),
            "matte": self.matte.to_dict(),
            "framed": self.framed,
        }
        write_json(folder / _RECORD, record)
        return folder / _PICTURE

    @staticmethod
    def load(folder: str | os.PathLike) -> "ReferenceImage":
        """Read what :meth:`save` wrote."""
        folder = Path(folder)
        with reading(folder / _RECORD, "reference", "prepare the photo again"):
            record = read_json(folder / _RECORD, _Record)
        rgba, detail = (_read(folder / name) if exists(folder / name) else None for name in (_PICTURE, _DETAIL))
        if rgba is None:
            raise InputError(f"'{folder / _PICTURE}' is missing: prepare the photo again.")
        return ReferenceImage(rgba, record.crop, record.source_size, record.matte, detail, record.framed)


_Pixels = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
_Place = Annotated[float, msgspec.Meta(ge=-(2.0**22), le=2.0**22)]


class _Record(msgspec.Struct, frozen=True):
    """``reference.json``."""

    format: Literal["mvdiff-reference/1"]
    crop: tuple[_Place, _Place, Annotated[float, msgspec.Meta(gt=0, le=2.0**22)]]
    source_size: tuple[_Pixels, _Pixels]
    matte: MatteReport
    framed: bool


def prepare(
    image: str | os.PathLike | Image.Image | np.ndarray,
    *,
    size: int = 128,
    matting: bool = True,
    framing: Framing = "recentre",
) -> ReferenceImage:
    """Read, cut out and recentre a photo.

    ``matting=False`` takes the picture's alpha as it is, be it opaque. ``framing="keep"`` recentres the pixels all the
    same (the network wants them so) but declares the source to be a whole picture of the default lens, so that
    :meth:`ReferenceImage.crop_parameters` knows its camera. Raises :class:`InputError` where there is no object.
    """
    name = "The picture" if isinstance(image, Image.Image | np.ndarray) else f"'{image}'"
    picture = load_image(image)
    if max(picture.size) < MIN_OBJECT_PIXELS:
        raise InputError(f"{name} is only {picture.width} x {picture.height} pixels: use one of at least 128 x 128.")
    try:
        rgba, matte = cut_out(picture, matting=matting)
    except InputError as error:
        raise InputError(str(error).replace("The picture", name, 1)) from error
    left, top, right, bottom = object_box(rgba[..., 3])
    larger = max(right - left, bottom - top)
    if larger < MIN_OBJECT_PIXELS:
        raise InputError(
            f"The object in {name.replace('The', 'the', 1)} is only {larger} pixels large: "
            f"use a picture in which it covers at least 128 pixels."
        )
    side = MARGIN * larger
    crop = ((left + right - side) / 2, (top + bottom - side) / 2, side)
    detail = min(DETAIL_SIZE, int(side))
    return ReferenceImage(
        rgba=_tensor(_resample(rgba, crop, size)),
        crop=crop,
        source_size=picture.size,
        matte=matte,
        detail=_tensor(_resample(rgba, crop, detail)) if detail > size else None,
        framed=framing == "keep",
    )


def object_box(alpha: Float[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in pixel edges of the solid part, specks left out."""
    solid = without_specks(alpha >= 0.5 * min(1.0, float(alpha.max())))
    if not solid.any():  # nothing but specks; the caller judges the size
        return 0, 0, 0, 0
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _resample(
    rgba: Float[np.ndarray, "h w 4"], crop: tuple[float, float, float], size: int
) -> Float[np.ndarray, "{size} {size} 4"]:
    """The square ``crop`` at ``size`` pixels, antialiased, premultiplied while it is resampled; multiples of 1/255."""
    left, top, side = crop
    height, width = rgba.shape[:2]
    first_x, first_y = math.floor(left), math.floor(top)
    span_x, span_y = math.ceil(left + side) - first_x, math.ceil(top + side) - first_y
    window = np.zeros((span_y, span_x, 4), np.float32)
    x0, y0, x1, y1 = max(0, first_x), max(0, first_y), min(width, first_x + span_x), min(height, first_y + span_y)
    window[y0 - first_y : y1 - first_y, x0 - first_x : x1 - first_x] = rgba[y0:y1, x0:x1]
    window[..., :3] *= window[..., 3:]
    box = (left - first_x, top - first_y, left - first_x + side, top - first_y + side)
    # Hamming: as sharp as bicubic but without negative lobes, which would make colored rims of soft alpha.
    kernel = Image.Resampling.HAMMING if side > size else Image.Resampling.BICUBIC
    channels = [
        Image.fromarray(np.ascontiguousarray(window[..., i])).resize((size, size), kernel, box=box) for i in range(4)
    ]
    result = np.stack([np.asarray(channel) for channel in channels], -1)
    alpha = np.rint(result[..., 3:].clip(0, 1) * 255) / 255
    color = result[..., :3] / np.maximum(result[..., 3:], 1e-6)
    color = np.where(alpha > 0, np.rint(color.clip(0, 1) * 255) / 255, 0.0)
    return np.concatenate([color, alpha], -1).astype(np.float32)


def _picture_of(rgba: Float[Tensor, "4 h w"]) -> Image.Image:
    values = (rgba.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(values))


def _read(path: Path) -> Float[Tensor, "4 h w"]:
    return _tensor(np.asarray(load_image(path, alpha="straight")).astype(np.float32) / 255)


def _tensor(rgba: Float[np.ndarray, "h w 4"]) -> Float[Tensor, "4 h w"]:
    return torch.from_numpy(np.ascontiguousarray(rgba.transpose(2, 0, 1)))
