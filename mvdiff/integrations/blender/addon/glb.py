"""A GLB file with what Blender shows of it. Free of bpy."""

import json
import struct
from pathlib import Path
from typing import Any

#: Vertex attributes that are read, beside glTF's own.
_KEPT = ("_UNCERTAINTY",)


def trimmed(path: Path) -> bytes:
    """The file without the vertex attributes and the second look that Blender has no use for.

    Blender's importer (4.2 to 5.0) fails on files that mix vertex attributes of one and of several numbers, as those
    of a run do.
    """
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + length])
    for mesh in document["meshes"]:
        for primitive in mesh["primitives"]:
            primitive.pop("extensions", None)
            primitive["attributes"] = _used(primitive["attributes"])
    for entry in ("extensions", "extensionsUsed"):
        document.pop(entry, None)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    return (
        struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest))
        + struct.pack("<I4s", len(text), b"JSON")
        + text
        + rest
    )


def _used(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: place for name, place in attributes.items() if not name.startswith("_") or name in _KEPT}
