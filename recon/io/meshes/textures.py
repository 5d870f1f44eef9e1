"""Textures of meshes as 8-bit sRGB with an opacity, of bounded size."""

import warnings
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from recon.io.images.files import MAX_PIXELS

#: Longest side of a texture; longer ones are reduced on reading.
MAX_SIDE = 4096
#: Formats that Pillow decodes itself, without helper programs.
_FORMATS = (
    *("PNG", "JPEG", "MPO", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "GIF", "JPEG2000", "PPM", "TGA", "DDS", "PCX"),
    *("PSD", "SGI", "ICO"),
)
_ERRORS = (
    *(OSError, SyntaxError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError, AssertionError),
    *(RuntimeError, EOFError, MemoryError, NotImplementedError, Image.DecompressionBombError),
)


class TextureError(ValueError):
    """The picture cannot be used; the message says why in a few words."""


@dataclass(frozen=True)
class Texture:
    """A picture as it lies in the file: neither color profile nor orientation is applied (glTF 2.0, section 3.9.2)."""

    rgb: UInt8[np.ndarray, "h w 3"]
    alpha: UInt8[np.ndarray, "h w"] | None = None
    """None where every pixel is opaque."""

    @property
    def is_gray(self) -> bool:
        return bool((self.rgb == self.rgb[..., :1]).all())


def decode_texture(data: bytes, max_side: int = MAX_SIDE) -> Texture:
    """Decode a picture, reduced to ``max_side`` pixels on its longer side.

    Raises:
        TextureError: The bytes are no picture that can be read, or one of too many pixels.
    """
    if data[:7] == b"\xabKTX 20":
        raise TextureError("KTX2")
    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size and metadata warnings
            image = Image.open(BytesIO(data), formats=[kind for kind in _FORMATS if kind in Image.OPEN])
        if image.width * image.height > MAX_PIXELS:
            raise TextureError(f"{image.width} x {image.height} pixels")
        return _to_texture(_loaded(image, max_side))
    except TextureError:
        raise
    except _ERRORS as error:
        raise TextureError("damaged or of an unknown kind") from error


def _loaded(image: Image.Image, max_side: int) -> Image.Image:
    """The picture in mode L, LA, RGB or RGBA, reduced before any copy is made."""
    if image.format in ("JPEG", "MPO"):
        image.draft(None, (max_side, max_side))  # decodes large JPEGs at a fraction of their size
    image.load()
    transparency = image.info.get("transparency")
    if image.mode == "F" or image.mode.startswith("I"):
        image, transparency = _deep_gray(image), None
    if max(image.size) > max_side:
        if image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
            image = image.convert("RGBA" if transparency is not None or image.mode == "PA" else "RGB")
            transparency = None
        image = image.reduce(-(-max(image.size) // max_side))
    if image.mode in ("P", "PA", "RGBa", "La") or transparency is not None:
        return image.convert("RGBA")
    return image if image.mode in ("L", "LA", "RGB", "RGBA") else image.convert("RGB")


def _deep_gray(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float gray in 8 bits; Pillow's own conversion clips."""
    values = np.nan_to_num(np.asarray(image).astype(np.float32), posinf=0.0, neginf=0.0)
    peak = float(values.max(initial=0))
    white = 65535.0 if image.mode != "F" else next((w for w in (1.0, 255.0, 65535.0) if peak <= w), peak)
    return Image.fromarray(np.clip(np.rint(values * (255.0 / max(white, peak))), 0, 255).astype(np.uint8))


def _to_texture(image: Image.Image) -> Texture:
    alpha = np.asarray(image.getchannel("A")) if image.mode in ("LA", "RGBA") else None
    if alpha is not None and alpha.min(initial=255) == 255:
        alpha = None
    return Texture(np.asarray(image.convert("RGB")), alpha)
