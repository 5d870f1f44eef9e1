"""Pictures as people have them, turned into one thing: 8-bit sRGB RGBA with straight alpha, upright."""

import contextlib
import os
import re
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Num, UInt8
from PIL import Image, ImageCms

from recon.core.errors import InputError
from recon.core.paths import exists, is_folder
from recon.core.reading import READ_ERRORS, read_bytes, reason

#: More pixels than any camera has are refused before they are decoded (Pillow itself stops at 179 million).
MAX_PIXELS = 150_000_000
#: Bytes of a picture's file; uncompressed ones of that many pixels in 16 bits fit.
MAX_FILE = 1 << 31
#: Longer pictures are reduced on reading: the object is looked at in 128 x 128 pixels.
MAX_SIDE = 2048

#: How Pillow writes a PNG of a texture, whose filtered rows hardly repeat: a quarter of the time, and no larger.
TEXTURE_PNG = {"compress_type": zlib.Z_RLE}
#: And of a view, with much background: half of the time, 7 % larger.
VIEW_PNG: dict[str, Any] = {"compress_level": 4}

#: Formats that Pillow decodes itself. Others may start helper programs (EPS), or are no photos.
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "JPEG2000", "PPM", "ICO", "HEIF")

#: What Pillow's decoders let out on damaged files.
_DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError, AssertionError),
    *(RuntimeError, EOFError, MemoryError, struct.error, zlib.error),
)

_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_ORIENTATION = 0x0112
_ANY_SIDE = 1 << 20

#: Faint pixels (0 < alpha < 32) below which premultiplication cannot be told from the picture.
_MIN_SOFT_PIXELS = 16

AlphaKind = Literal["auto", "straight", "premultiplied"]


def load_image(
    source: str | os.PathLike | Image.Image | np.ndarray,
    *,
    alpha: AlphaKind = "auto",
    max_side: int = MAX_SIDE,
    max_pixels: int = MAX_PIXELS,
    upright: bool = True,
) -> Image.Image:
    """The picture as upright 8-bit sRGB RGBA with straight alpha, its longer side at most ``max_side``.

    ``source`` is a file, a Pillow picture or an array [h, w] / [h, w, 1–4] (integers over their full range, floats and
    booleans in 0…1). Rotation and color profile in the file are applied; of an animation the first frame is taken,
    with a warning. ``alpha="auto"`` recognises premultiplied color. Raises :class:`InputError` for all that is no
    usable picture. Without ``upright`` the pixels stay as they are stored, whatever rotation the metadata ask for.
    """
    if isinstance(source, np.ndarray):
        name, image = "The array", _from_array(source)
    elif isinstance(source, Image.Image):
        name, image = "The picture", source
    else:
        name, image = f"'{source}'", _open(Path(source), max_pixels)
    _check_size(name, image.size, max_pixels)
    try:
        image = _decode(name, source.copy() if image is source else image, max_side, upright)
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error), max_pixels) from error
    except _DECODE_ERRORS as error:
        raise InputError(
            f"{name} cannot be decoded ({reason(error)}); it may be truncated: export or copy it again."
        ) from error
    if alpha == "premultiplied" or (alpha == "auto" and is_premultiplied(np.asarray(image))):
        image = Image.fromarray(_unpremultiply(np.asarray(image)))
    if max(image.size) > max_side:
        scale = max_side / max(image.size)
        size = tuple(max(1, round(side * scale)) for side in image.size)
        image = image.resize(size, Image.Resampling.LANCZOS)
    return image


def load_mask(path: str | os.PathLike, *, upright: bool = True) -> UInt8[np.ndarray, "h w"]:
    """A mask of any depth as alpha 0…255: its gray times its own alpha.

    Of two values at most, as programs for segmentation write them (0 and 1, labels), all but 0 is opaque.
    """
    image = _open(Path(path), MAX_PIXELS)
    _check_size(f"'{path}'", image.size, MAX_PIXELS)
    if image.mode.startswith("I"):  # 16 bits, of which labels use the lowest
        values = np.asarray(_turned(image) if upright else image)
        if len(np.unique(values)) <= 2:
            return np.where(values > 0, np.uint8(255), np.uint8(0))
    rgba = np.asarray(load_image(path, alpha="straight", max_side=_ANY_SIDE, upright=upright)).astype(np.float32)
    gray = np.rint(rgba[..., :3] @ (0.299, 0.587, 0.114) * rgba[..., 3] / 255).astype(np.uint8)
    values = np.unique(gray)
    return np.where(gray > 0, np.uint8(255), np.uint8(0)) if len(values) <= 2 and values[0] == 0 else gray


