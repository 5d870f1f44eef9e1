"""Matting: the object's pixels from the photo's alpha channel, or from the best mask available offline."""

import importlib.util
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from PIL import Image

from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.io.images import network_matte, segment

#: Share of the picture that must be see-through before an alpha channel counts as a cut-out.
_MIN_TRANSPARENT = 0.002
#: Below this clearness a plain background gives way to the other methods.
_MIN_CLEARNESS = 0.25
#: Below this confidence the user is told; GrabCut never reaches it, as it cannot know what the object is.
_UNTRUSTED = 0.75

#: Share of its box that a rectangle with rounded corners fills; the confidence that it is the object.
_RECTANGLE = 0.985
_FRAMED = 0.6

_REMBG_MODEL = "u2net"


Method = Literal["alpha", "plain background", "rembg", "network", "grabcut", "none", "selected", "sam2"]


@dataclass(frozen=True)
class MatteReport:
    """Method that separated the object from its background."""

    method: Method
    confidence: float
    """0 (a guess) to 1 (the picture's own alpha channel)."""
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "warnings": list(self.warnings)}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "MatteReport":
        return MatteReport(values["method"], float(values["confidence"]), tuple(values["warnings"]))


def find_matte(image: Image.Image) -> tuple[Float[np.ndarray, "h w"], MatteReport]:
    """Alpha in 0…1 of the object in an RGBA picture (see :func:`recon.io.images.files.load_image`).

    A used alpha channel is kept as it is. Then come a plain background (where that is doubtful, without what the
    matting network takes for a shadow), ``rembg`` where it and its model are already installed, the matting network,
    and GrabCut. Raises :class:`InputError` if there is no object.
    """
    pixels = np.asarray(image)
    given = pixels[..., 3].astype(np.float32) / 255
    if given.max() < 0.05:
        raise InputError("The picture is fully transparent: export it with the object visible.")
    if (given < 0.5).mean() > _MIN_TRANSPARENT:
        alpha, report = given, MatteReport("alpha", _FRAMED if is_framed(given) else 1.0)
    else:
        alpha, method, confidence = _segment(np.ascontiguousarray(pixels[..., :3]))
        report = MatteReport(method, round(confidence, 3))
    if report.method != "alpha" and not (alpha > 0.5).any():
        raise InputError("The picture shows nothing but background: choose one in which the object stands out.")
    return alpha, MatteReport(report.method, report.confidence, _warnings(alpha, report))


def is_framed(alpha: Float[np.ndarray, "h w"]) -> bool:
    """Whether the opaque part is a whole upright rectangle, as of a window's screenshot or a card."""
    solid = alpha > 0.5
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    if not len(rows):
        return False
    box = solid[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return min(box.shape) >= 16 and float(box.mean()) > _RECTANGLE


def cut_out(image: Image.Image, *, matting: bool = True) -> tuple[Float[np.ndarray, "h w 4"], MatteReport]:
    """The object alone: RGBA in 0…1, straight alpha, no background color at its edges, 0 where alpha is 0.

    Without ``matting`` the picture's alpha is taken as it is, be it opaque.
    """
    pixels = np.asarray(image)
    rgb = np.ascontiguousarray(pixels[..., :3])
    if matting:
        alpha, report = find_matte(image)
    else:
        alpha = pixels[..., 3].astype(np.float32) / 255
        if alpha.max() < 0.05:
            raise InputError("The picture is fully transparent: export it with the object visible.")
        report = MatteReport("none", 1.0)
    own = report.method in ("alpha", "none")
    color = rgb.astype(np.float32) if own else segment.foreground_colors(rgb, alpha)
    color = np.where(alpha[..., None] > 0, color / 255, 0.0)
    return np.concatenate([color, alpha[..., None]], -1).astype(np.float32), report


def _segment(rgb: np.ndarray) -> tuple[np.ndarray, Method, float]:
    plain = segment.plain_background(rgb)
    is_plain = plain is not None and plain.clearness >= _MIN_CLEARNESS
    if plain is not None and is_plain and (plain.confidence >= _UNTRUSTED or plain.drawn or not plain.alpha.any()):
        return plain.alpha, "plain background", plain.confidence
    if rembg_available() and not is_plain:
        return _rembg(rgb), "rembg", 0.9
    probability = network_matte.object_probability(rgb)
    if plain is not None and is_plain:
        shadowless = network_matte.without_shadow(rgb, plain, probability)
        if shadowless is not None:
            return shadowless.alpha, "plain background", shadowless.confidence
    found = network_matte.network_matte(rgb, probability)
    if (found.alpha > 0.5).any():
        return found.alpha, "network", found.confidence
    cut = segment.grabcut(rgb)
    return cut.alpha, "grabcut", cut.confidence


def _warnings(alpha: np.ndarray, report: MatteReport) -> tuple[str, ...]:
    solid = alpha > 0.5
    messages = []
    if all(edge.any() for edge in (solid[0], solid[-1], solid[:, 0], solid[:, -1])):
        messages.append(
            "The object touches all four borders: the picture may be cropped, or its background was not found."
        )
    if report.method == "alpha" and report.confidence < _UNTRUSTED:
        messages.append(
            "The opaque part is a full rectangle, as of a window or a card: if the object is in it, give the picture "
            "without its transparent border."
        )
    elif report.method == "plain background" and report.confidence < _UNTRUSTED:
        messages.append(
            "The cut-out may hold a shadow or lack a pale part: look at reference.png, or give a picture with "
            "transparency."
        )
    elif report.confidence < _UNTRUSTED:
        messages.append("The background is not plain and the cut-out a guess: a picture with transparency is safer.")
    return tuple(messages)


def rembg_available() -> bool:
    """Whether rembg is installed and its model already lies on disk (it is never downloaded from here)."""
    if importlib.util.find_spec("rembg") is None or importlib.util.find_spec("onnxruntime") is None:
        return False
    return is_file(_rembg_home() / f"{_REMBG_MODEL}.onnx")


def _rembg_home() -> Path:
    """Folder of rembg's models, by its own rules."""
    default = os.path.join(os.getenv("XDG_DATA_HOME", "~"), ".u2net")
    return Path(os.getenv("U2NET_HOME", default)).expanduser()


def _rembg(rgb: np.ndarray) -> np.ndarray:
    import rembg

    # With its checksum test on, rembg would fetch a model that differs from its own.
    os.environ.setdefault("MODEL_CHECKSUM_DISABLED", "1")
    mask = rembg.remove(Image.fromarray(rgb), session=rembg.new_session(_REMBG_MODEL), only_mask=True)
    return np.asarray(mask.convert("L")).astype(np.float32) / 255
