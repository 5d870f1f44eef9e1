"""glTF accessors as arrays: strides, normalized integers, sparse values, compressed buffer views."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recon.io.meshes.gltf_reader.compression import meshopt_view
from recon.io.meshes.gltf_reader.container import MESHOPT, Gltf

_DTYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
#: Numbers that one accessor may hold, so that a short file cannot ask for terabytes.
_MAX_NUMBERS = 300_000_000


@dataclass(frozen=True)
class Accessors:
    """Reads accessors, each once. Arrays are [k] for scalars, else [k, c]; matrices have their columns in a row."""

    gltf: Gltf
    _read: dict[int, np.ndarray] = field(default_factory=dict, repr=False)
    _views: dict[int, memoryview] = field(default_factory=dict, repr=False)

    def floats(self, index: int) -> np.ndarray:
        """Values in single precision; normalized integers are scaled to 0…1 or -1…1 (glTF 2.0, section 3.6.2.2)."""
        values = self.raw(index)
        if self.gltf.entry("accessors", index).get("normalized"):
            return scale_normalized(values)
        return values.astype(np.float32, copy=False)

    def raw(self, index: int) -> np.ndarray:
        """Values in the type of the file."""
        if index not in self._read:
            self._read[index] = self._load(self.gltf.entry("accessors", index))
        return self._read[index]

    def _load(self, accessor: dict[str, Any]) -> np.ndarray:
        dtype, width, count = np.dtype(_DTYPES[accessor["componentType"]]), _WIDTHS[accessor["type"]], accessor["count"]
        if not isinstance(count, int) or not 0 <= count * width <= _MAX_NUMBERS:
            raise ValueError(f"an accessor of {count!r} elements is too large")
        view = accessor.get("bufferView")
        if view is None:
            values = np.zeros((count, width), dtype)
        else:
            values = self._elements(view, accessor.get("byteOffset", 0), dtype, width, count)
        if "sparse" in accessor:
            values = self._replaced(values, accessor["sparse"])
        return values[:, 0] if width == 1 else values

    def _elements(self, view: int, offset: int, dtype: np.dtype, width: int, count: int) -> np.ndarray:
        data, size = self._bytes(view), dtype.itemsize * width
        stride = self._stride(view) or size
        if count and (offset < 0 or stride < size or offset + (count - 1) * stride + size > len(data)):
            raise ValueError("an accessor reaches beyond its buffer view: the file is damaged")
        if not count:
            return np.zeros((0, width), dtype)
        flat = np.frombuffer(data, np.uint8, (count - 1) * stride + size, offset)
        rows = np.lib.stride_tricks.as_strided(flat, (count, size), (stride, 1))
        return np.ascontiguousarray(rows).view(dtype)

    def _replaced(self, values: np.ndarray, sparse: dict[str, Any]) -> np.ndarray:
        count, index, value = sparse["count"], sparse["indices"], sparse["values"]
        if not isinstance(count, int) or not 0 <= count <= len(values):
            raise ValueError(f"a sparse accessor replaces {count!r} of {len(values)} elements")
        kind = np.dtype(_DTYPES[index["componentType"]])
        places = self._elements(index["bufferView"], index.get("byteOffset", 0), kind, 1, count)[:, 0]
        new = self._elements(value["bufferView"], value.get("byteOffset", 0), values.dtype, values.shape[1], count)
        values = values.copy()
        values[places] = new
        return values

    def _bytes(self, view: int) -> memoryview:
        if view not in self._views:
            packed = self._packed(view)
            self._views[view] = self.gltf.view(view) if packed is None else meshopt_view(self.gltf, packed)
        return self._views[view]

    def _stride(self, view: int) -> int | None:
        return (self._packed(view) or self.gltf.entry("bufferViews", view)).get("byteStride")

    def _packed(self, view: int) -> dict[str, Any] | None:
        extensions = self.gltf.entry("bufferViews", view).get("extensions") or {}
        return next((extensions[name] for name in MESHOPT if name in extensions), None)


def scale_normalized(values: np.ndarray) -> np.ndarray:
    """Integers as fractions of their type's largest value, at least -1."""
    if not np.issubdtype(values.dtype, np.integer):
        return values.astype(np.float32, copy=False)
    return np.maximum(values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max), np.float32(-1))
