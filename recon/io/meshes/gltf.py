"""The binary glTF 2.0 container: accessors, images and JSON packed into one ``.glb``."""

import io
import json
import struct
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from recon.io.images.files import TEXTURE_PNG

_COMPONENTS = {"float32": 5126, "uint32": 5125, "uint16": 5123}
_VERTEX_BUFFER, _INDEX_BUFFER = 34962, 34963
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942

LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071


class GlbBuilder:
    """Collects binary data and the JSON lists that refer to it; ``json`` takes everything else."""

    def __init__(self) -> None:
        self.json: dict[str, Any] = {}
        self._binary = bytearray()

    def append(self, list_name: str, entry: dict[str, Any]) -> int:
        """Add ``entry`` to one of the JSON's top-level lists; returns its index."""
        entries = self.json.setdefault(list_name, [])
        entries.append(entry)
        return len(entries) - 1

    def vertex_data(self, values: np.ndarray, bounds: bool = False) -> int:
        """Accessor of per-vertex floats [k] or [k, 2…4]; ``bounds`` writes min and max (required for positions)."""
        values = np.ascontiguousarray(values, dtype=np.float32)
        columns = 1 if values.ndim == 1 else values.shape[1]
        kind = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}[columns]
        return self._accessor(values, kind, _VERTEX_BUFFER, bounds)

    def index_data(self, faces: np.ndarray, num_vertices: int) -> int:
        """Accessor of the flattened triangles, in 16 bits where they suffice (65535 is reserved)."""
        flat = faces.reshape(-1).astype(np.uint16 if num_vertices < 65535 else np.uint32)
        return self._accessor(flat, "SCALAR", _INDEX_BUFFER, False)

    def image(self, rgb: UInt8[np.ndarray, "h w 3"], kind: str = "png", quality: int = 92) -> int:
        """Embedded PNG or JPEG."""
        stream = io.BytesIO()
        if kind == "png":
            Image.fromarray(rgb).save(stream, "PNG", **TEXTURE_PNG)
        else:
            Image.fromarray(rgb).save(stream, "JPEG", quality=quality, subsampling=0)
        return self.append("images", {"bufferView": self._view(stream.getvalue(), None), "mimeType": f"image/{kind}"})

    def texture(self, image: int, min_filter: int) -> int:
        sampler = self.append(
            "samplers",
            {"magFilter": LINEAR, "minFilter": min_filter, "wrapS": CLAMP_TO_EDGE, "wrapT": CLAMP_TO_EDGE},
        )
        return self.append("textures", {"sampler": sampler, "source": image})

    def to_bytes(self) -> bytes:
        """The file: header, JSON chunk padded by spaces, binary chunk padded by zeros."""
        binary = bytes(self._binary) + b"\0" * (-len(self._binary) % 4)
        document = {**self.json, "buffers": [{"byteLength": len(binary)}]}
        text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), _JSON_CHUNK) + text
        chunks += struct.pack("<II", len(binary), _BINARY_CHUNK) + binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks

    def _accessor(self, values: np.ndarray, kind: str, target: int, bounds: bool) -> int:
        accessor = {
            "bufferView": self._view(values.tobytes(), target),
            "componentType": _COMPONENTS[values.dtype.name],
            "count": len(values),
            "type": kind,
        }
        if bounds:
            accessor["min"], accessor["max"] = values.min(0).tolist(), values.max(0).tolist()
        return self.append("accessors", accessor)

    def _view(self, data: bytes, target: int | None) -> int:
        self._binary += b"\0" * (-len(self._binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": len(data)}
        self._binary += data
        return self.append("bufferViews", view if target is None else {**view, "target": target})
