"""Joining the parts of a scene, each with its own texture or colors, into one mesh with one look."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.io.meshes.wrapping import MAX_ATLAS, REPEAT, Wrap, resized, unroll

_GRAY = 0.7


@dataclass(frozen=True)
class Part:
    """A piece of a scene in world coordinates: textured, colored per vertex (sRGB), or neither."""

    vertices: Float[np.ndarray, "k 3"]
    faces: Int[np.ndarray, "f 3"]
    colors: Float[np.ndarray, "k 3"] | None = None
    uv: Float[np.ndarray, "f 3 2"] | None = None
    """Per corner; (0, 0) is the upper left of ``texture``, values outside 0…1 go by ``wrap``."""
    texture: UInt8[np.ndarray, "h w 3"] | None = None
    attributes: dict[str, np.ndarray] | None = None
    """Further per-vertex values."""
    wrap: tuple[Wrap, Wrap] = REPEAT
    """Wrap mode beyond the texture's edges, along u and along v."""


def join(parts: Sequence[Part]) -> TexturedMesh:
    """One mesh: vertices at one place (and of one color) become one, textures become one atlas."""
    parts = [_unwrapped(part) for part in parts]
    textured = any(part.texture is not None for part in parts)
    uv = texture = colors = None
    if textured:
        uv, texture = _atlas(parts)
    elif any(part.colors is not None for part in parts):
        colors = np.concatenate([_colors(part) for part in parts])
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = np.concatenate([part.faces + offset for part, offset in zip(parts, offsets, strict=False)])
    return _merged(np.concatenate([part.vertices for part in parts]), faces, colors, uv, texture, _attributes(parts))


def vertex_colors(mesh: TexturedMesh) -> Float[Tensor, "k 3"] | None:
    """sRGB per vertex: the mesh's own, or its texture's mean over the corners."""
    if mesh.colors is not None:
        return mesh.colors
    if mesh.uv is None or mesh.texture is None:
        return None
    grid = mesh.uv.reshape(1, 1, -1, 2) * 2 - 1
    sampled = torch.nn.functional.grid_sample(mesh.texture[None], grid, padding_mode="border", align_corners=False)
    index = mesh.faces.reshape(-1).long()
    total = torch.zeros_like(mesh.vertices).index_add_(0, index, sampled[0, :, 0].T)
    count = torch.zeros_like(total[:, :1]).index_add_(0, index, torch.ones_like(total[:1, :1]).expand(len(index), 1))
    return total / count.clamp_min(1)


def _colors(part: Part) -> Float[np.ndarray, "k 3"]:
    return np.full(part.vertices.shape, _GRAY, np.float32) if part.colors is None else part.colors


def _unwrapped(part: Part) -> Part:
    """The part with texture coordinates in 0…1."""
    if part.uv is None or part.texture is None or not len(part.faces):
        return replace(part, uv=None, texture=None)
    uv, texture = unroll(part.uv, part.texture, part.wrap)
    return replace(part, uv=uv, texture=texture, wrap=REPEAT)


