"""One photo in, N plausible 3D objects out, and an honest statement of what is guessed."""

import importlib

__version__ = "0.1.0"

_EXPORTS = {
    "GenerationConfig": "mvdiff.sampling.generation",
    "GenerationResult": "mvdiff.runs.result",
    "ImageTo3D": "mvdiff.runs.image_to_3d",
    "ImageToScene": "mvdiff.runs.image_to_scene",
    "MultiViewDiffusionPipeline": "mvdiff.pipelines.multiview_diffusion",
    "SceneGenerationConfig": "mvdiff.sampling.scene_settings",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
