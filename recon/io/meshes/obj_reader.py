"""Wavefront OBJ: polygons with their materials, colors per vertex, and every way of writing indices."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from recon.core.reading import read_bytes
from recon.io.meshes.atlas import Part
from recon.io.meshes.beside import MAX_FILE, FilesBeside
from recon.io.meshes.looks import Look, Surface, paint, to_linear
from recon.io.meshes.mtl import Material, read_materials
from recon.io.meshes.notes import Notes
from recon.io.meshes.polygons import triangulate

#: Neutral grays from this on are a default that exporters write, not a tint.
_DEFAULT_GRAY = 0.21  # linear; sRGB .5


@dataclass
class _Statements:
    """The lines of a file by what they state, without their keywords."""

    vertices: list[str] = field(default_factory=list)
    coordinates: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    painted: list[str] = field(default_factory=list)
    """ZBrush's vertex colors, eight hexadecimal digits each."""
    faces: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict)
    """By material; with the numbers of vertices and coordinates so far, to which negative indices refer."""


def read_obj(path: Path, notes: Notes) -> list[Part]:
    """One part for each material.

    A face without coordinates takes its material's color. Colors per vertex multiply a material's color; beside a
    texture they are noted and left out, as programs that write both state the same color twice.

    Raises:
        ValueError: A number or an index is wrong.
    """
    stated = _statements(_text(read_bytes(path, MAX_FILE)), notes)
    vertices, colors = _vertices(stated)
    vt = _rows(stated.coordinates, 2)
    materials = _materials(stated.libraries, path.parent, notes)
    parts = []
    for name, lines in stated.faces.items():
        if not lines:
            continue
        if name and name not in materials:
            notes.add("missing material", name)
        corners, places = _triangles(lines, vertices, len(vt))
        parts += _parts(Surface(vertices, corners, colors=colors), vt, places, materials.get(name), notes)
    return parts


