"""Compressed glTF geometry: meshopt buffer views and Draco primitives. Needs the extra ``gltf``."""

from typing import Any

import numpy as np

from recon.core.errors import InputError
from recon.io.meshes.gltf_reader.container import DRACO, MESHOPT, Gltf

_MAX_BYTES = 1 << 30


def meshopt_view(gltf: Gltf, packed: dict[str, Any]) -> memoryview:
    """Decode a buffer view of EXT_meshopt_compression."""
    try:
        import meshopt
    except ImportError as error:
        raise _missing(MESHOPT[0]) from error
    count, stride = packed["count"], packed["byteStride"]
    if not 0 <= count * stride <= _MAX_BYTES:
        raise ValueError(f"a compressed buffer view of {count} elements is too large")
    data = gltf.slice(packed["buffer"], packed.get("byteOffset", 0), packed["byteLength"])
    values = meshopt.decode_gltf_buffer(bytes(data), count, stride, packed["mode"], packed.get("filter", "NONE"))
    return memoryview(np.ascontiguousarray(values).view(np.uint8).reshape(-1))


def draco_primitive(gltf: Gltf, primitive: dict[str, Any]) -> tuple[np.ndarray, dict[str, np.ndarray]] | None:
    """Indices and attributes of a primitive of KHR_draco_mesh_compression; None where it is not compressed."""
    packed = (primitive.get("extensions") or {}).get(DRACO)
    if packed is None:
        return None
    try:
        import DracoPy
    except ImportError as error:
        if DRACO not in (gltf.content.get("extensionsRequired") or []):
            return None  # the uncompressed accessors are there too
        raise _missing(DRACO) from error
    mesh = DracoPy.decode(bytes(gltf.view(packed["bufferView"])))
    found = {name: mesh.get_attribute_by_unique_id(unique) for name, unique in packed["attributes"].items()}
    return np.asarray(mesh.faces).reshape(-1), {name: np.asarray(each["data"]) for name, each in found.items()}


def _missing(extension: str) -> InputError:
    return InputError(f"The mesh is compressed ({extension}), which needs a decoder: pip install 'mvdiff[gltf]'.")
