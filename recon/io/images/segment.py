"""Cutting an object out of an opaque picture without learned models: plain backgrounds, GrabCut, color unmixing."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from recon.io.images.confidence import of_grabcut, of_plain, shade_share

#: CIELAB distance (ΔE 1976) that is never taken for a difference between object and background.
_MIN_CONTRAST = 4.0
#: A background that scatters more than this around its smooth model is not plain.
_MAX_SCATTER = 4.0
#: Share of the picture below which a contrasting patch is taken for noise.
_SMALLEST = 2e-4
#: Shadows: slope (ΔE per pixel of a picture of that many pixels), chroma shift, darkening, share of the height.
_SHADOW_SIDE = 320
_SHADOW_SLOPE = 3.0
_SHADOW_CHROMA = 4.0
_SHADOW_DEPTH = 50.0
_SHADOW_FOOT = 0.3
#: Strokes are thinner than this share of what they enclose; the confidence of a drawing filled in.
_STROKE = 0.03
_DRAWN = 0.6
#: GrabCut's cost grows with the pixels; its mask is refined at full size afterwards.
_GRABCUT_SIDE = 320


@dataclass(frozen=True)
class Segmentation:
    """A soft mask and how far to trust it."""

    alpha: Float[np.ndarray, "h w"]
    clearness: float
    """Contrast along the edge, 0 to 1; what is unclear gives way to other methods."""
    confidence: float
    """Probability that the mask is right, see :mod:`recon.io.images.confidence`."""
    drawn: bool = False
    """Whether the object is a line drawing, filled in."""


def plain_background(rgb: UInt8[np.ndarray, "h w 3"]) -> Segmentation | None:
    """Mask of what differs from a smooth (even, graded, noisy) background; None where the border is no such thing.

    The background's color is a cubic of the position in CIELAB, fitted robustly to the border, then to everything
    that it explains and that is connected to the border.
    """
    import cv2

    height, width = rgb.shape[:2]
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    ring = border_ring(height, width, max(2, round(0.02 * min(height, width))))
    noise = _noise(lab)
    if noise > 1.0:  # differences are judged on a smoothed copy, so that noise does not raise the threshold
        lab = cv2.GaussianBlur(lab, (0, 0), float(np.clip(noise / 2, 0.8, 2.5)))
    known = ring
    for degree in (2, 2, 3):
        if not known.any():
            return None
        model, scatter = fit_smooth(lab, known, degree)
        distance = np.linalg.norm(lab - model, axis=-1)
        threshold = max(_MIN_CONTRAST, 5.0 * scatter)
        explained = distance < threshold
        outside = connected_to(explained, ring)
        if (outside & ring).sum() < 0.6 * ring.sum() or scatter > _MAX_SCATTER:
            return None
        known = cv2.erode(outside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    outside = _with_shadow(outside, lab, model, ring)
    holes = _holes(explained & ~outside, distance, threshold, scatter)
    drawn = bool(holes.any()) and _is_outline(~(outside | holes))
    inside = ~outside if drawn else ~(outside | holes)
    # Noise passes the threshold here and there, but an object also passes it by far.
    inside = connected_to(inside, distance > 2 * threshold)
    inside = without_specks(inside, smallest=round(_SMALLEST * inside.size))
    if not inside.any():
        return Segmentation(np.zeros((height, width), np.float32), 1.0, 1.0)
    contrast = float(np.median(distance[inside & ~holes] if drawn else distance[inside]))
    clearness = min(1.0, contrast / (3 * threshold)) * float((outside & ring).sum() / ring.sum())
    clearness *= _clear_edge(inside, distance, threshold)
    confidence = of_plain(clearness, shade_share(inside, lab, model))
    return Segmentation(unmix(rgb, inside), clearness, min(confidence, _DRAWN) if drawn else confidence, drawn)


def _is_outline(mask: Bool[np.ndarray, "h w"]) -> bool:
    """Whether a mask with holes is all strokes, as of a line drawing, whose inside then belongs to it."""
    import cv2

    if not mask.any():
        return False
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    thickness = 2 * float(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3).max())
    return bool(thickness < _STROKE * extent)


def _clear_edge(inside: Bool[np.ndarray, "h w"], distance: Float[np.ndarray, "h w"], threshold: float) -> float:
    """Share of the mask's edge near which the picture differs clearly from the background: white on white does not."""
    import cv2

    edge = inside & ~cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    reach = 2 * max(2, round(max(inside.shape) / 200)) + 1
    nearby = cv2.dilate(np.where(inside, distance, 0).astype(np.float32), np.ones((reach, reach), np.uint8))
    return float((nearby[edge] > 2 * threshold).mean()) if edge.any() else 1.0


