"""Pipelines on diffusers' contract."""

import importlib

_EXPORTS = {
    "MultiViewDiffusionPipeline": "mvdiff.pipelines.multiview_diffusion",
    "MultiViewOutput": "mvdiff.pipelines.multiview_diffusion",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
