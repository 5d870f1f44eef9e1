"""Files in and out: pictures, mattes, meshes, cameras, output folders."""

import importlib

_EXPORTS = {
    "MatteReport": "recon.io.images.matting",
    "OutputFolder": "recon.io.folders",
    "atomic_write": "recon.io.folders",
    "cut_out": "recon.io.images.matting",
    "export": "recon.io.export",
    "find_matte": "recon.io.images.matting",
    "load_image": "recon.io.images.files",
    "load_mesh": "recon.io.meshes.files",
    "save_glb": "recon.io.meshes.glb",
    "save_grid": "recon.io.grids",
    "save_mesh": "recon.io.meshes.files",
    "save_points": "recon.io.points",
    "save_splats": "recon.io.points",
    "save_usdz": "recon.io.meshes.usd",
    "write_json": "recon.io.folders",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