def grabcut(rgb: UInt8[np.ndarray, "h w 3"], iterations: int = 6) -> Segmentation:
    """GrabCut (Rother et al. 2004) started from contrast to the border's colors and nearness to the center."""
    import cv2

    height, width = rgb.shape[:2]
    size, scale = grabcut_size(height, width)
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    ring = border_ring(size[1], size[0], max(2, round(0.03 * min(size))))
    # Each pixel's distance to the nearest of a few border colors: several kinds of background may meet the frame.
    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.1)
    count = min(6, int(ring.sum()))
    _, _, centers = cv2.kmeans(np.ascontiguousarray(lab[ring]), count, None, criteria, 3, cv2.KMEANS_PP_CENTERS)
    contrast = np.linalg.norm(lab[:, :, None] - centers, axis=-1).min(-1)
    y, x = np.meshgrid(np.linspace(-1, 1, size[1]), np.linspace(-1, 1, size[0]), indexing="ij")
    saliency = contrast * np.exp(-1.5 * (x**2 + y**2))
    mask = np.where(saliency > np.quantile(saliency, 0.6), cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    mask[saliency > np.quantile(saliency, 0.95)] = cv2.GC_FGD
    mask[ring] = cv2.GC_BGD
    if not np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).any():  # a picture of little more than its border
        return Segmentation(np.zeros((height, width), np.float32), 0.0, 0.0)
    inside = cut_by_colors(small, mask, iterations)
    inside = without_specks(inside, share=0.05, smallest=round(_SMALLEST * inside.size))
    if not inside.any():
        return Segmentation(np.zeros((height, width), np.float32), 0.0, 0.0)
    edge = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(bool)
    gradient = np.linalg.norm(np.stack(np.gradient(lab, axis=(0, 1)), -1), axis=(-1, -2))
    clearness = 0.7 * min(1.0, float(gradient[edge].mean()) / 20.0)  # a good cut runs along visible edges
    alpha = unmix(rgb, enlarged(inside, height, width), radius=max(2, round(1.5 / scale)))
    return Segmentation(alpha, clearness, of_grabcut(clearness))


def grabcut_size(height: int, width: int) -> tuple[tuple[int, int], float]:
    """Width and height at which GrabCut works on a picture, and its scale there."""
    scale = min(1.0, _GRABCUT_SIDE / max(height, width))
    return (max(8, round(width * scale)), max(8, round(height * scale))), scale


