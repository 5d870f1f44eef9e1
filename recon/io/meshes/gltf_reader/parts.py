"""glTF primitives as parts in the world: morphed, skinned, placed and painted."""

from dataclasses import dataclass, replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from recon.core.errors import InputError
from recon.io.meshes.atlas import Part
from recon.io.meshes.gltf_reader.accessors import Accessors, scale_normalized
from recon.io.meshes.gltf_reader.compression import draco_primitive
from recon.io.meshes.gltf_reader.container import Gltf
from recon.io.meshes.gltf_reader.materials import Materials
from recon.io.meshes.gltf_reader.scene import Placed, placed_meshes, skin_matrices
from recon.io.meshes.looks import Surface, paint
from recon.io.meshes.notes import Notes

#: Triangles that a scene may hold once its instances are written out.
MAX_FACES = 30_000_000
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
#: The variant that mvdiff itself writes, whose values come back as an attribute.
_OWN_VARIANTS = {"appearance", "uncertainty"}


def read_gltf(path: Path, notes: Notes) -> list[Part]:
    """The triangles of the default scene in rest pose, one part for each primitive.

    Raises:
        InputError: The file requires something that is not read, or expands to too many triangles.
        ValueError: The file is damaged.
    """
    gltf = Gltf.open(path, notes)
    accessors = Accessors(gltf)
    reader = _Reader(gltf, accessors, Materials(gltf))
    placed, world = placed_meshes(gltf, accessors)
    parts, faces = [], 0
    for each in placed:
        for primitive in gltf.entry("meshes", each.mesh)["primitives"]:
            part = reader.part(primitive, each, world)
            if part is None:
                continue
            faces += len(part.faces) * len(each.matrices)
            if faces > MAX_FACES:
                raise InputError(f"'{path}' expands to more than {MAX_FACES:,} triangles: export it with less.")
            parts.append(part if each.skin is not None else _place(part, each.matrices))
    _count_unused(gltf)
    return parts


@dataclass(frozen=True)
class _Reader:
    gltf: Gltf
    accessors: Accessors
    materials: Materials

    def part(self, primitive: dict[str, Any], placed: Placed, world: np.ndarray) -> Part | None:
        """A primitive in the mesh's coordinates (with a skin: in the world); None where it has no triangles."""
        mode = primitive.get("mode", _TRIANGLES)
        if mode not in (_TRIANGLES, _STRIP, _FAN):
            self.gltf.notes.add("point primitive" if mode == 0 else "line primitive")
            return None
        packed = draco_primitive(self.gltf, primitive)
        values = _Values(self.accessors, primitive, packed, placed.weights)
        vertices = values.floats("POSITION")
        faces = _faces(values.indices(len(vertices)), mode)
        if not len(faces) or vertices is None:
            return None
        if faces.max() >= len(vertices):
            raise ValueError("a primitive names missing vertices")
        if placed.skin is not None:
            vertices = self._skinned(values, vertices, skin_matrices(self.gltf, self.accessors, placed.skin, world))
        look, where = self.materials.look(primitive.get("material"))
        uv = values.floats(f"TEXCOORD_{where.channel}")
        if look is not None and look.texture is not None and uv is None:
            self.gltf.notes.add("texture without coordinates")
        surface = Surface(
            vertices,
            faces,
            None if uv is None or look is None or look.texture is None else where.apply(uv)[faces],
            _rgba(values.floats("COLOR_0")),
            values.custom(),
        )
        return paint(_used(surface), look)

    def _skinned(self, values: "_Values", vertices: np.ndarray, joints: Float[np.ndarray, "j 4 4"]) -> np.ndarray:
        """Linear blend skinning; weights are normalized."""
        moved, total, number = np.zeros((len(vertices), 3)), np.zeros((len(vertices), 1)), 0
        while (weights := values.floats(f"WEIGHTS_{number}")) is not None:
            bones = values.integers(f"JOINTS_{number}").astype(np.int64)
            if bones.size and bones.max() >= len(joints):
                raise ValueError("a skin names missing joints")
            for k in range(weights.shape[1]):
                matrix = joints[bones[:, k]]
                place = np.einsum("kij,kj->ki", matrix[:, :3, :3], vertices) + matrix[:, :3, 3]
                moved += weights[:, k : k + 1] * place
                total += weights[:, k : k + 1]
            number += 1
        return np.where(total > 1e-6, moved / total.clip(1e-6), vertices).astype(np.float32)


