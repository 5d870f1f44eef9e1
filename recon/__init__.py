"""Geometry from posed views: cameras, rendering, reconstruction, posterior. Knows nothing of diffusion."""

import importlib

_EXPORTS = {
    "Cameras": "recon.core.cameras",
    "ReconstructionConfig": "recon.objects",
    "TexturedMesh": "recon.core.mesh",
    "ViewSet": "recon.core.views",
    "reconstruct": "recon.objects",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