def load_values(path: str | os.PathLike) -> Num[np.ndarray, "h w"]:
    """The stored numbers of a picture with one channel, as of a depth map. Raises :class:`InputError`."""
    image = _open(Path(path), MAX_PIXELS)
    _check_size(f"'{path}'", image.size, MAX_PIXELS)
    try:
        values = np.asarray(image)
    except (*_DECODE_ERRORS, Image.DecompressionBombError) as error:
        raise InputError(f"'{path}' cannot be decoded ({reason(error)}): export or copy it again.") from error
    if values.ndim != 2 or values.dtype == bool:
        raise InputError(f"'{path}' has more than one channel: export it as a picture of 8 or 16 bits of gray.")
    return values


def stored_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture's pixels, without decoding them. Raises :class:`InputError`."""
    return _open(path, MAX_PIXELS).size


def _turned(image: Image.Image) -> Image.Image:
    orientation = _orientation(image)
    return image.transpose(_ORIENTATIONS[orientation]) if orientation in _ORIENTATIONS else image


def is_premultiplied(rgba: np.ndarray) -> bool:
    """Whether the colors [h, w, 4] (uint8) look multiplied by alpha.

    They must nowhere exceed alpha, down to faint pixels where straight colors would, without being simply black.
    """
    alpha, brightest = rgba[..., 3].astype(int), rgba[..., :3].max(-1).astype(int)
    soft = (alpha > 0) & (alpha < 255)
    faint, middle = soft & (alpha < 32), soft & (alpha >= 16) & (alpha < 128)
    if faint.sum() < _MIN_SOFT_PIXELS or not middle.any() or (brightest > alpha + 1)[soft].mean() > 0.002:
        return False
    return bool(np.median(brightest[middle] / alpha[middle]) > 0.2)


