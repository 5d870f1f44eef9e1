"""Splat files: PLY as trainers and viewers read it, and SPZ."""

import importlib

_EXPORTS = {
    "load_spz": "recon.io.splats.spz",
    "save_splat_ply": "recon.io.splats.ply",
    "save_spz": "recon.io.splats.spz",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
