"""Cutting away the transparent parts of a surface, so that a leaf card has a leaf's silhouette."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, UInt8

if TYPE_CHECKING:
    from recon.io.meshes.looks import Surface

#: Triangles that a cut may add; beyond, the outline is cut more coarsely.
_MAX_ADDED = 400_000
#: Triangles across the outline are split down to this edge, in texels.
_FINEST = 2.0
#: Columns of the texture coordinates among a corner's values.
_UV = slice(3, 5)


def cut(surface: "Surface", opacity: Float[np.ndarray, "k"], threshold: float) -> "Surface":
    """Keep the surface where ``opacity``, linear between vertices, is at least ``threshold``."""
    inside = (opacity >= threshold)[surface.faces]
    if inside.all():
        return surface
    crossing = inside.any(1) & ~inside.all(1)
    packed = _Corners(surface)
    values = np.concatenate([packed.values, opacity[surface.faces][..., None]], -1)
    parts = [values[inside.all(1)], _clipped(values[crossing], threshold)]
    return packed.unpack(np.concatenate(parts)[..., :-1])


def cut_by_texture(
    surface: "Surface", image: UInt8[np.ndarray, "h w 4"], factor: float, threshold: float
) -> tuple["Surface", UInt8[np.ndarray, "h w 3"]]:
    """Keep the surface where texture opacity times ``factor`` (times vertex opacity) is at least ``threshold``.

    Triangles across the outline are split (quadtree) to about two texels and clipped. The color of what is kept is
    spread into the transparent texels, so that rims do not show what lies under them.

    Args:
        surface: Triangles whose coordinates lie in 0…1 of ``image``.
        image: RGBA.
        factor: Opacity of the material.
        threshold: Opacity from which the surface is kept.
    """
    opacity = image[..., 3].astype(np.float32) * np.float32(factor / 255)
    if opacity.min() >= threshold and surface.colors is None:
        return surface, np.ascontiguousarray(image[..., :3])
    packed = _Corners(surface)
    vertex = np.ones(surface.faces.shape, np.float32) if surface.colors is None else surface.colors[surface.faces, 3]
    values = np.concatenate([packed.values, vertex[..., None]], -1)
    ranges = _Ranges(opacity)
    kept, mixed = ranges.sort(values, threshold)
    done, budget = [kept], _MAX_ADDED + len(values)
    rims = []
    while len(mixed):
        fine = _longest(mixed[..., _UV], opacity.shape) <= _FINEST
        if fine.all() or 4 * len(mixed) + sum(map(len, done)) > budget:
            rims.append(mixed)
            break
        rims.append(mixed[fine])
        kept, mixed = ranges.sort(_quartered(mixed[~fine]), threshold)
        done.append(kept)
    rim = np.concatenate([*rims, values[:0]])
    at = _bilinear(opacity, rim[..., _UV]) * rim[..., -1]
    done.append(_clipped(np.concatenate([rim, at[..., None]], -1), threshold)[..., :-1])
    return packed.unpack(np.concatenate(done)[..., :-1]), _spread(image[..., :3], opacity >= threshold)


class _Corners:
    """All values at a surface's corners as one array [f 3 c], for linear interpolation."""

    def __init__(self, surface: "Surface") -> None:
        self.surface = surface
        self.attributes = {name: np.asarray(each, np.float32) for name, each in (surface.attributes or {}).items()}
        columns = [surface.vertices[surface.faces]]
        columns += [] if surface.uv is None else [surface.uv]
        columns += [] if surface.colors is None else [surface.colors[surface.faces]]
        columns += [each.reshape(len(each), -1)[surface.faces] for each in self.attributes.values()]
        self.ends = np.cumsum([column.shape[-1] for column in columns])
        self.values = np.concatenate(columns, -1).astype(np.float32)

    def unpack(self, values: Float[np.ndarray, "f 3 c"]) -> "Surface":
        """The surface of these corners, each a vertex of its own."""
        columns = iter(np.split(values, self.ends[:-1], -1))
        vertices = next(columns).reshape(-1, 3)
        uv = None if self.surface.uv is None else next(columns)
        colors = None if self.surface.colors is None else next(columns).reshape(-1, 4)
        attributes = {name: next(columns).reshape(-1, *each.shape[1:]) for name, each in self.attributes.items()}
        faces = np.arange(3 * len(values)).reshape(-1, 3)
        return replace(self.surface, vertices=vertices, faces=faces, uv=uv, colors=colors, attributes=attributes)


