"""Files for 3D printers, STL and 3MF, and a check of what a printer may stumble over."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

from recon.core.conventions import world_rotation
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.folders import atomic_write, write_bytes
from recon.io.meshes.atlas import vertex_colors
from recon.surface.cleanup import is_watertight

if TYPE_CHECKING:
    import trimesh

#: Surfaces that lean over by more than this many degrees from the vertical need support.
OVERHANG_ANGLE = 45.0
#: Places at which the wall's thickness is measured.
_PROBES = 2000
#: The share of places that may be thinner than what is stated as the wall's thickness.
_THIN_QUANTILE = 0.05
#: Colors of a 3MF are rounded to this step: each different one is an entry of its own.
_COLOR_STEP = 8


@dataclass(frozen=True)
class PrintCheck:
    """Facts about a mesh of a given size on the plate, +Z up."""

    size_mm: tuple[float, float, float]
    watertight: bool
    thinnest_mm: float
    """Wall thickness that 95 % of the surface exceeds, along rays into the object."""
    overhang: float
    """Share of the surface that leans over by more than 45 degrees and does not rest on the plate."""

    def text(self) -> str:
        width, depth, height = self.size_mm
        tight = "watertight" if self.watertight else "not watertight: repair it before slicing"
        return (
            f"{width:.1f} x {depth:.1f} x {height:.1f} mm, {tight}, walls from {self.thinnest_mm:.1f} mm, "
            f"{100 * self.overhang:.0f} % of the surface needs support"
        )


def on_plate(mesh: TexturedMesh, size_mm: float) -> TexturedMesh:
    """The mesh in millimeters, +Z up, its longest side ``size_mm``, standing on z = 0 around the origin."""
    low, high = mesh.bounds
    if not 0 < size_mm <= 10_000:
        raise InputError(f"The size of a print lies between 0 and 10000 mm, not {size_mm}.")
    turned = mesh.transformed(world_rotation("z_up").T)
    scaled = turned.transformed(torch.diag(torch.tensor([*[size_mm / float((high - low).max())] * 3, 1.0])))
    low, high = scaled.bounds
    shift = torch.eye(4)
    shift[:2, 3], shift[2, 3] = -(low + high)[:2] / 2, -low[2]
    return scaled.transformed(shift)


def check_print(mesh: TexturedMesh, size_mm: float) -> PrintCheck:
    """Measure size, walls and overhangs of the mesh as a print of this size."""
    import trimesh

    placed = on_plate(mesh.to("cpu"), size_mm)
    solid = placed.to_trimesh()
    points, faces = trimesh.sample.sample_surface(solid, _PROBES, seed=0)
    thickness = _thickness(solid, points, solid.face_normals[faces])
    down = -solid.face_normals[:, 2]
    resting = solid.triangles[:, :, 2].max(1) < 1e-3 * size_mm
    leaning = (down > np.sin(np.radians(OVERHANG_ANGLE))) & ~resting
    width, depth, height = solid.extents.tolist()
    return PrintCheck(
        (width, depth, height),
        is_watertight(placed),
        float(np.quantile(thickness, _THIN_QUANTILE)) if len(thickness) else 0.0,
        float(solid.area_faces[leaning].sum() / solid.area),
    )


def save_stl(mesh: TexturedMesh, path: str | os.PathLike, size_mm: float = 100.0) -> Path:
    """Write binary STL in millimeters, +Z up, atomically."""
    return write_bytes(path, on_plate(mesh.to("cpu"), size_mm).to_trimesh().export(file_type="stl"))


def save_3mf(mesh: TexturedMesh, path: str | os.PathLike, size_mm: float = 100.0) -> Path:
    """Write 3MF in millimeters, +Z up, with colors at vertices, atomically. Needs the extra ``print``."""
    try:
        import lib3mf
    except ImportError as error:
        raise InputError("3MF needs lib3mf: install it with pip install 'mvdiff[print]', or write STL.") from error
    placed = on_plate(mesh.to("cpu"), size_mm)
    model = lib3mf.get_wrapper().CreateModel()
    shape = model.AddMeshObject()
    vertices = np.ascontiguousarray(placed.vertices.numpy(), np.float32)
    faces = np.ascontiguousarray(placed.faces.numpy(), np.uint32)
    shape.SetGeometry(
        (lib3mf.Position * len(vertices)).from_buffer_copy(vertices),
        (lib3mf.Triangle * len(faces)).from_buffer_copy(faces),
    )
    shape.SetName("object")
    colors = vertex_colors(placed)
    if colors is not None:
        _color(lib3mf, model, shape, colors.numpy(), faces)
    model.AddBuildItem(shape, lib3mf.get_wrapper().GetIdentityTransform())
    with atomic_write(path) as temporary:
        model.QueryWriter("3mf").WriteToFile(str(temporary))
    return Path(path)


def _thickness(
    solid: "trimesh.Trimesh", points: Float[np.ndarray, "p 3"], normals: Float[np.ndarray, "p 3"]
) -> Float[np.ndarray, "q"]:
    """Distances through the object from points on its surface, straight inwards; rays that leave it are left out."""
    start = points - normals * 1e-4 * solid.scale
    places, rays, _ = solid.ray.intersects_location(start, -normals, multiple_hits=False)
    return np.linalg.norm(places - points[rays], axis=1)


def _color(lib3mf: Any, model: Any, shape: Any, colors: Float[np.ndarray, "k 3"], faces: np.ndarray) -> None:
    """Colour the corners of all triangles from one group of colors."""
    coarse = (np.rint(colors.clip(0, 1) * 255 / _COLOR_STEP) * _COLOR_STEP).clip(0, 255).astype(np.uint8)
    unique, index = np.unique(coarse, axis=0, return_inverse=True)
    group = model.AddColorGroup()
    numbers = np.array([group.AddColor(lib3mf.Color(*map(int, rgb), 255)) for rgb in unique], np.uint32)
    rows = np.empty((len(faces), 4), np.uint32)
    rows[:, 0], rows[:, 1:] = group.GetResourceID(), numbers[index.reshape(-1)][faces]
    shape.SetAllTriangleProperties((lib3mf.TriangleProperties * len(rows)).from_buffer_copy(rows))
    shape.SetObjectLevelProperty(group.GetResourceID(), int(numbers[0]))
