"""Mesh packs: thousands of small colored meshes in one compressed file, without pickles.

Positions are 16-bit inside the unit cube (objects are normalized to radius 0.5), faces index their own object with 16
bits, colors are 8-bit sRGB per vertex.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.reading import read_npz, reading
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
        path = Path(path)
        with reading(path, "mesh pack", "make one with tools/pack_meshes.py"):
            arrays = read_npz(path)
            pack = MeshPack(**{name: arrays[name] for name in _ARRAYS})
            pack.check()
            return pack

    def check(self) -> None:
        """Raise ``ValueError`` where the arrays do not fit each other, or faces name vertices of other meshes."""
        for name, kind in (("vertices", "uint16"), ("faces", "uint16"), ("colors", "uint8")):
            array = getattr(self, name)
            if array.dtype != kind or array.ndim != 2 or array.shape[1] != 3:
                raise ValueError(f"{name} is {array.dtype} {list(array.shape)} instead of {kind} [*, 3]")
        for name, array in (("vertex_offsets", self.vertices), ("face_offsets", self.faces)):
            offsets = getattr(self, name)
            whole = offsets.ndim == 1 and len(offsets) and np.issubdtype(offsets.dtype, np.integer)
            if not whole or offsets[0] != 0 or offsets[-1] != len(array) or (np.diff(offsets) < 0).any():
                raise ValueError(f"{name} does not divide its {len(array)} rows")
        if len(self.colors) != len(self.vertices) or self.names.ndim != 1 or self.names.dtype.kind != "U":
            raise ValueError("it has not one color for each vertex, or names that are no text")
        if not len(self.names) == len(self.vertex_offsets) - 1 == len(self.face_offsets) - 1:
            raise ValueError("names and offsets differ in number")
        # Each face against the size of its own mesh.
        sizes = np.repeat(np.diff(self.vertex_offsets), np.diff(self.face_offsets))
        if (self.faces.max(1, initial=0) >= sizes).any():
            raise ValueError("a face names a vertex that its mesh does not have")

    @staticmethod
    def write(
        path: str | Path, objects: Iterable[tuple[str, TexturedMesh]], before: Callable[[], None] | None = None
    ) -> int:
        """Write normalized ``objects`` as one pack, in one step; returns how many.

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
