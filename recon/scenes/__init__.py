"""Geometry of scenes: three-state grids, fusion, meshes, colliders, walkable floors, sky and splats.

The world of a scene has the photo's camera at the origin, +Y up along gravity, and the photo's heading along -Z. The
photo's median depth is 1.5 units; metric scale is one factor at export.
"""

import importlib

_EXPORTS = {
    "Scene": "recon.scenes.scene",
    "SceneConfig": "recon.scenes.scene",
    "build_scene": "recon.scenes.scene",
    "export_scene": "recon.scenes.files.export",
    "scene_grid": "recon.scenes.scene",
    "Body": "recon.scenes.navigation",
    "NavMesh": "recon.scenes.navigation",
    "SceneField": "recon.scenes.field",
    "SceneFuseConfig": "recon.scenes.fuse",
    "SceneGrid": "recon.scenes.grid",
    "fuse_scene": "recon.scenes.fuse",
    "photo_strata": "recon.scenes.strata",
    "scene_mesh": "recon.scenes.mesh",
    "walkable": "recon.scenes.navigation",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
