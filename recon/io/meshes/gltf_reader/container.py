"""The glTF container: the JSON document, its buffers, and the extensions that it requires."""

import base64
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from recon.core.errors import InputError
from recon.core.reading import read_bytes
from recon.io.meshes.beside import MAX_FILE, FilesBeside
from recon.io.meshes.notes import Notes

_GLB, _JSON_CHUNK, _BINARY_CHUNK = b"glTF", 0x4E4F534A, 0x004E4942
DRACO, TRANSFORM, INSTANCING = "KHR_draco_mesh_compression", "KHR_texture_transform", "EXT_mesh_gpu_instancing"
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")

#: Extensions that a file may require: read here, or without effect on shape and base color.
_READ = {
    *(DRACO, TRANSFORM, INSTANCING, *MESHOPT, "KHR_mesh_quantization", "KHR_node_visibility"),
    *("EXT_texture_webp", "EXT_texture_avif", "MSFT_texture_dds", "KHR_materials_unlit"),
    *("KHR_materials_pbrSpecularGlossiness", "KHR_materials_variants", "KHR_lights_punctual", "KHR_xmp_json_ld"),
    *("KHR_xmp", "KHR_animation_pointer", "EXT_lights_image_based", "MSFT_lod", "CESIUM_primitive_outline"),
    *("CESIUM_RTC", "EXT_mesh_features", "EXT_structural_metadata", "EXT_instance_features"),
}
_SURFACE = "KHR_materials_"


@dataclass(frozen=True)
class Gltf:
    """A document whose references are resolved by :meth:`entry` and whose bytes come from :meth:`view`."""

    content: dict[str, Any]
    binary: bytes | None
    beside: FilesBeside
    notes: Notes
    _buffers: dict[int, memoryview] = field(default_factory=dict, repr=False)

    @staticmethod
    def open(path: Path, notes: Notes) -> "Gltf":
        """Read a .glb or .gltf, told apart by its content.

        Raises:
            InputError: It is glTF 1.0, or requires an extension that is not read.
            ValueError: The container is damaged.
        """
        data = read_bytes(path, MAX_FILE)
        text, binary = _chunks(data) if data[:4] == _GLB else (data, None)
        content = _document(text)
        version = str(content.get("asset", {}).get("version", "2.0"))
        if version.split(".")[0] != "2":
            raise InputError(f"'{path}' is glTF {version[:8]}, only glTF 2 is read: convert it to glTF 2.0.")
        _check_extensions(path, content)
        return Gltf(content, binary, FilesBeside(path.parent), notes)

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """The document's list ``kind``, such as ``nodes``; empty where there is none."""
        return self.content.get(kind) or []

    def entry(self, kind: str, index: int) -> dict[str, Any]:
        """Entry ``index`` of the list ``kind``.

        Raises:
            ValueError: There is no such entry.
        """
        entries = self.entries(kind)
        if not isinstance(index, int) or not 0 <= index < len(entries):
            raise ValueError(f"there is no entry {index!r} in {kind}")
        return entries[index]

    def buffer(self, index: int) -> memoryview:
        """All bytes of a buffer."""
        if index not in self._buffers:
            stated = self.entry("buffers", index)
            uri = stated.get("uri")
            data = self.binary if uri is None else self.address(uri)
            if data is None:
                raise ValueError(f"buffer {index} is not in the file")
            self._buffers[index] = memoryview(data)
        return self._buffers[index]

    def view(self, index: int) -> memoryview:
        """The bytes of an uncompressed buffer view."""
        view = self.entry("bufferViews", index)
        return self.slice(view["buffer"], view.get("byteOffset", 0), view["byteLength"])

    def slice(self, buffer: int, start: int, length: int) -> memoryview:
        """``length`` bytes of a buffer from ``start`` on."""
        data = self.buffer(buffer)
        if start < 0 or length < 0 or start + length > len(data):
            raise ValueError(f"buffer {buffer} ends before its data: the file is truncated")
        return data[start : start + length]

    def address(self, uri: str) -> bytes:
        """The content of a data URI, or of a file beside this one."""
        if not uri.startswith("data:"):
            return self.beside.read(uri)
        head, _, body = uri.partition(",")
        return base64.b64decode(body) if head.endswith(";base64") else unquote_to_bytes(body)


def _document(text: bytes) -> dict[str, Any]:
    """The JSON document. Raises ``ValueError`` in words of glTF, not of JSON, for files that are something else."""
    if not text.strip():
        raise ValueError("the file is empty")
    try:
        content = json.loads(text.decode("utf-8-sig"))
    except ValueError as error:
        kind = "text" if text[:1] not in b"{\xef" and text[:256].isascii() else "damaged"
        said = "it is a text file, no glTF" if kind == "text" else "its JSON document is damaged"
        raise ValueError(said) from error
    if not isinstance(content, dict):
        raise ValueError("the document is no JSON object")
    return content


def _chunks(data: bytes) -> tuple[bytes, bytes | None]:
    """The JSON chunk and the binary chunk of a GLB."""
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise ValueError(f"its container has version {version}, not 2")
    if length > min(len(data), MAX_FILE):
        raise ValueError(f"it has {len(data)} of {length} bytes: it is truncated")
    found: dict[int, bytes] = {}
    position = 12
    while position + 8 <= length:
        size, kind = struct.unpack_from("<II", data, position)
        if position + 8 + size > len(data):
            raise ValueError("a chunk reaches beyond the file's end: it is truncated")
        found.setdefault(kind, data[position + 8 : position + 8 + size])
        position += 8 + size
    if _JSON_CHUNK not in found:
        raise ValueError("it has no JSON chunk")
    return found[_JSON_CHUNK], found.get(_BINARY_CHUNK)


def _check_extensions(path: Path, content: dict[str, Any]) -> None:
    required = content.get("extensionsRequired") or []
    unknown = sorted({str(name) for name in required if name not in _READ and not str(name).startswith(_SURFACE)})
    if unknown:
        raise InputError(
            f"'{path}' requires the glTF extension{'s' * (len(unknown) > 1)} {', '.join(unknown)}, which cannot be read"
            " here: export it without."
        )