def _text(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _statements(text: str, notes: Notes) -> _Statements:
    found, material = _Statements(), ""
    faces = found.faces.setdefault(material, [])
    if "\\\n" in text or "\\\r\n" in text:
        text = text.replace("\\\r\n", " ").replace("\\\n", " ")
    for line in text.splitlines():
        key, _, rest = line.lstrip().partition(" ")
        if key == "v":
            found.vertices.append(rest)
        elif key == "f" or key == "fo":
            faces.append((rest, len(found.vertices), len(found.coordinates)))
        elif key == "vt":
            found.coordinates.append(rest)
        elif key == "usemtl":
            faces = found.faces.setdefault(rest.strip(), [])
        elif key == "mtllib":
            found.libraries.append(rest.strip())
        elif key == "#MRGB":
            found.painted.append(rest.strip())
        elif key in _NOT_READ:
            notes.add(_NOT_READ[key])
        elif "\t" in key:  # a tab behind the keyword
            again = _statements(line.replace("\t", " "), Notes())
            found.vertices += again.vertices
            found.coordinates += again.coordinates
            found.libraries += again.libraries
            faces += [(each[0], len(found.vertices), len(found.coordinates)) for each in again.faces[""]]
            faces = found.faces.setdefault(next(reversed(again.faces)), []) if len(again.faces) > 1 else faces
    return found


_NOT_READ = {"l": "line", "p": "point", "curv": "curve", "curv2": "curve", "surf": "curved surface", "bmat": "curve"}


def _vertices(stated: _Statements) -> tuple[Float[np.ndarray, "k 3"], Float[np.ndarray, "k 4"] | None]:
    """Positions, and linear colors where any vertex states one (x y z r g b, in 0…1 or 0…255)."""
    if not stated.vertices:
        raise ValueError("it has no vertices")
    values = _rows(stated.vertices, None)
    positions, colors = values[:, :3].astype(np.float32), None
    if values.shape[1] >= 6:
        rgb = values[:, 3:6]
        colors = np.where(np.isnan(rgb), 1.0, rgb / (255 if np.nanmax(rgb) > 1 else 1)).clip(0, 1)
    elif stated.painted:
        digits = "".join(stated.painted)
        packed = np.frombuffer(bytes.fromhex(digits[: len(digits) // 8 * 8]), np.uint8).reshape(-1, 4)[:, 1:]
        if len(packed) == len(positions):
            colors = packed / 255
    if colors is None:
        return positions, None
    return positions, np.concatenate([to_linear(colors), np.ones((len(colors), 1), np.float32)], 1)


def _rows(lines: Sequence[str], width: int | None) -> Float[np.ndarray, "k c"]:
    """Numbers of lines as rows; short ones end in NaN where ``width`` is None, else in zeros."""
    words = [line.split("#", 1)[0].split() for line in lines]
    counts = np.array([len(each) for each in words], np.int64)
    columns = width or max(3, int(counts.max(initial=0)))
    if len(words) and width is None and counts.min() < 3:
        raise ValueError("a vertex has less than three coordinates")
    if len(words) and (counts == counts[0]).all() and counts[0] >= columns:
        return np.array(words, np.float64)[:, :columns]
    padding = ["nan" if width is None else "0"] * columns
    return np.array([(each + padding)[:columns] for each in words], np.float64).reshape(-1, columns)


def _materials(libraries: Sequence[str], folder: Path, notes: Notes) -> dict[str, Material]:
    beside, found = FilesBeside(folder), {}
    for stated in dict.fromkeys(libraries):
        names = [stated] if beside.find(stated) is not None else stated.split()  # one name with spaces, or several
        for name in names if any(map(beside.find, names)) else [stated]:
            try:
                found |= read_materials(_text(beside.read(name)), beside, notes)
            except OSError:
                notes.add("missing material library", name)
    return found


def _triangles(
    lines: Sequence[tuple[str, int, int]], vertices: Float[np.ndarray, "k 3"], num_coordinates: int
) -> tuple[Int[np.ndarray, "f 3"], Int[np.ndarray, "f 3"]]:
    """Vertex and coordinate of each triangle's corners; -1 for corners without coordinates."""
    corners, counts = _corners(lines)
    if corners.size and (corners[:, 0].min() < 0 or corners[:, 0].max() >= len(vertices)):
        raise ValueError("a face names missing vertices")
    corners[:, 1] = np.where(corners[:, 1] < num_coordinates, corners[:, 1], -1)
    chosen = triangulate(counts, corners[:, 0], vertices)
    return corners[:, 0][chosen], corners[:, 1][chosen]


def _corners(lines: Sequence[tuple[str, int, int]]) -> tuple[Int[np.ndarray, "c 2"], Int[np.ndarray, "p"]]:
    """Zero-based vertex and coordinate of all polygons' corners, and the polygons' sizes."""
    words = [text.split("#", 1)[0].split() for text, _, _ in lines]
    counts = np.array([len(each) for each in words], np.int64)
    flat = [word for each in words for word in each]
    slashes = {word.count("/") for word in flat[:1]}
    joined = " ".join(flat)
    if "-" not in joined and "//" not in joined and all(joined.count("/") == n * len(flat) for n in slashes):
        values = np.array(joined.replace("/", " ").split(), np.int64).reshape(len(flat), -1)
        values = values if values.shape[1] > 1 else np.pad(values, [(0, 0), (0, 1)])
        return values[:, :2] - 1, counts
    return _mixed_corners(words, lines), counts


def _mixed_corners(words: Sequence[list[str]], lines: Sequence[tuple[str, int, int]]) -> Int[np.ndarray, "c 2"]:
    """Corners of faces that differ in form, or count from the end."""
    found = []
    for each, (_, *known) in zip(words, lines, strict=True):
        for word in each:
            parts = word.split("/")[:2]
            values = [int(part) if part else 0 for part in (*parts, "0")[:2]]
            found.append([v + count if v < 0 else v - 1 for v, count in zip(values, known, strict=True)])
    return np.array(found, np.int64).reshape(-1, 2)


def _parts(
    surface: Surface,
    vt: Float[np.ndarray, "t 2"],
    places: Int[np.ndarray, "f 3"],
    material: Material | None,
    notes: Notes,
) -> list[Part]:
    """The faces of one material: those with texture coordinates, and those without."""
    if material is None or material.look.texture is None:
        look = None if material is None else material.look
        return [paint(surface, _tinting(look) if surface.colors is not None else look)]
    whole = (places >= 0).all(1)
    notes.add("face without texture coordinates", count=int((~whole).sum()))
    if surface.colors is not None and np.ptp(surface.colors, axis=0).max() > 1 / 512:
        notes.add("set of vertex colors beside a texture")
    bare = replace(surface, faces=surface.faces[~whole])
    uv = material.coordinates(vt[places[whole]])
    painted = paint(replace(surface, faces=surface.faces[whole], uv=uv, colors=None), material.look)
    return [painted, *([paint(bare, replace(material.look, texture=None))] if len(bare.faces) else [])]


def _tinting(look: Look | None) -> Look:
    """A material's color as a factor of vertex colors: a neutral gray is taken as white."""
    if look is None:
        return Look()
    rgb = look.factor[:3]
    return Look() if max(rgb) - min(rgb) < 1e-3 and min(rgb) >= _DEFAULT_GRAY else look
