"""Lenses of photos, and photos without their distortion."""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8

from recon.core.errors import InputError

#: Rays farther than this from the axis, in focal lengths, are left out of a pinhole picture (72 degrees).
_MAX_TANGENT = 3.0
#: Largest growth of a side on undistorting; a smaller scale makes room for the rest.
_MAX_GROWTH = 2.0
#: How far width to height of a picture may be from that of its camera.
_SAME_ASPECT = 0.02


@dataclass(frozen=True)
class Lens:
    """A camera's inner geometry in the pixels of a picture of ``width`` x ``height``; pixel centers at +.5."""

    width: float
    height: float
    focal: tuple[float, float]
    center: tuple[float, float]
    distortion: tuple[float, ...] = ()
    """OpenCV's order: k1, k2, p1, p2, k3, k4, k5, k6; of a fisheye k1 to k4."""
    fisheye: bool = False
    """Equidistant projection (Kannala and Brandt 2006) instead of a pinhole's."""
    orthographic: bool = False
    """Parallel rays; the focal lengths are pixels per world unit."""

    def __post_init__(self) -> None:
        values = (self.width, self.height, *self.focal, *self.center, *self.distortion)
        if not all(map(math.isfinite, values)) or min(self.width, self.height, *self.focal) <= 0:
            raise InputError("Width, height and focal length must be positive, and no number NaN or infinity.")
        if self.orthographic and not self.is_pinhole:
            raise InputError("An orthographic lens has no distortion: undistort the pictures first.")

    @property
    def is_pinhole(self) -> bool:
        """Whether straight lines stay straight."""
        return not self.fisheye and not any(self.distortion)

    def fits(self, size: tuple[int, int]) -> bool:
        """Whether a picture of ``size`` may be a scaled copy of the one that the lens speaks of."""
        return abs(self.width / self.height * size[1] / size[0] - 1) <= _SAME_ASPECT

    def resized(self, width: int, height: int) -> "Lens":
        """The same lens on a picture of another size."""
        x, y = width / self.width, height / self.height
        focal, center = (self.focal[0] * x, self.focal[1] * y), (self.center[0] * x, self.center[1] * y)
        return replace(self, width=width, height=height, focal=focal, center=center)

    def matrix(self) -> Float[np.ndarray, "3 3"]:
        """Intrinsics, pixel centers at +.5."""
        return np.array([[self.focal[0], 0, self.center[0]], [0, self.focal[1], self.center[1]], [0, 0, 1]], np.float64)


def undistorted(rgba: UInt8[np.ndarray, "h w 4"], lens: Lens) -> tuple[UInt8[np.ndarray, "h2 w2 4"], Lens]:
    """The picture that a pinhole would have taken from the same place, and that pinhole.

    It shows all of the picture (of a very wide one, the middle) at the scale of its center; what lies outside the
    source is transparent.
    """
    if lens.is_pinhole:
        return rgba, lens
    pinhole = _frame(lens)
    width, height = int(pinhole.width), int(pinhole.height)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(x - pinhole.center[0]) / pinhole.focal[0], (y - pinhole.center[1]) / pinhole.focal[1]], -1)
    return _sample(rgba, _distorted(rays.reshape(-1, 2), lens).reshape(height, width, 2)), pinhole


def _frame(lens: Lens) -> Lens:
    """The pinhole that holds the border of the distorted picture."""
    sides = [np.linspace(0, length, 65) for length in (lens.width, lens.height)]
    border = [(x, y) for x in sides[0] for y in (0, lens.height)] + [(x, y) for y in sides[1] for x in (0, lens.width)]
    rays = _straight(np.array(border), lens)
    low, high = rays.min(0).clip(-_MAX_TANGENT, -1e-3), rays.max(0).clip(1e-3, _MAX_TANGENT)
    wanted = (high - low) * lens.focal
    scale = min(1.0, _MAX_GROWTH * lens.width / wanted[0], _MAX_GROWTH * lens.height / wanted[1])
    focal = (lens.focal[0] * scale, lens.focal[1] * scale)
    width, height = (max(1, math.ceil(side * scale)) for side in wanted)
    return Lens(width, height, focal, (-low[0] * focal[0], -low[1] * focal[1]))


