"""STL and OFF, by trimesh: triangles, with the colors that some programs put into STL."""

from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, UInt16

from recon.core.reading import read_bytes
from recon.io.meshes.atlas import Part
from recon.io.meshes.beside import MAX_FILE
from recon.io.meshes.looks import Surface
from recon.io.meshes.notes import Notes


def read_plain(path: Path, notes: Notes) -> list[Part]:
    """All solids of a file as one part each.

    Binary STL has 15-bit colors in two unused bytes of each triangle: VisCAM's, or Magics' where the header says
    ``COLOR=``.
    """
    from io import BytesIO

    scene = trimesh.load_scene(
        BytesIO(read_bytes(path, MAX_FILE)), file_type=path.suffix.lower().lstrip("."), process=False
    )
    parts = []
    for geometry in scene.geometry.values():
        if not isinstance(geometry, trimesh.Trimesh):
            notes.add("point cloud or curve")
            continue
        parts.append(_part(geometry))
    return parts


def _part(geometry: trimesh.Trimesh) -> Part:
    vertices = np.asarray(geometry.vertices, np.float32)
    faces = np.asarray(geometry.faces).astype(np.int64).reshape(-1, 3)
    colors = _stl_colors(geometry.face_attributes.get("stl"), str(geometry.metadata.get("header", "")))
    if colors is None and geometry.visual.kind == "face":
        colors = np.asarray(geometry.visual.face_colors)[:, :3].astype(np.float32) / 255
    if colors is not None:
        corners = Surface(vertices, faces).corners()
        return Part(corners.vertices, corners.faces, np.repeat(colors, 3, 0))
    if geometry.visual.kind == "vertex":
        return Part(vertices, faces, np.asarray(geometry.visual.vertex_colors)[:, :3].astype(np.float32) / 255)
    return Part(vertices, faces)


def _stl_colors(words: UInt16[np.ndarray, "f"] | None, header: str) -> Float[np.ndarray, "f 3"] | None:
    """sRGB of each triangle; None where no triangle has a color."""
    if words is None:
        return None
    words, magics = np.asarray(words).reshape(-1).astype(np.int64), "COLOR=" in header
    own = (words >> 15 == 0) if magics else (words >> 15 == 1)
    channels = np.stack([words & 31, words >> 5 & 31, words >> 10 & 31], 1) / np.float32(31)
    if not own.any() or (magics and not words.any()):
        return None
    rgb = channels if magics else channels[:, ::-1]
    return np.where(own[:, None], rgb, _whole(header) if magics else 0.7).astype(np.float32)


def _whole(header: str) -> Float[np.ndarray, "3"]:
    """The color of the whole object in Magics' header: the bytes after ``COLOR=``, as trimesh decoded them."""
    codes = [ord(c) for c in header.split("COLOR=", 1)[1][:3]]
    return np.float32([min(c, 255) / 255 for c in (codes + [178] * 3)[:3]])
