"""Files in and out: pictures, mattes, meshes, cameras, output folders."""

import importlib

_EXPORTS = {
    "MatteReport": "recon.io.matting",
    "OutputFolder": "recon.io.bundle",
    "atomic_write": "recon.io.bundle",
    "cut_out": "recon.io.matting",
    "export": "recon.io.export",
    "find_matte": "recon.io.matting",
    "load_image": "recon.io.images",
    "load_mesh": "recon.io.mesh_files",
    "save_glb": "recon.io.glb",
    "save_grid": "recon.io.grids",
    "save_mesh": "recon.io.mesh_files",
    "save_points": "recon.io.points",
    "save_splats": "recon.io.points",
    "save_usdz": "recon.io.usd",
    "write_json": "recon.io.bundle",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
