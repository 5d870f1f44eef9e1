"""Meshes from PLY: colors of vertices or faces under all their names, and textures by vertex or by corner."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from recon.core.reading import read_bytes
from recon.io.meshes.atlas import Part
from recon.io.meshes.beside import MAX_FILE, FilesBeside
from recon.io.meshes.looks import Look, Surface, paint
from recon.io.meshes.notes import Notes
from recon.io.meshes.ply_container import Element, Ply, parse_ply
from recon.io.meshes.polygons import triangulate
from recon.io.meshes.textures import Texture, TextureError, decode_texture

_COLORS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_COORDINATES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))
_OPACITY = ("alpha", "diffuse_alpha", "a")
_NORMALS = ("nx", "ny", "nz", "normal_x", "normal_y", "normal_z")
_INDICES = ("vertex_indices", "vertex_index", "vertex_indexes")


@dataclass(frozen=True)
class _Triangles:
    """Triangles, and where their values lie in the file."""

    vertices: Int[np.ndarray, "f 3"]
    corners: Int[np.ndarray, "f 3"]
    """Places among the corners of all polygons."""
    polygons: Int[np.ndarray, "f"]


def read_ply(path: Path, notes: Notes) -> list[Part]:
    """One part for each texture; without any, one part in the colors of its vertices, else of its faces.

    Raises:
        ValueError: The file is damaged.
    """
    ply = parse_ply(read_bytes(path, MAX_FILE))
    vertex, face = ply.elements.get("vertex"), ply.elements.get("face")
    for name in ply.elements.keys() - {"vertex", "face", "camera", "material"}:
        notes.add(f"row of the element '{name}'", count=ply.elements[name].count)
    if vertex is None or face is None or not face.count:
        return []
    positions = np.stack([vertex.scalars[axis] for axis in "xyz"], 1).astype(np.float32)
    triangles = _triangles(face, positions)
    attributes = _attributes(vertex)
    colors = _rgb(vertex, notes)
    parts = _textured(ply, positions, triangles, attributes, FilesBeside(path.parent), notes)
    if parts is not None:
        if colors is not None or _rgb(face, notes) is not None:
            notes.add("set of colors beside a texture")
        return parts
    if colors is not None:
        return [Part(positions, triangles.vertices, colors, attributes=attributes)]
    painted = _rgb(face, notes)
    if painted is None:
        return [Part(positions, triangles.vertices, attributes=attributes)]
    corners = Surface(positions, triangles.vertices, attributes=attributes).corners()
    own = np.repeat(painted[triangles.polygons], 3, 0)
    return [Part(corners.vertices, corners.faces, own, attributes=corners.attributes)]


def _triangles(face: Element, positions: Float[np.ndarray, "k 3"]) -> _Triangles:
    name = next((name for name in _INDICES if name in face.lists), None)
    if name is None:
        name = next(iter(face.lists), None)
    if name is None:
        raise ValueError("its faces name no vertices")
    counts, indices = face.lists[name].counts, face.lists[name].values.astype(np.int64)
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(positions):
        raise ValueError("a face names missing vertices")
    corners = triangulate(counts, indices, positions)
    polygons = np.repeat(np.arange(len(counts)), np.maximum(counts - 2, 0))
    return _Triangles(indices[corners], corners, polygons)


def _textured(
    ply: Ply,
    positions: Float[np.ndarray, "k 3"],
    triangles: _Triangles,
    attributes: dict[str, np.ndarray],
    beside: FilesBeside,
    notes: Notes,
) -> list[Part] | None:
    """Parts by the number of their texture; None where there is no texture, or no coordinates for it."""
    pictures = [_picture(name, beside, notes) for name in ply.textures]
    uv = _coordinates(ply, triangles)
    if uv is None and any(pictures):
        notes.add("texture without coordinates", count=len(pictures))
    if uv is None or not any(pictures):
        return None
    numbers = ply.elements["face"].scalars.get("texnumber", np.zeros(ply.elements["face"].count))
    numbers = numbers.astype(np.int64)[triangles.polygons]
    uv = (uv * [1, -1] + [0, 1]).astype(np.float32)  # v counts from the lower edge
    parts = []
    for number in np.unique(numbers).tolist():
        here = numbers == number
        picture = pictures[number] if 0 <= number < len(pictures) else None
        surface = Surface(positions, triangles.vertices[here], uv[here], None, attributes)
        parts.append(paint(surface, None if picture is None else Look(texture=picture)))
    return parts


def _picture(name: str, beside: FilesBeside, notes: Notes) -> Texture | None:
    try:
        return decode_texture(beside.read(name))
    except TextureError as error:
        notes.add("unreadable texture", f"{name}: {error}")
    except OSError:
        notes.add("missing texture", name)
    return None


def _coordinates(ply: Ply, triangles: _Triangles) -> Float[np.ndarray, "f 3 2"] | None:
    """Texture coordinates of corners (faces' list ``texcoord``), else of vertices."""
    wedge, sizes = ply.elements["face"].lists.get("texcoord"), _polygon_sizes(ply.elements["face"])
    if wedge is not None and (wedge.counts == 2 * sizes).all():
        return wedge.values.reshape(-1, 2).astype(np.float64)[triangles.corners]
    scalars = ply.elements["vertex"].scalars
    names = next((names for names in _COORDINATES if all(name in scalars for name in names)), None)
    if names is None:
        return None
    return np.stack([scalars[name] for name in names], 1).astype(np.float64)[triangles.vertices]


def _polygon_sizes(face: Element) -> Int[np.ndarray, "p"]:
    name = next((name for name in _INDICES if name in face.lists), next(iter(face.lists)))
    return face.lists[name].counts


def _rgb(element: Element, notes: Notes) -> Float[np.ndarray, "k 3"] | None:
    """sRGB colors; integers over their full range, floats in 0…1 (or 0…255 where any is larger)."""
    names = next((names for names in _COLORS if all(name in element.scalars for name in names)), None)
    if names is None:
        return None
    values = np.stack([element.scalars[name] for name in names], 1)
    for name in _OPACITY:
        if name in element.scalars and element.scalars[name].min(initial=255) < _white(element.scalars[name]):
            notes.add("set of opacities")
    return (values.astype(np.float32) / _white(values)).clip(0, 1)


def _white(values: np.ndarray) -> float:
    if np.issubdtype(values.dtype, np.integer):
        return 255.0 if values.max(initial=0) <= 255 else float(np.iinfo(values.dtype).max)
    return 255.0 if values.max(initial=0) > 1 else 1.0


def _attributes(vertex: Element) -> dict[str, np.ndarray]:
    """Further finite numbers of vertices, such as ``uncertainty``."""
    known = {*"xyz", *_NORMALS, *_OPACITY, *(name for names in (*_COLORS, *_COORDINATES) for name in names)}
    named = {name: values for name, values in vertex.scalars.items() if name not in known and values.dtype.kind == "f"}
    return {name: values.astype(np.float32) for name, values in named.items() if np.isfinite(values).all()}
