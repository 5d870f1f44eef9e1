"""Mesh packs: thousands of small coloured meshes in one compressed file, without pickles.

Positions are 16-bit inside the unit cube (objects are normalised to radius 0.5), faces index their own object with 16
bits, colours are 8-bit sRGB per vertex.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.folders import atomic_write

_ARRAYS = ("vertices", "faces", "colors", "vertex_offsets", "face_offsets", "names")
MAX_VERTICES = 65_536


@dataclass(frozen=True)
class MeshPack:
    """Read-only sequence of meshes; every array is decompressed once, at loading."""

    vertices: np.ndarray
    """uint16 [k 3]; position = value / 65535 - 0.5."""
    faces: np.ndarray
    """uint16 [f 3], local to the object."""
    colors: np.ndarray
    """uint8 [k 3], sRGB."""
    vertex_offsets: np.ndarray
    face_offsets: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.vertex_offsets) - 1

    def __getitem__(self, index: int) -> TexturedMesh:
        if not -len(self) <= index < len(self):
            raise IndexError(f"pack of {len(self)} meshes has no mesh {index}")
        index %= len(self)
        k = slice(self.vertex_offsets[index], self.vertex_offsets[index + 1])
        f = slice(self.face_offsets[index], self.face_offsets[index + 1])
        return TexturedMesh.from_arrays(
            self.vertices[k].astype(np.float32) / 65535 - 0.5,
            self.faces[f].astype(np.int64),
            self.colors[k].astype(np.float32) / 255,
        )

    def __iter__(self) -> Iterator[TexturedMesh]:
        return (self[index] for index in range(len(self)))

    @staticmethod
    def load(path: str | Path) -> "MeshPack":
        try:
            with np.load(path, allow_pickle=False) as file:
                return MeshPack(**{name: file[name] for name in _ARRAYS})
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path} is not a readable mesh pack: {error}. Make one with tools/pack_meshes.py."
            ) from error

    @staticmethod
    def write(
        path: str | Path, objects: Iterable[tuple[str, TexturedMesh]], before: Callable[[], None] | None = None
    ) -> int:
        """Write normalised ``objects`` as one pack, in one step; returns how many.

        ``before`` is called once all objects are read, just before the pack comes to its place.
        """
        vertices, faces, colors, names = [], [], [], []
        for name, mesh in objects:
            if len(mesh.vertices) > MAX_VERTICES:
                raise InputError(
                    f"{name} has {len(mesh.vertices)} vertices; a pack holds {MAX_VERTICES}, decimate it first."
                )
            if mesh.vertices.abs().amax() > 0.5 + 1e-4:
                raise InputError(f"{name} reaches beyond the unit cube; pass mesh.normalized().")
            vertices.append(((mesh.vertices.cpu().numpy() + 0.5).clip(0, 1) * 65535).round().astype(np.uint16))
            faces.append(mesh.faces.cpu().numpy().astype(np.uint16))
            color = np.full((len(mesh.vertices), 3), 0.7) if mesh.colors is None else mesh.colors.cpu().numpy()
            colors.append((color.clip(0, 1) * 255).round().astype(np.uint8))
            names.append(name)
        if not names:
            raise InputError(f"There is no object to write to {path}.")
        with atomic_write(path) as temporary, Path(temporary).open("wb") as file:
            np.savez_compressed(
                file,
                vertices=np.concatenate(vertices),
                faces=np.concatenate(faces),
                colors=np.concatenate(colors),
                vertex_offsets=np.cumsum([0, *map(len, vertices)]),
                face_offsets=np.cumsum([0, *map(len, faces)]),
                names=np.array(names),
            )
            if before is not None:
                before()
        return len(names)
