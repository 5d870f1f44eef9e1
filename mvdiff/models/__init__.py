"""The networks, on diffusers' model contract."""

import importlib

_EXPORTS = {
    "MultiViewTransformer": "mvdiff.models.transformer",
    "PhotoCameraEstimator": "mvdiff.models.camera_estimator",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
