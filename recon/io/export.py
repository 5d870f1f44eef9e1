"""Every format that a mesh can leave in, by name. Free of heavy imports, so that help and checks stay fast."""

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from recon.core.errors import InputError

if TYPE_CHECKING:
    from recon.core.mesh import TexturedMesh

#: Format to its suffix, the function that writes it, and what it is.
FORMATS = {
    "glb": (".glb", "recon.io.meshes.glb:save_glb", "binary glTF, with the uncertainty as a second look"),
    "obj": (".obj", "recon.io.meshes.files:save_mesh", "Wavefront, with an .mtl and a .png beside it"),
    "ply": (".ply", "recon.io.meshes.files:save_mesh", "triangles with colours and scalars per vertex"),
    "usdz": (".usdz", "recon.io.meshes.usd:save_usdz", "OpenUSD package (needs the extra usd)"),
    "stl": (".stl", "recon.io.meshes.printing:save_stl", "triangles in millimetres for 3D printers"),
    "3mf": (".3mf", "recon.io.meshes.printing:save_3mf", "coloured 3D print (needs the extra print)"),
    "points": (".ply", "recon.io.points:save_points", "coloured point cloud with normals"),
    "splats": (".ply", "recon.io.points:save_splats", "3D Gaussians on the surface, for splat viewers"),
    "grid": (".npz", "recon.io.grids:save_grid", "signed distance, density and colour on a voxel grid"),
}
#: Formats in millimeters.
PRINTED = ("stl", "3mf")


def format_of(name: str | None, path: Path | None) -> str:
    """The format ``name``, or the one that the suffix of ``path`` says. Raises :class:`InputError` for others."""
    if name is None:
        suffix = "" if path is None else path.suffix.lower()
        name = next((known for known, (ending, *_) in FORMATS.items() if ending == suffix), None)
        if name is None:
            raise InputError(f"'{path}' does not say the format: add --format, one of {', '.join(FORMATS)}.")
    if name not in FORMATS:
        raise InputError(f"'{name}' is no format that can be written: choose {', '.join(FORMATS)}.")
    return name


def files_of(mesh: "TexturedMesh", path: Path, name: str) -> list[Path]:
    """All files that :func:`export` writes for ``mesh``."""
    if name == "obj" and mesh.uv is not None and mesh.texture is not None:
        return [path, path.with_suffix(".mtl"), path.with_suffix(".png")]
    return [path]


def export(
    mesh: "TexturedMesh",
    path: str | os.PathLike,
    name: str,
    *,
    points: int = 100_000,
    resolution: int = 128,
    size_mm: float = 100.0,
    sh_degree: int = 3,
) -> Path:
    """Write ``mesh`` atomically in the format ``name``.

    Args:
        mesh: What to write.
        path: The file.
        name: One of ``FORMATS``.
        points: Number of points of a cloud or of splats.
        resolution: Cells along each side of a grid.
        size_mm: Longest side of a print.
        sh_degree: Degree of the spherical harmonics that splats have room for.
    """
    if not len(mesh):
        raise InputError(f"The mesh for '{path}' has no faces: there is nothing to write.")
    module, function = FORMATS[format_of(name, None)][1].split(":")
    save = getattr(importlib.import_module(module), function)
    if name == "splats":
        return save(mesh, path, points, sh_degree=sh_degree)
    if name == "points":
        return save(mesh, path, points)
    if name == "grid":
        return save(mesh, path, resolution)
    if name in PRINTED:
        return save(mesh, path, size_mm)
    return save(mesh, path, format=name) if function == "save_mesh" else save(mesh, path)
