"""Rendering of meshes and of fields."""

import importlib

_EXPORTS = {
    "Surface": "recon.rendering.shade",
    "render_mesh": "recon.rendering.mesh_renderer",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
