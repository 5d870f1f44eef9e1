"""The PLY container (Turk 1994), binary little-endian: vertices with named numbers, and triangles."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from recon.io.folders import write_bytes

_TYPES = {"u1": "uchar", "<f4": "float"}


def write_ply(
    path: str | os.PathLike,
    columns: dict[str, np.ndarray],
    faces: Int[np.ndarray, "f 3"] | None = None,
    comments: Sequence[str] = (),
) -> Path:
    """Write atomically; ``columns`` [k] are bytes where they are uint8, else single-precision numbers."""
    kinds = {name: "u1" if values.dtype == np.uint8 else "<f4" for name, values in columns.items()}
    vertices = np.empty(len(next(iter(columns.values()))), dtype=list(kinds.items()))
    for name, values in columns.items():
        vertices[name] = values
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {text}" for text in comments)]
    lines += [f"element vertex {len(vertices)}"]
    lines += [f"property {_TYPES[kind]} {name}" for name, kind in kinds.items()]
    body = vertices.tobytes()
    if faces is not None:
        triangles = np.empty(len(faces), dtype=[("count", "u1"), ("index", "<i4", 3)])
        triangles["count"], triangles["index"] = 3, faces
        lines += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
        body += triangles.tobytes()
    return write_bytes(path, "\n".join([*lines, "end_header", ""]).encode() + body)
