"""Small glTF files made by hand, independent of the program's own writer, and a look at what was read."""

import base64
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from recon.core.conventions import linear_to_srgb, srgb_to_linear
from recon.core.mesh import TexturedMesh
from recon.io.points import PointSamples

RED, GREEN, BLUE, YELLOW = (220, 40, 40), (40, 200, 60), (50, 70, 220), (240, 210, 50)
#: Upper left, upper right, lower left, lower right.
QUADRANTS = (RED, GREEN, BLUE, YELLOW)
_COMPONENTS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


def quadrants(side: int = 64) -> np.ndarray:
    picture = np.zeros((side, side, 3), np.uint8)
    half = side // 2
    picture[:half, :half], picture[:half, half:], picture[half:, :half], picture[half:, half:] = QUADRANTS
    return picture


def encoded(picture: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind, **options)
    return stream.getvalue()


def square(cells: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, texture coordinates and triangles of a square from (-1, -1, 0) to (1, 1, 0) that faces +Z."""
    axis = np.linspace(-1, 1, cells + 1)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    positions = np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(np.float32)
    uv = np.stack([(x + 1) / 2, (1 - y) / 2], -1).reshape(-1, 2).astype(np.float32)
    first = np.arange(cells * (cells + 1)).reshape(cells, -1)[:, :-1].reshape(-1)
    right, up = first + 1, first + cells + 1
    faces = np.concatenate([np.stack([first, right, up + 1], 1), np.stack([first, up + 1, up], 1)])
    return positions, uv, faces.astype(np.uint32)


class Gltf:
    """A document and its one buffer."""

    def __init__(self) -> None:
        self.json: dict[str, Any] = {"asset": {"version": "2.0"}, "scenes": [{"nodes": []}], "scene": 0}
        self.binary = bytearray()

    def add(self, kind: str, entry: dict[str, Any]) -> int:
        self.json.setdefault(kind, []).append(entry)
        return len(self.json[kind]) - 1

    def view(self, data: bytes, **more: Any) -> int:
        self.binary += b"\0" * (-len(self.binary) % 4)
        start = len(self.binary)
        self.binary += data
        return self.add("bufferViews", {"buffer": 0, "byteOffset": start, "byteLength": len(data), **more})

    def accessor(self, values: np.ndarray, normalized: bool = False, **more: Any) -> int:
        values = np.ascontiguousarray(values)
        kind, columns = values.dtype.str[1:], 1 if values.ndim == 1 else values.shape[1]
        stride, size = {}, values.itemsize * columns
        data = values.tobytes()
        if values.ndim == 2 and size % 4:
            wide = size + -size % 4
            rows = np.zeros((len(values), wide), np.uint8)
            rows[:, :size] = values.view(np.uint8).reshape(len(values), size)
            data, stride = rows.tobytes(), {"byteStride": wide}
        entry = {"bufferView": self.view(data, **stride), "componentType": _COMPONENTS[kind], "count": len(values)}
        entry |= {"type": _TYPES[columns], **({"normalized": True} if normalized else {}), **more}
        return self.add("accessors", entry)

    def texture(self, data: bytes | None, uri: str | None = None, **more: Any) -> int:
        image = {"uri": uri} if data is None else {"bufferView": self.view(data), "mimeType": "image/png"}
        return self.add("textures", {"source": self.add("images", image), **more})

    def mesh(self, attributes: dict[str, int], faces: np.ndarray | None, **more: Any) -> int:
        primitive = {"attributes": attributes, **more}
        if faces is not None:
            primitive["indices"] = self.accessor(faces.reshape(-1))
        return self.add("meshes", {"primitives": [primitive]})

    def show(self, **node: Any) -> int:
        index = self.add("nodes", node)
        self.json["scenes"][0]["nodes"].append(index)
        return index

    def save(self, path: Path) -> Path:
        binary = bytes(self.binary) + b"\0" * (-len(self.binary) % 4)
        self.json["buffers"] = [{"byteLength": len(binary)}]
        if path.suffix == ".gltf":
            self.json["buffers"][0]["uri"] = "data:;base64," + base64.b64encode(binary).decode()
            path.write_text(json.dumps(self.json))
            return path
        text = json.dumps(self.json).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
        return path


def textured_square(
    picture: bytes | None = None,
    *,
    attributes: dict[str, Any] | None = None,
    texture: dict[str, Any] | None = None,
    info: dict[str, Any] | None = None,
    uv: np.ndarray | None = None,
    surface: dict[str, Any] | None = None,
    material: dict[str, Any] | None = None,
    node: dict[str, Any] | None = None,
) -> Gltf:
    """The square under a picture (the quadrants); every part of it can be stated otherwise.

    ``attributes`` are arrays, or pairs of an array and whether its integers are normalized.
    """
    gltf, (positions, own, faces) = Gltf(), square()
    stated: dict[str, Any] = {"POSITION": positions, "TEXCOORD_0": own if uv is None else uv, **(attributes or {})}
    accessors = {
        name: gltf.accessor(*(value if isinstance(value, tuple) else (value,)))
        for name, value in stated.items()
        if value is not None
    }
    index = gltf.texture(encoded(quadrants()) if picture is None else picture, **(texture or {}))
    base = {"baseColorTexture": {"index": index, **(info or {})}, **(surface or {})}
    look = gltf.add("materials", {"pbrMetallicRoughness": base, **(material or {})})
    gltf.show(mesh=gltf.mesh(accessors, faces, material=look), **(node or {}))
    return gltf


def colors_by_quadrant(mesh: TexturedMesh, count: int = 6000) -> list[tuple[int, int, int] | None]:
    """Mean sRGB (0…255) of surface points in the middles of the box's four quadrants, in the order of QUADRANTS."""
    points = PointSamples.of(mesh, count)
    low, high = mesh.bounds
    place = (points.position - (low + high) / 2) / (high - low).clamp_min(1e-9)
    found = []
    for x, y in ((-1, 1), (1, 1), (-1, -1), (1, -1)):
        here = (place[:, 0] * x > 0.1) & (place[:, 1] * y > 0.1)
        mean = (points.color[here].mean(0) * 255).round().int().tolist() if here.any() else None
        found.append(None if mean is None else tuple(mean))
    return found


def times(color: tuple[int, ...], factor: tuple[float, ...]) -> tuple[float, ...]:
    """An sRGB color times a linear factor."""
    linear = srgb_to_linear(torch.tensor(color) / 255) * torch.tensor(factor)
    return tuple((linear_to_srgb(linear) * 255).tolist())


def assert_colors(mesh: TexturedMesh, expected=QUADRANTS, tolerance: float = 8) -> None:
    for found, wanted in zip(colors_by_quadrant(mesh), expected, strict=True):
        assert found == pytest.approx(wanted, abs=tolerance)


def area(mesh: TexturedMesh) -> float:
    a, b, c = mesh.triangles.unbind(1)
    return float(torch.linalg.cross(b - a, c - a).norm(dim=-1).sum() / 2)
