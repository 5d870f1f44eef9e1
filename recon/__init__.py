"""Geometry from posed views: cameras, rendering, reconstruction, posterior. Knows nothing of diffusion."""

import importlib

_EXPORTS = {
    "Cameras": "recon.core.cameras",
    "Hypothesis": "recon.posterior.hypothesis",
    "InputError": "recon.core.errors",
    "Posterior": "recon.posterior.posterior",
    "ReconstructionConfig": "recon.objects",
    "TexturedMesh": "recon.core.mesh",
    "ViewSet": "recon.core.views",
    "load_mesh": "recon.io.meshes.files",
    "load_posterior": "recon.posterior.storage",
    "load_views": "recon.io.views.files",
    "reconstruct": "recon.objects",
    "save_mesh": "recon.io.meshes.files",
    "save_posterior": "recon.posterior.storage",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