class _Ranges:
    """Least and greatest opacity in rectangles of an image, from pyramids of minima and maxima."""

    def __init__(self, opacity: Float[np.ndarray, "h w"]) -> None:
        self.levels = [(opacity, opacity)]
        while max(self.levels[-1][0].shape) > 1:
            self.levels.append((_halved(self.levels[-1][0], np.minimum), _halved(self.levels[-1][1], np.maximum)))

    def sort(self, values: Float[np.ndarray, "f 3 c"], threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """The triangles that are kept whole, and those that may cross the outline."""
        low, high = self.of(values[..., _UV])
        least, most = low * values[..., -1].min(1), high * values[..., -1].max(1)
        return values[least >= threshold], values[(least < threshold) & (most >= threshold)]

    def of(self, uv: Float[np.ndarray, "f 3 2"]) -> tuple[Float[np.ndarray, "f"], Float[np.ndarray, "f"]]:
        """Bounds for each triangle's box of coordinates, bilinear interpolation included."""
        size = np.array(self.levels[0][0].shape[::-1])
        first = np.floor(uv.min(1) * size - 0.5).astype(np.int64).clip(0, size - 1)
        last = np.ceil(uv.max(1) * size - 0.5).astype(np.int64).clip(0, size - 1)
        level = np.ceil(np.log2((last - first).max(1).clip(1))).astype(np.int64).clip(0, len(self.levels) - 1)
        low, high = np.empty(len(uv), np.float32), np.empty(len(uv), np.float32)
        for k in np.unique(level).tolist():
            here, (least, most) = level == k, self.levels[k]
            corners = [first[here] >> k, last[here] >> k]  # at most two cells along each axis
            cells = [(corners[i][:, 1], corners[j][:, 0]) for i in range(2) for j in range(2)]
            low[here] = np.min([least[cell] for cell in cells], 0)
            high[here] = np.max([most[cell] for cell in cells], 0)
        return low, high


def _halved(values: Float[np.ndarray, "h w"], reduce: np.ufunc) -> Float[np.ndarray, "h2 w2"]:
    values = np.pad(values, [(0, side % 2) for side in values.shape], mode="edge")
    values = reduce(values[::2], values[1::2])
    return reduce(values[:, ::2], values[:, 1::2])


def _longest(uv: Float[np.ndarray, "f 3 2"], shape: tuple[int, int]) -> Float[np.ndarray, "f"]:
    """Each triangle's longest edge in texels."""
    edges = (np.roll(uv, -1, 1) - uv) * np.array(shape[::-1])
    return np.linalg.norm(edges, axis=-1).max(1)


def _quartered(values: Float[np.ndarray, "f 3 c"]) -> Float[np.ndarray, "4*f 3 c"]:
    """Every triangle split at the middles of its edges."""
    a, b, c = values.transpose(1, 0, 2)
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    corners = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([np.stack(each, 1) for each in corners])


def _clipped(values: Float[np.ndarray, "f 3 c"], threshold: float) -> Float[np.ndarray, "g 3 c"]:
    """Triangles clipped to where their last column is at least ``threshold``."""
    inside = values[..., -1] >= threshold
    count = inside.sum(1)
    parts = [values[count == 3]]
    for number in (1, 2):  # turned so that the corner unlike the others comes first
        chosen, own = values[count == number], inside[count == number]
        odd = (own if number == 1 else ~own).argmax(1)
        turned = np.take_along_axis(chosen, ((odd[:, None] + np.arange(3)) % 3)[..., None], 1)
        a, b, c = turned.transpose(1, 0, 2)
        ab, ac = _crossing(a, b, threshold), _crossing(a, c, threshold)
        parts += [np.stack([a, ab, ac], 1)] if number == 1 else [np.stack([ab, b, c], 1), np.stack([ab, c, ac], 1)]
    return np.concatenate(parts)


def _crossing(one: np.ndarray, two: np.ndarray, threshold: float) -> Float[np.ndarray, "f c"]:
    """The point between two corners where the last column is ``threshold``."""
    share = ((threshold - one[:, -1]) / (two[:, -1] - one[:, -1]))[:, None]
    return (one + share * (two - one)).astype(np.float32)


def _bilinear(values: Float[np.ndarray, "h w"], uv: Float[np.ndarray, "f 3 2"]) -> Float[np.ndarray, "f 3"]:
    from scipy.ndimage import map_coordinates

    places = (uv * np.array(values.shape[::-1]) - 0.5)[..., ::-1]
    return map_coordinates(values, np.moveaxis(places, -1, 0), order=1, mode="nearest")


def _spread(rgb: UInt8[np.ndarray, "h w 3"], seen: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """The image with every other texel in the color of the nearest seen one."""
    from scipy.ndimage import distance_transform_edt

    if not seen.any() or seen.all():
        return np.ascontiguousarray(rgb)
    rows, columns = distance_transform_edt(~seen, return_distances=False, return_indices=True)
    return rgb[rows, columns]
