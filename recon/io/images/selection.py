"""Selection of one object of a photo by a pixel on it or a box around it, without learned models."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from recon.core.errors import InputError
from recon.io.images.confidence import of_grabcut
from recon.io.images.segment import Segmentation, border_ring, plain_background, unmix, without_specks

#: Below this clearness a plain background gives way to GrabCut.
_MIN_PLAIN_CLEARNESS = 0.25
#: GrabCut's cost grows with the pixels; its mask is refined at full size afterwards.
_SIDE = 320
#: Radius of the disc around a point that surely is the object, as a share of the picture's side.
_DISC = 0.012
#: Share of the border of the box that surely is background.
_RIM = 0.03
#: Share of the picture's border that an object may touch.
_CROPPED = 0.1
#: CIELAB differences a pixel below which there is no edge.
_FLAT = 1.0
#: Confidence of GrabCut at its best: it cannot know what the object is.
_GUESSED = 0.6


@dataclass(frozen=True)
class Selection:
    """One object of a photo: a pixel on it, or a box around it."""

    point: tuple[float, float] | None = None
    """x and y in pixels from the upper left corner."""
    box: tuple[float, float, float, float] | None = None
    """Left, top, right and bottom in pixels."""

    @staticmethod
    def at(text: str) -> "Selection":
        """Read "X,Y". Raises :class:`InputError` for anything else."""
        x, y = _numbers(text, 2, "--select takes X,Y in pixels from the upper left corner, such as 310,205")
        return Selection(point=(x, y))

    @staticmethod
    def around(text: str) -> "Selection":
        """Read "X0,Y0,X1,Y1". Raises :class:`InputError` for anything else."""
        hint = "--box takes X0,Y0,X1,Y1 in pixels: left, top, right, bottom, such as 40,60,300,280"
        left, top, right, bottom = _numbers(text, 4, hint)
        if right - left < 2 or bottom - top < 2:
            raise InputError(f"{hint}; '{text}' is empty.")
        return Selection(box=(left, top, right, bottom))

    def scaled(self, factor: float) -> "Selection":
        """The same place in a picture that is ``factor`` times as large."""
        if self.box is not None:
            left, top, right, bottom = (value * factor for value in self.box)
            return Selection(box=(left, top, right, bottom))
        assert self.point is not None
        return Selection(point=(self.point[0] * factor, self.point[1] * factor))

    def check(self, width: int, height: int) -> None:
        """Raise :class:`InputError` where the picture does not have the place."""
        x, y = self.center
        if not (0 <= x < width and 0 <= y < height):
            raise InputError(f"{self} is outside of the picture of {width} x {height} pixels: give a place within it.")

    @property
    def center(self) -> tuple[float, float]:
        if self.point is not None:
            return self.point
        assert self.box is not None
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    def __str__(self) -> str:
        kind, values = ("The box", self.box) if self.box is not None else ("The point", self.point)
        return f"{kind} {','.join(f'{value:g}' for value in values or ())}"


def segment_selected(
    rgb: UInt8[np.ndarray, "h w 3"], selection: Selection, others: Sequence[Selection] = ()
) -> Segmentation:
    """Mask of the object at ``selection``; ``others`` are further objects, which it does not hold.

    A plain background gives the objects' pixels, of which the connected part is taken. Where the background is not
    plain or objects touch, GrabCut (Rother et al. 2004) starts from the watershed of the selected places and the
    picture's border. Raises :class:`InputError` where nothing is found.
    """
    height, width = rgb.shape[:2]
    for each in (selection, *others):
        each.check(width, height)
    plain = plain_background(rgb)
    if plain is not None and plain.clearness >= _MIN_PLAIN_CLEARNESS:
        part = _connected_part(plain.alpha > 0.5, selection)
        # A part along the border may be another kind of background, such as the sky above a table.
        alone = part[border_ring(height, width, 1)].mean() < _CROPPED and not any(_touches(part, o) for o in others)
        if part.any() and alone:
            return replace(plain, alpha=np.where(_grown(part), plain.alpha, 0).astype(np.float32))
    found = _grabcut(rgb, selection, others)
    if not (found.alpha > 0.5).any():
        raise InputError(f"{selection} shows nothing that stands out: give a box around the object.")
    return found


def _grabcut(rgb: UInt8[np.ndarray, "h w 3"], selection: Selection, others: Sequence[Selection]) -> Segmentation:
    import cv2

    height, width = rgb.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = np.ascontiguousarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    own, rest = selection.scaled(scale), [each.scaled(scale) for each in others]
    mask = _seeds(small, own, rest)
    cv2.setRNGSeed(0)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, mask, None, background, foreground, 6, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    inside = _connected_part(_opened(np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))), own)
    full = cv2.resize(inside.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    clearness = _edge_clearness(small, inside)
    return Segmentation(unmix(rgb, full, radius=max(2, round(1.5 / scale))), clearness, of_grabcut(clearness))


def _seeds(small: UInt8[np.ndarray, "h w 3"], own: Selection, rest: Sequence[Selection]) -> UInt8[np.ndarray, "h w"]:
    """GrabCut's four classes: sure and probable object, sure and probable background."""
    import cv2

    height, width = small.shape[:2]
    slope = _slope(cv2.GaussianBlur(small, (0, 0), 1.0))
    regions = _watershed(slope, [own, *rest])
    mask = np.where(regions == 2, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    # Sky and walls: what the border reaches without crossing an edge.
    mask[(regions > 2) | ((regions == 1) & _reached(slope < _FLAT))] = cv2.GC_BGD
    for other in rest:
        mask[_sure(other, height, width)] = cv2.GC_BGD
    mask[border_ring(height, width, 1)] = cv2.GC_BGD
    if own.box is not None:
        within = _in_box(own, height, width)
        mask[within & (mask == cv2.GC_PR_BGD)] = cv2.GC_PR_FGD
        mask[~within] = cv2.GC_BGD
    mask[_sure(own, height, width)] = cv2.GC_FGD
    return mask


def _slope(rgb: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Differences between neighbors, in units of CIELAB a pixel."""
    import cv2

    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.linalg.norm(np.stack(np.gradient(lab, axis=(0, 1)), -1), axis=(-1, -2))


def _reached(flat: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The parts of a mask that touch the picture's border."""
    import cv2

    _, labels = cv2.connectedComponents(flat.astype(np.uint8), connectivity=4)
    height, width = flat.shape
    touching = np.unique(labels[border_ring(height, width, 1)])
    return np.isin(labels, touching[touching > 0])


def _watershed(slope: Float[np.ndarray, "h w"], places: Sequence[Selection]) -> Int[np.ndarray, "h w"]:
    """Regions of the places (2, 3 and so on) and of the border (1) that meet at the strongest edges."""
    from skimage.segmentation import watershed

    height, width = slope.shape
    markers = np.zeros((height, width), np.int32)
    markers[border_ring(height, width, max(1, round(0.01 * min(height, width))))] = 1
    for number, place in enumerate(places):
        markers[_sure(place, height, width)] = 2 + number
    return watershed(slope, markers).astype(np.int64)


def _sure(place: Selection, height: int, width: int) -> Bool[np.ndarray, "{height} {width}"]:
    """The disc around a point; of a box, its middle."""
    y, x = np.mgrid[:height, :width] + 0.5
    if place.box is None:
        radius = max(1.5, _DISC * max(height, width))
        return (x - place.center[0]) ** 2 + (y - place.center[1]) ** 2 < radius**2
    left, top, right, bottom = place.box
    middle_x, middle_y = place.center
    return (np.abs(x - middle_x) < max(1, 0.1 * (right - left))) & (np.abs(y - middle_y) < max(1, 0.1 * (bottom - top)))


def _in_box(place: Selection, height: int, width: int) -> Bool[np.ndarray, "{height} {width}"]:
    assert place.box is not None
    left, top, right, bottom = place.box
    margin = _RIM * max(right - left, bottom - top) / 2
    y, x = np.mgrid[:height, :width] + 0.5
    return (x > left + margin / 2) & (x < right - margin / 2) & (y > top + margin / 2) & (y < bottom - margin / 2)


def _connected_part(mask: Bool[np.ndarray, "h w"], place: Selection) -> Bool[np.ndarray, "h w"]:
    """The connected part at a point; the parts mostly within a box, without specks."""
    import cv2

    height, width = mask.shape
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    near = labels[_sure(place, height, width) & mask] if place.box is None else labels[_in_box(place, height, width)]
    near = near[near > 0]
    if not len(near):
        return np.zeros_like(mask)
    if place.box is None:
        return labels == np.bincount(near).argmax()
    inside, whole = np.bincount(near, minlength=labels.max() + 1), np.bincount(labels.ravel())
    mostly = (inside > 0.5 * whole) & (np.arange(len(whole)) > 0)
    return without_specks(mostly[labels] & _in_box(place, height, width), share=0.05)


def _touches(part: Bool[np.ndarray, "h w"], place: Selection) -> bool:
    x, y = (int(value) for value in place.center)
    return bool(part[y, x])


def _grown(part: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The part with its soft edge."""
    import cv2

    return cv2.dilate(part.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)


def _opened(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The mask without bridges of a pixel's width to other things of the same color."""
    import cv2

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel).astype(bool)


def _edge_clearness(small: UInt8[np.ndarray, "h w 3"], inside: Bool[np.ndarray, "h w"]) -> float:
    """A good cut runs along visible edges."""
    import cv2

    edge = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(bool)
    return _GUESSED * min(1.0, float(_slope(small)[edge].mean()) / 20.0) if edge.any() else 0.0


def _numbers(text: str, count: int, hint: str) -> list[float]:
    parts = re.split(r"\s*,\s*", text.strip())
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if len(values) != count or not all(np.isfinite(values)):
        raise InputError(f"{hint}, not '{text}'.")
    return values