def _unpremultiply(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(np.float32)
    color = rgba[..., :3] * (255.0 / np.maximum(alpha, 1.0))
    return np.concatenate([np.clip(np.rint(color), 0, 255).astype(np.uint8), rgba[..., 3:]], -1)


def _open(path: Path, max_pixels: int) -> Image.Image:
    if str(path).startswith(("http:", "https:")):
        raise InputError(f"'{path}' is an address: download the picture and name the file.")
    if not exists(path):
        raise InputError(f"There is no file '{path}': check the path.")
    if is_folder(path):
        raise InputError(f"'{path}' is a folder: name one picture file in it.")
    try:
        data = read_bytes(path, MAX_FILE)
    except READ_ERRORS as error:
        raise InputError(f"'{path}' cannot be read ({reason(error)}): check its path and permissions.") from error
    if not data:
        raise InputError(f"'{path}' is empty: export or copy it again.")
    Image.init()
    _register_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size and metadata warnings; _check_size decides
            return Image.open(BytesIO(data), formats=[kind for kind in _FORMATS if kind in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise _too_large(f"'{path}'", str(error), max_pixels) from error
    except _DECODE_ERRORS as error:
        raise InputError(f"'{path}' {_what_it_is(data[:512])}.") from error


def _register_heif() -> None:
    """HEIC and HEIF by the optional part ``heif``."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()


def _what_it_is(head: bytes) -> str:
    """The end of a sentence about a file that did not open, from its first bytes."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if brand in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"):
        return "is a HEIC picture: pip install 'mvdiff[heif]' reads them, or convert it to JPEG or PNG"
    if brand in (b"avif", b"avis"):
        return "is an AVIF picture that cannot be read here: convert it to PNG or JPEG"
    if brand:
        return "is a video: export one frame as PNG"
    if b"<svg" in head.lower():
        return "is an SVG drawing: export it as PNG, 512 pixels or larger, with a transparent background"
    if head.startswith(b"%PDF") or head.startswith(b"%!PS"):
        return "is a document: export the picture in it as PNG"
    return "is not a picture that can be read: convert it to PNG, JPEG or WebP"


def _too_large(name: str, detail: str, max_pixels: int) -> InputError:
    pixels = re.search(r"\d{7,}", detail)
    size = f"has {int(pixels[0]) / 1e6:.0f} million pixels" if pixels else f"expands too far ({detail})"
    limit = f"{max_pixels / 1e6:.0f} million" if max_pixels >= 1e6 else str(max_pixels)
    return InputError(f"{name} {size}, more than {limit}: reduce it, {MAX_SIDE} pixels a side are enough.")


def _check_size(name: str, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InputError(f"{name} has no pixels ({width} x {height}): export it again.")
    if width * height > max_pixels:
        limit = f"{max_pixels / 1e6:.0f} million" if max_pixels >= 1e6 else str(max_pixels)
        raise InputError(
            f"{name} is {width} x {height} pixels, more than {limit} in all: "
            f"reduce it, {MAX_SIDE} pixels a side are enough."
        )


def _decode(name: str, image: Image.Image, max_side: int, upright: bool = True) -> Image.Image:
    """Decoded, turned upright if asked for, in sRGB."""
    if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: a photo with its preview
        warnings.warn(f"{name} is animated or has several pages: only the first is used.", stacklevel=3)
        image.seek(0)
    profile = image.info.get("icc_profile")
    if image.format in ("JPEG", "MPO"):
        image.draft(None, (max_side, max_side))  # decodes large JPEGs at a fraction of their size
    image.load()
    orientation = _orientation(image)  # after loading: the TIFF decoder has then applied and removed it
    factor = max(image.size) // (2 * max_side)
    if factor > 1 and image.mode in ("L", "LA", "RGB", "RGBA", "CMYK"):
        image = image.reduce(factor)  # before the copies below
    if upright and orientation in _ORIENTATIONS:
        image = image.transpose(_ORIENTATIONS[orientation])
    return _to_srgb(name, image, profile)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1)
    except _DECODE_ERRORS:  # damaged metadata beside a sound picture
        return 1


def _to_srgb(name: str, image: Image.Image, profile: bytes | None) -> Image.Image:
    transparency = image.info.get("transparency")
    if image.mode == "F" or image.mode.startswith("I"):
        image = _deep_gray(image, transparency)
    elif image.mode in ("RGBa", "La"):
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    elif image.mode in ("P", "PA") or transparency is not None:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):  # 1, HSV, LAB, YCbCr
        image = image.convert("RGB")
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    if alpha is not None:
        image = image.convert(image.mode[:-1])
    if profile:
        image = _apply_profile(name, image, profile)
    image = image.convert("RGBA")
    if alpha is not None:
        image.putalpha(alpha)
    return Image.frombytes("RGBA", image.size, image.tobytes())  # without the file's metadata


def _deep_gray(image: Image.Image, transparency: int | None) -> Image.Image:
    """16-bit, 32-bit and float gray as 8-bit gray; Pillow's own conversion would clip."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
    peak = values.max()
    if image.mode.startswith("I;16"):
        white = 65535.0
    elif image.mode == "I":
        white = 65535.0 if peak <= 65535 else peak
    else:
        white = next((white for white in (1.0, 255.0, 65535.0) if peak <= white), peak)
    gray = Image.fromarray(np.clip(np.rint(values * (255.0 / white)), 0, 255).astype(np.uint8))
    if not isinstance(transparency, int):
        return gray
    return Image.merge("LA", (gray, Image.fromarray(np.where(values == transparency, 0, 255).astype(np.uint8))))


def _apply_profile(name: str, image: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        warnings.warn(
            f"{name} carries a colour profile that does not fit it; its colours are taken as sRGB.", stacklevel=3
        )
        return image


def _from_array(array: np.ndarray) -> Image.Image:
    shape = "x".join(map(str, array.shape))
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)) or array.size == 0:
        raise InputError(
            f"An array of shape {shape} is not a picture: give [h, w] or [h, w, channels] with 1 to 4 channels."
        )
    if array.dtype == bool or np.issubdtype(array.dtype, np.floating):
        values = array.astype(np.float32)
        if not np.isfinite(values).all() or values.min() < -1e-3 or values.max() > 1.001:
            raise InputError("A picture given as floats must have finite values from 0 to 1: divide it by its range.")
        values = values * 255.0
    elif array.dtype == np.uint8:
        values = array
    elif array.dtype == np.uint16:
        values = array / 257.0
    else:
        raise InputError(
            f"A picture of type {array.dtype} has no known range: convert it to uint8, or to floats in 0…1."
        )
    values = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    values = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    return Image.fromarray(np.ascontiguousarray(values))
