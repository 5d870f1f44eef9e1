"""Vertex colors over a texture, baked into a new texture in which every triangle has a place of its own."""

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from recon.core.conventions import linear_to_srgb, srgb_to_linear
from recon.io.meshes.wrapping import MAX_ATLAS

#: Least side of a cell is 2 to this power, in texels.
_LEAST = 2
_TEXELS_AT_ONCE = 1 << 20


def bake_tint(
    uv: Float[np.ndarray, "f 3 2"], rgb: UInt8[np.ndarray, "h w 3"], tint: Float[np.ndarray, "f 3 3"]
) -> tuple[Float[np.ndarray, "f 3 2"], UInt8[np.ndarray, "s s 3"]]:
    """Multiply a texture by colors that vary over the surface.

    Two triangles share a square cell, whose side is a power of two near their size in the old texture. Cells are laid
    out along a Z-order curve (Morton 1966) from the largest to the smallest, which leaves no gap.

    Args:
        uv: Coordinates in 0…1.
        rgb: The sRGB texture.
        tint: Linear factor at each corner.

    Returns:
        New coordinates, and an sRGB texture of at most ``MAX_ATLAS`` texels a side.
    """
    power = _cell_powers(uv, rgb.shape[:2])
    order = np.argsort(-power, kind="stable")
    order = np.append(order, order[-1:]) if len(order) % 2 else order  # the odd one fills its cell alone
    pairs, power = order.reshape(-1, 2), power[order[::2]]
    place, side = _z_order(power)
    image, corners = np.zeros((side, side, 3), np.uint8), np.empty(uv.shape)
    for k in np.unique(power).tolist():
        cells = np.flatnonzero(power == k)
        corners[pairs[cells]] = place[cells][:, None, None] + _cell_corners(1 << k)
        for some in np.array_split(cells, -(-len(cells) // max(1, _TEXELS_AT_ONCE >> 2 * k))):
            _fill(image, place[some], 1 << k, uv[pairs[some]], tint[pairs[some]], rgb)
    return (corners / side).astype(np.float32), image


def _cell_powers(uv: Float[np.ndarray, "f 3 2"], shape: tuple[int, int]) -> Int[np.ndarray, "f"]:
    """Binary logarithm of each triangle's cell side, such that all cells fit."""
    edges = (np.roll(uv, -1, 1) - uv) * np.array(shape[::-1])
    length = np.linalg.norm(edges, axis=-1).max(1)
    power = np.ceil(np.log2(length + 3)).astype(np.int64).clip(_LEAST, int(np.log2(MAX_ATLAS)) - 1)
    while (power > _LEAST).any() and (4.0**power).sum() / 2 > MAX_ATLAS**2:
        power = (power - 1).clip(_LEAST)
    return power


def _z_order(power: Int[np.ndarray, "c"]) -> tuple[Int[np.ndarray, "c 2"], int]:
    """Upper left corners of square cells in the order of falling size, and the side of the square that holds them."""
    area = 4 ** (power - _LEAST)
    start = np.cumsum(area) - area
    side = 1 << int(np.ceil(np.log2(max(1, start[-1] + area[-1])) / 2))
    place = np.zeros((len(power), 2), np.int64)
    for bit in range(32):
        for axis in range(2):
            place[:, axis] |= ((start >> (2 * bit + axis)) & 1) << bit
    return place << _LEAST, side << _LEAST


def _cell_corners(size: int) -> Float[np.ndarray, "2 3 2"]:
    """Corners of a cell's two triangles in texels; bilinear reads of one never touch the other."""
    near, far = 0.5, size - 0.5
    return np.array([[[near, near], [far - 2, near], [near, far - 2]], [[far, far], [near + 2, far], [far, near + 2]]])


def _fill(
    image: UInt8[np.ndarray, "s s 3"],
    place: Int[np.ndarray, "c 2"],
    size: int,
    uv: Float[np.ndarray, "c 2 3 2"],
    tint: Float[np.ndarray, "c 2 3 3"],
    rgb: UInt8[np.ndarray, "h w 3"],
) -> None:
    """Paint cells of one size: each texel by the triangle on its side of the diagonal."""
    rows, columns = np.divmod(np.arange(size * size), size)
    lower = rows + columns < size
    weights = np.where(lower[:, None], *(_barycentric(columns + 0.5, rows + 0.5, each) for each in _cell_corners(size)))
    which = np.where(lower, 0, 1)
    at = np.einsum("pk,cpkx->cpx", weights, uv[:, which])
    color = np.einsum("pk,cpkx->cpx", weights, tint[:, which])
    texel = _bilinear(rgb, at.clip(0, 1).astype(np.float32))
    linear = srgb_to_linear(torch.from_numpy(texel)).numpy() * color
    shown = linear_to_srgb(torch.from_numpy(linear.clip(0, 1).astype(np.float32))).numpy()
    image[place[:, 1:] + rows, place[:, :1] + columns] = np.rint(shown.clip(0, 1) * 255).astype(np.uint8)


def _barycentric(x: np.ndarray, y: np.ndarray, corners: Float[np.ndarray, "3 2"]) -> Float[np.ndarray, "p 3"]:
    """Weights of a triangle's corners at points, also outside of it."""
    edges = np.stack([corners[1] - corners[0], corners[2] - corners[0]], 1)
    second = np.linalg.solve(edges, np.stack([x, y]) - corners[0][:, None])
    return np.stack([1 - second.sum(0), *second], 1)


def _bilinear(rgb: UInt8[np.ndarray, "h w 3"], uv: Float[np.ndarray, "c p 2"]) -> Float[np.ndarray, "c p 3"]:
    """Texture values in 0…1, edges repeated."""
    size = np.array(rgb.shape[1::-1])
    place = (uv * size - 0.5).clip(0, size - 1)
    first = np.floor(place).astype(np.int64)
    share = (place - first)[..., None].astype(np.float32)
    (x0, y0), (x1, y1) = np.moveaxis(first, -1, 0), np.moveaxis(np.minimum(first + 1, size - 1), -1, 0)
    upper = rgb[y0, x0] * (1 - share[..., 0, :]) + rgb[y0, x1] * share[..., 0, :]
    lower = rgb[y1, x0] * (1 - share[..., 0, :]) + rgb[y1, x1] * share[..., 0, :]
    return ((upper * (1 - share[..., 1, :]) + lower * share[..., 1, :]) / 255).astype(np.float32)