def _straight(pixels: Float[np.ndarray, "p 2"], lens: Lens) -> Float[np.ndarray, "p 2"]:
    """Directions (x / z, y / z) of distorted pixels."""
    import cv2

    points, coefficients = pixels[:, None].astype(np.float64), _coefficients(lens)
    if not lens.fisheye:
        found = cv2.undistortPoints(points, lens.matrix(), coefficients)[:, 0]
        return np.where(np.isfinite(found), found, 0.0)
    flat = (pixels - lens.center) / lens.focal
    bent = np.linalg.norm(flat, axis=-1, keepdims=True)
    angles = np.linspace(0, math.atan(_MAX_TANGENT), 1024)
    tangent = np.tan(np.interp(bent, _bent(angles, lens), angles))
    return flat / np.maximum(bent, 1e-9) * tangent


def _bent(angle: Float[np.ndarray, "a"], lens: Lens) -> Float[np.ndarray, "a"]:
    """Distance from the center, in focal lengths, of rays at ``angle`` to a fisheye's axis; never falling."""
    powers = (1, 3, 5, 7, 9)
    factors = (1.0, *_coefficients(lens))
    radius = sum(k * angle**p for k, p in zip(factors, powers, strict=True))
    return np.maximum.accumulate(radius)


def _distorted(rays: Float[np.ndarray, "p 2"], lens: Lens) -> Float[np.ndarray, "p 2"]:
    """Pixels of directions (x / z, y / z); NaN where the lens' polynomial has turned back."""
    import cv2

    points = np.concatenate([rays, np.ones((len(rays), 1))], -1)[:, None]
    zero = np.zeros(3)
    if lens.fisheye:
        pixels = cv2.fisheye.projectPoints(points, zero, zero, lens.matrix(), _coefficients(lens))[0][:, 0]
    else:
        pixels = cv2.projectPoints(points, zero, zero, lens.matrix(), _coefficients(lens))[0][:, 0]
    radius = np.linalg.norm(rays, axis=-1)
    return np.where((radius < _turning(lens))[:, None], pixels, np.nan)


def _turning(lens: Lens) -> float:
    """The distance from the axis, in focal lengths, at which the radial polynomial stops growing."""
    radius = np.linspace(0, 2 * _MAX_TANGENT, 2048)
    if lens.fisheye:
        grown = _bent(np.arctan(radius), lens)
    else:
        k1, k2, _, _, k3, k4, k5, k6 = _coefficients(lens)
        square = radius**2
        below = 1 + square * (k4 + square * (k5 + square * k6))
        grown = radius * (1 + square * (k1 + square * (k2 + square * k3))) / np.where(below > 1e-6, below, np.nan)
    falling = np.flatnonzero(~(np.diff(grown) > 0))
    return float(radius[falling[0]]) if len(falling) else math.inf


def _coefficients(lens: Lens) -> Float[np.ndarray, "c"]:
    return np.array((*lens.distortion, *[0.0] * 8)[: 4 if lens.fisheye else 8], np.float64)


def _sample(rgba: UInt8[np.ndarray, "h w 4"], pixels: Float[np.ndarray, "h2 w2 2"]) -> UInt8[np.ndarray, "h2 w2 4"]:
    """Bilinear, premultiplied; transparent outside."""
    import cv2

    alpha = rgba[..., 3:].astype(np.float32) / 255
    source = np.concatenate([rgba[..., :3] * alpha, rgba[..., 3:]], -1).astype(np.float32)
    x, y = (np.nan_to_num(pixels[..., k] - 0.5, nan=-1e4).clip(-1e4, 1e6).astype(np.float32) for k in (0, 1))
    found = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0, 0))
    color = found[..., :3] / np.maximum(found[..., 3:] / 255, 1e-3)
    return np.rint(np.concatenate([color, found[..., 3:]], -1).clip(0, 255)).astype(np.uint8)