def cut_by_colors(
    small: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], iterations: int
) -> Bool[np.ndarray, "h w"]:
    """GrabCut from labels of OpenCV for both sides, which it changes; its draws follow ``cv2.setRNGSeed``."""
    import cv2

    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(small), labels, None, *models, iterations, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def enlarged(inside: Bool[np.ndarray, "p q"], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """A mask at the size of the picture."""
    import cv2

    return cv2.resize(inside.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5


def unmix(
    rgb: UInt8[np.ndarray, "h w 3"], inside: Bool[np.ndarray, "h w"], radius: int | None = None
) -> Float[np.ndarray, "h w"]:
    """Soft alpha: pixels within ``radius`` of the mask's edge are split into the colors on its two sides."""
    import cv2

    height, width = inside.shape
    radius = max(2, round(max(height, width) / 400)) if radius is None else radius
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    mask = inside.astype(np.uint8)
    sure = cv2.erode(mask, kernel, borderType=cv2.BORDER_REPLICATE).astype(bool)
    sure_outside = cv2.erode(1 - mask, kernel, borderType=cv2.BORDER_REPLICATE).astype(bool)
    color = rgb.astype(np.float32)
    foreground, has_foreground = spread(color, sure, 3.0 * radius)
    background, has_background = spread(color, sure_outside, 3.0 * radius)
    difference = foreground - background
    length = (difference**2).sum(-1)
    fraction = ((color - background) * difference).sum(-1) / np.maximum(length, 1.0)
    fallback = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.7)
    # Thin parts have no sure inside and like colors cannot be told apart: there the mask's own edge decides.
    usable = has_foreground & has_background & (length > 20.0**2)
    soft = np.where(usable, np.clip((fraction - 0.05) / 0.9, 0, 1), fallback)
    return np.where(sure, 1.0, np.where(sure_outside, 0.0, soft)).astype(np.float32)


def foreground_colors(rgb: UInt8[np.ndarray, "h w 3"], alpha: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Colours 0…255 without the background's share at soft edges: there the nearest opaque colors are continued."""
    radius = max(2.0, max(alpha.shape) / 400)
    color = rgb.astype(np.float32)
    estimate, known = spread(color, alpha > 0.98, 2.0 * radius)
    background, has_background = spread(color, alpha < 0.02, 3.0 * radius)
    share = np.clip(alpha, 0.05, 1)[..., None]
    unmixed = np.clip((color - (1 - share) * background) / share, 0, 255)
    # Beyond the reach of opaque pixels (hair, thin wires) the mixture itself is inverted.
    result = np.where(known[..., None], estimate, np.where(has_background[..., None], unmixed, color))
    return np.where((alpha > 0.98)[..., None], color, result).astype(np.float32)


def spread(
    color: Float[np.ndarray, "h w 3"], known: Bool[np.ndarray, "h w"], sigma: float
) -> tuple[Float[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """Colours of the ``known`` pixels continued into their surroundings, and where they reach."""
    import cv2

    weight = known.astype(np.float32)
    near = cv2.GaussianBlur(weight, (0, 0), sigma / 2)
    mean = cv2.GaussianBlur(color * weight[..., None], (0, 0), sigma / 2) / np.maximum(near, 1e-6)[..., None]
    return mean, near > 1e-3


def border_ring(height: int, width: int, thickness: int) -> Bool[np.ndarray, "{height} {width}"]:
    ring = np.ones((height, width), bool)
    ring[thickness : height - thickness, thickness : width - thickness] = False
    return ring


def _noise(lab: Float[np.ndarray, "h w 3"]) -> float:
    """Standard deviation of pixel noise (Immerkær 1996, with a median in place of the mean)."""
    import cv2

    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return float(np.median(np.abs(cv2.filter2D(lab[..., 0], -1, kernel))) / 0.6745 / 6)


def fit_smooth(
    lab: Float[np.ndarray, "h w 3"], known: Bool[np.ndarray, "h w"], degree: int
) -> tuple[Float[np.ndarray, "h w 3"], float]:
    """Polynomial of the position through most ``known`` pixels, and their robust scatter (per channel)."""
    height, width = known.shape
    x_powers = np.vander(np.linspace(-1, 1, width, dtype=np.float32), degree + 1, increasing=True)
    y_powers = np.vander(np.linspace(-1, 1, height, dtype=np.float32), degree + 1, increasing=True)
    exponents = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    index = np.flatnonzero(known)
    row, column = np.divmod(index[:: max(1, len(index) // 20000)], width)
    rows = np.stack([x_powers[column, i] * y_powers[row, j] for i, j in exponents], -1)
    values = lab[row, column]
    median = np.median(values, 0)
    residual = np.linalg.norm(values - median, axis=-1)
    ridge = 1e-3 * len(rows) * np.eye(rows.shape[1], dtype=np.float32)
    ridge[0, 0] = 0.0
    for _ in range(8):
        scale = max(1.4826 * float(np.median(residual)), 0.5)
        weight = np.clip(1 - (residual / (4 * scale)) ** 2, 0, None)[:, None] ** 2  # Tukey's biweight
        weighted = rows * weight
        # Least squares rather than solve: a few pixels in one row leave some terms undetermined.
        coefficients = np.linalg.lstsq(weighted.T @ rows + ridge, weighted.T @ (values - median), rcond=None)[0]
        residual = np.linalg.norm(values - median - rows @ coefficients, axis=-1)
    table = np.zeros((degree + 1, degree + 1, 3), np.float32)
    for (i, j), coefficient in zip(exponents, coefficients, strict=True):
        table[j, i] = coefficient
    model = np.einsum("yj,jic,xi->yxc", y_powers, table, x_powers, optimize=True) + median
    return model.astype(np.float32), float(np.median(residual)) / 1.538  # 1.538: median of the chi distribution, 3 d


def connected_to(mask: Bool[np.ndarray, "h w"], seed: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    import cv2

    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    touched = np.zeros(labels.max() + 1, bool)
    touched[labels[mask & seed]] = True
    return touched[labels]


def _with_shadow(
    outside: Bool[np.ndarray, "h w"],
    lab: Float[np.ndarray, "h w 3"],
    model: Float[np.ndarray, "h w 3"],
    ring: Bool[np.ndarray, "h w"],
) -> Bool[np.ndarray, "h w"]:
    """The background with the soft shadow on the ground.

    A shadow darkens the background without changing its chroma, lies at the object's foot, and is reached from the
    background without crossing an edge.
    """
    import cv2

    height, width = outside.shape
    scale = min(1.0, _SHADOW_SIDE / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.GaussianBlur(cv2.resize(lab, size, interpolation=cv2.INTER_AREA), (0, 0), 0.8)
    slope = np.linalg.norm(np.stack(np.gradient(small, axis=(0, 1)), -1), axis=(-1, -2)).astype(np.float32)
    slope = cv2.resize(slope, (width, height), interpolation=cv2.INTER_LINEAR)
    chroma = np.linalg.norm(lab[..., 1:] - model[..., 1:], axis=-1)
    darker = model[..., 0] - lab[..., 0]
    rows = np.flatnonzero((~outside).sum(1) > 0.01 * width)
    foot = np.arange(height)[:, None] > (rows[-1] - _SHADOW_FOOT * (rows[-1] - rows[0]) if len(rows) else height)
    shaded = foot & (slope < _SHADOW_SLOPE) & (chroma < _SHADOW_CHROMA) & (darker > 0) & (darker < _SHADOW_DEPTH)
    return connected_to(outside | shaded, ring & outside)


def _holes(
    enclosed: Bool[np.ndarray, "h w"],
    distance: Float[np.ndarray, "h w"],
    threshold: float,
    scatter: float,
) -> Bool[np.ndarray, "h w"]:
    """Enclosed regions that are background seen through the object (a handle), not highlights or pale parts of it.

    A true hole has the background's very color, some size, and a sharp rim; a highlight fades.
    """
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(enclosed.astype(np.uint8), connectivity=4)
    smallest = max(8, 0.003 * (distance >= threshold).sum())
    slope = np.hypot(cv2.Sobel(distance, -1, 1, 0), cv2.Sobel(distance, -1, 0, 1))
    holes = np.zeros(enclosed.shape, bool)
    reach = max(2, round(max(enclosed.shape) / 200))
    for label in np.flatnonzero(stats[:, cv2.CC_STAT_AREA] > smallest):
        if label == 0:
            continue
        left, top, width, height = stats[label, :4]
        window = (
            slice(max(0, top - 4 * reach), top + height + 4 * reach),
            slice(max(0, left - 4 * reach), left + width + 4 * reach),
        )
        region = labels[window] == label
        away = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 3)
        rim, beyond = (away > 0) & (away <= reach), (away > 2 * reach) & (away <= 4 * reach)
        contrast, steepness = distance[window], slope[window]
        alike = np.median(contrast[region]) < max(0.6, 2.0 * scatter)
        sharp = np.median(contrast[rim]) > 2 * threshold and np.median(steepness[rim]) > 1.5 * np.median(
            steepness[beyond]
        )
        holes[window] |= region & bool(alike and sharp)
    return holes


def without_specks(mask: Bool[np.ndarray, "h w"], share: float = 0.003, smallest: int = 1) -> Bool[np.ndarray, "h w"]:
    """The mask without 8-connected parts smaller than ``share`` of its largest one or than ``smallest`` pixels."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    return (area >= max(1, smallest, share * area.max()))[labels]
