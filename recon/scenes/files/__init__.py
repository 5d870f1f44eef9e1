"""Scene files: one GLB with everything, USD, splats, panoramas, views and fly-through videos."""

import importlib

_EXPORTS = {
    "export_scene": "recon.scenes.files.export",
    "save_fly_through": "recon.scenes.files.video",
    "save_scene_glb": "recon.scenes.files.glb",
    "save_scene_usd": "recon.scenes.files.usd",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