def _atlas(parts: Sequence[Part]) -> tuple[Float[np.ndarray, "f 3 2"], UInt8[np.ndarray, "h w 3"]]:
    """Corner coordinates of all parts, and the texture that they share: equal square cells, one per picture."""
    pictures, cells = _different([part.texture for part in parts])
    if None not in cells and len(pictures) == 1:
        return np.concatenate([part.uv for part in parts]), pictures[0]
    plain = [part for part in parts if part.texture is None]
    palette, palette_uv = _palette(plain) if plain else (None, None)
    grid = int(np.ceil(np.sqrt(len(pictures) + (palette is not None))))
    side = min(max(max(p.shape[:2]) for p in pictures), MAX_ATLAS // grid)
    if palette is not None:
        side = max(side, len(palette))
    atlas = np.zeros((grid * side, grid * side, 3), np.uint8)
    for cell, picture in enumerate(pictures):
        _place(atlas, resized(picture, side, side), cell, grid)
    if palette is not None:
        _place(
            atlas,
            np.asarray(Image.fromarray(palette).resize((side, side), Image.Resampling.NEAREST)),
            len(pictures),
            grid,
        )
    corners, used = [], 0
    for part, cell in zip(parts, cells, strict=True):
        if cell is None:
            local, cell = palette_uv[used : used + len(part.faces)], len(pictures)
            used += len(part.faces)
        else:
            local = (0.5 + part.uv * (side - 1)) / side  # half a texel inside, so that neighbors do not bleed
        corners.append((local + np.array([cell % grid, cell // grid])) / grid)
    return np.concatenate(corners).astype(np.float32), atlas


def _different(textures: Sequence[np.ndarray | None]) -> tuple[list[np.ndarray], list[int | None]]:
    """The textures that differ, and the place among them of each one's own."""
    pictures: list[np.ndarray] = []
    places: dict[tuple, int] = {}
    known: dict[int, int] = {}  # by object, as hashing takes time
    for texture in textures:
        if texture is None or id(texture) in known:
            continue
        content = (texture.shape, hashlib.blake2b(np.ascontiguousarray(texture)).digest())
        if content not in places:
            places[content] = len(pictures)
            pictures.append(texture)
        known[id(texture)] = places[content]
    return pictures, [None if texture is None else known[id(texture)] for texture in textures]


def _palette(parts: Sequence[Part]) -> tuple[UInt8[np.ndarray, "p p 3"], Float[np.ndarray, "f 3 2"]]:
    """The untextured faces' mean colors as blocks of a picture, and coordinates in the blocks' middles."""
    face_colors = np.concatenate([_colors(part)[part.faces].mean(1) for part in parts])
    unique, index = np.unique(np.rint(face_colors * 255).astype(np.uint8), axis=0, return_inverse=True)
    index = index.reshape(-1)
    side = int(np.ceil(np.sqrt(len(unique))))
    palette = np.zeros((side * side, 3), np.uint8)
    palette[: len(unique)] = unique
    center = (np.stack([index % side, index // side], -1) + 0.5) / side
    return palette.reshape(side, side, 3), np.repeat(center[:, None], 3, 1).astype(np.float32)


def _place(atlas: np.ndarray, picture: np.ndarray, cell: int, grid: int) -> None:
    side = len(picture)
    row, column = divmod(cell, grid)
    atlas[row * side : (row + 1) * side, column * side : (column + 1) * side] = picture


def _attributes(parts: Sequence[Part]) -> dict[str, np.ndarray]:
    """Those that every part has."""
    names = set.intersection(*(set(part.attributes or {}) for part in parts))
    return {name: np.concatenate([part.attributes[name] for part in parts]) for name in sorted(names)}


def _merged(
    vertices: Float[np.ndarray, "k 3"],
    faces: Int[np.ndarray, "f 3"],
    colors: Float[np.ndarray, "k 3"] | None,
    uv: Float[np.ndarray, "f 3 2"] | None,
    texture: UInt8[np.ndarray, "h w 3"] | None,
    attributes: dict[str, np.ndarray],
) -> TexturedMesh:
    """Vertices of equal position, color and attributes joined; faces that use one twice left out."""
    vertices = vertices.astype(np.float32) + np.float32(0)  # no negative zeros, equality is bitwise
    keys = [vertices] if colors is None else [vertices, np.rint(colors * 255).astype(np.float32)]
    keys += [np.asarray(value, np.float32).reshape(len(vertices), -1) for value in attributes.values()]
    rows = np.ascontiguousarray(np.concatenate(keys, 1))
    _, first, index = np.unique(rows.view(f"V{rows.shape[1] * 4}").reshape(-1), return_index=True, return_inverse=True)
    faces = index.reshape(-1)[faces]
    proper = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return TexturedMesh(
        torch.from_numpy(vertices[first]),
        torch.from_numpy(faces[proper].astype(np.int64)),
        None if colors is None else torch.from_numpy(colors[first].astype(np.float32)),
        None if uv is None else torch.from_numpy(uv[proper].astype(np.float32)),
        None if texture is None else torch.from_numpy(texture.transpose(2, 0, 1).astype(np.float32) / 255),
        {name: torch.from_numpy(np.asarray(value, np.float32)[first]) for name, value in attributes.items()},
    )
