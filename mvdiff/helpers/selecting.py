"""Objects of one photo, each cut out as a picture of its own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from recon.core.errors import InputError
from recon.io.images.files import load_image, stored_size
from recon.io.images.matting import MatteReport
from recon.io.images.segment import Segmentation, foreground_colors
from recon.io.images.selection import Selection, segment_selected

#: Share of a mask that may belong to an earlier one before the two are the same object.
_SAME = 0.7
_UNTRUSTED = 0.75


@runtime_checkable
class Segmenter(Protocol):
    """Mask of the object at a place; ``others`` are places of further objects."""

    def __call__(
        self, rgb: UInt8[np.ndarray, "h w 3"], selection: Selection, others: Sequence[Selection] = ()
    ) -> Segmentation: ...


@dataclass(frozen=True)
class SelectedObject:
    """One object of a photo."""

    picture: Image.Image
    """The whole photo as RGBA, transparent but for the object."""
    matte: MatteReport


def select_objects(
    photo: str | os.PathLike | Image.Image | np.ndarray,
    selections: Sequence[Selection],
    segmenter: Segmenter | None = None,
) -> list[SelectedObject]:
    """Cut the object at each place out of the photo.

    Args:
        photo: Path, picture or array.
        selections: Places in pixels of the photo as it is stored, turned upright.
        segmenter: Network that finds the masks; without one a plain background or GrabCut does.

    Raises:
        InputError: A place is outside of the photo, shows nothing, or two show the same object.
    """
    picture = load_image(photo)
    factor = max(picture.size) / _stored_side(photo, picture)
    places = [each.scaled(factor) for each in selections]
    given = np.asarray(picture)[..., 3:].astype(np.float32) / 255
    rgb = np.ascontiguousarray(np.rint(np.asarray(picture)[..., :3] * given + 255 * (1 - given)).astype(np.uint8))
    find: Segmenter = segmenter or segment_selected
    masks: list[Float[np.ndarray, "h w"]] = []
    found = []
    for number, place in enumerate(places):
        segmentation = find(rgb, place, places[:number] + places[number + 1 :])
        _check_new(segmentation.alpha, masks, number)
        masks.append(segmentation.alpha)
        report = _report(segmentation, "sam2" if segmenter else "selected")
        found.append(SelectedObject(_cut(rgb, segmentation.alpha), report))
    return found


def _check_new(alpha: Float[np.ndarray, "h w"], earlier: Sequence[Float[np.ndarray, "h w"]], number: int) -> None:
    for index, other in enumerate(earlier):
        if np.minimum(alpha, other).sum() > _SAME * min(alpha.sum(), other.sum()):
            raise InputError(
                f"Places {index + 1} and {number + 1} show the same object: give one place for each, or boxes."
            )


def _cut(rgb: UInt8[np.ndarray, "h w 3"], alpha: Float[np.ndarray, "h w"]) -> Image.Image:
    """RGBA without the background's color at soft edges."""
    color = np.where(alpha[..., None] > 0, foreground_colors(rgb, alpha), 0.0)
    rgba = np.concatenate([color, 255 * alpha[..., None]], -1)
    return Image.fromarray(np.rint(rgba.clip(0, 255)).astype(np.uint8))


def _report(found: Segmentation, method: str) -> MatteReport:
    warnings = []
    solid = found.alpha > 0.5
    if any(edge.any() for edge in (solid[0], solid[-1], solid[:, 0], solid[:, -1])):
        warnings.append("The selected object touches the border of the photo: it may be cropped.")
    if method == "selected":
        warnings.append(
            "No segmenter was given: the object was selected by color and edges alone. Look at reference.png; "
            "--segmenter FOLDER takes a network."
        )
    elif found.confidence < _UNTRUSTED:
        warnings.append(f"The segmenter is not sure of this object (quality {found.confidence:.2f}): a box is safer.")
    return MatteReport("sam2" if method == "sam2" else "selected", round(found.confidence, 3), tuple(warnings))


def _stored_side(photo: str | os.PathLike | Image.Image | np.ndarray, read: Image.Image) -> int:
    """Longer side of the photo before :func:`load_image` reduced it."""
    if isinstance(photo, Image.Image):
        return max(photo.size)
    if isinstance(photo, np.ndarray):
        return max(photo.shape[:2])
    return max(stored_size(Path(photo)))