@dataclass(frozen=True)
class _Values:
    """Values of one primitive, from accessors or from Draco."""

    accessors: Accessors
    primitive: dict[str, Any]
    packed: tuple[np.ndarray, dict[str, np.ndarray]] | None
    weights: tuple[float, ...]

    def floats(self, name: str) -> np.ndarray | None:
        """Values with morph targets applied; None where the primitive has none of this name."""
        index = self.primitive["attributes"].get(name)
        if self.packed is not None and name in self.packed[1]:
            values = self.packed[1][name]
            accessor = {} if index is None else self.accessors.gltf.entry("accessors", index)
            values = scale_normalized(values) if accessor.get("normalized") else values.astype(np.float32)
        elif index is None:
            return None
        else:
            values = self.accessors.floats(index)
        for weight, target in zip(self.weights, self.primitive.get("targets") or (), strict=False):
            if weight and name in target:
                values = values + np.float32(weight) * self.accessors.floats(target[name])
        return values

    def integers(self, name: str) -> np.ndarray:
        if self.packed is not None and name in self.packed[1]:
            return self.packed[1][name]
        return self.accessors.raw(self.primitive["attributes"][name])

    def indices(self, count: int) -> Int[np.ndarray, "i"]:
        if self.packed is not None:
            return self.packed[0].astype(np.int64)
        index = self.primitive.get("indices")
        return np.arange(count) if index is None else self.accessors.raw(index).astype(np.int64)

    def custom(self) -> dict[str, np.ndarray]:
        """Application-specific float attributes, ``_NAME`` as ``name``."""
        names = [name for name in self.primitive["attributes"] if name.startswith("_")]
        raw = {name: self.floats(name) for name in names if self.integers(name).dtype.kind == "f"}
        return _joined({name.lstrip("_").lower(): values for name, values in raw.items() if values is not None})


def _joined(attributes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Scalars ``name_0``, ``name_1``, … as one attribute [k c], as this package's writer splits them."""
    found = dict(attributes)
    for name in [key.removesuffix("_0") for key in attributes if key.endswith("_0")]:
        keys = list(takewhile(attributes.__contains__, (f"{name}_{index}" for index in count())))
        if len(keys) > 1 and name not in found and all(found[key].ndim == 1 for key in keys):
            found[name] = np.stack([found.pop(key) for key in keys], 1)
    return found


def _faces(indices: Int[np.ndarray, "i"], mode: int) -> Int[np.ndarray, "f 3"]:
    """Triangles of a list, strip or fan; a rest that makes no triangle is left out."""
    if mode == _TRIANGLES:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    if len(indices) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == _FAN:
        return np.stack([np.full(len(indices) - 2, indices[0]), indices[1:-1], indices[2:]], 1)
    faces = np.stack([indices[:-2], indices[1:-1], indices[2:]], 1)
    faces[1::2] = faces[1::2, [1, 0, 2]]
    return faces


def _rgba(colors: np.ndarray | None) -> Float[np.ndarray, "k 4"] | None:
    if colors is None or colors.shape[1] == 4:
        return colors
    return np.concatenate([colors, np.ones((len(colors), 1), np.float32)], 1)


def _used(surface: Surface) -> Surface:
    """Without unused vertices where they are many: primitives may share one large array."""
    if len(surface.vertices) <= 3 * len(surface.faces):
        return surface
    used, faces = np.unique(surface.faces, return_inverse=True)
    return replace(
        surface,
        vertices=surface.vertices[used],
        faces=faces.reshape(-1, 3),
        colors=None if surface.colors is None else surface.colors[used],
        attributes={name: values[used] for name, values in (surface.attributes or {}).items()},
    )


def _place(part: Part, matrices: Float[np.ndarray, "m 4 4"]) -> Part:
    """All instances of a part as one; mirrored ones are turned inside out."""
    m, k = len(matrices), len(part.vertices)
    vertices = part.vertices.astype(np.float64) @ matrices[:, :3, :3].transpose(0, 2, 1) + matrices[:, None, :3, 3]
    faces = part.faces + np.arange(m)[:, None, None] * k
    uv = None if part.uv is None else np.tile(part.uv, (m, 1, 1, 1))
    mirrored = np.linalg.det(matrices[:, :3, :3]) < 0
    faces[mirrored] = faces[mirrored][:, :, ::-1]
    if uv is not None:
        uv[mirrored] = uv[mirrored][:, :, ::-1]
    return replace(
        part,
        vertices=vertices.reshape(-1, 3).astype(np.float32),
        faces=faces.reshape(-1, 3),
        colors=None if part.colors is None else np.tile(part.colors, (m, 1)),
        uv=None if uv is None else uv.reshape(-1, 3, 2),
        attributes={name: np.concatenate([values] * m) for name, values in (part.attributes or {}).items()},
    )


def _count_unused(gltf: Gltf) -> None:
    """Animations and material variants, which one mesh in rest pose cannot show."""
    gltf.notes.add("animation", count=len(gltf.entries("animations")))
    variants = (gltf.content.get("extensions") or {}).get("KHR_materials_variants", {}).get("variants") or []
    gltf.notes.add("material variant", count=sum(each.get("name") not in _OWN_VARIANTS for each in variants))
