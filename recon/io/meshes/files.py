"""Meshes from and to files: GLB, glTF, OBJ, PLY, STL, OFF and USD in; GLB, PLY and OBJ out."""

import contextlib
import io
import os
import warnings
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.paths import exists, is_file
from recon.core.reading import READ_ERRORS, reason
from recon.io.folders import atomic_write
from recon.io.images.files import TEXTURE_PNG
from recon.io.meshes.atlas import Part, join, vertex_colors
from recon.io.meshes.glb import save_glb
from recon.io.meshes.gltf_reader import read_gltf
from recon.io.meshes.notes import Notes
from recon.io.meshes.obj_reader import read_obj
from recon.io.meshes.ply import write_ply
from recon.io.meshes.ply_reader import read_ply
from recon.io.meshes.seams import CREASE_ANGLE, crease_normals
from recon.io.meshes.usd_reader import USD_FILES, read_usd

MeshFormat = Literal["glb", "ply", "obj"]
READABLE = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off", *USD_FILES)


def load_mesh(path: str | os.PathLike, notes: Notes | None = None) -> TexturedMesh:
    """Read a scene as one mesh in its own coordinates (of USD: +Y up, in meters), colors in sRGB.

    Nodes are flattened; one texture is kept as it is, several become an atlas; linear values (glTF's COLOR_0 and
    factors) become sRGB. Vertices split for the file's sake are joined again. Transparent parts of a surface are cut
    away. Whatever the file holds and the mesh does not show is one warning.

    Args:
        path: A file of one of the kinds in ``READABLE``.
        notes: Collects what is not shown, instead of the warning.

    Raises:
        InputError: The file holds no mesh that can be read.
    """
    path, found = Path(path), Notes() if notes is None else notes
    _check_place(path)
    try:
        parts = [part for part in _READERS[path.suffix.lower()](path, found) if len(part.faces)]
        _check_parts(path, parts)
        mesh = join(parts)
    except InputError:
        raise
    except (*READ_ERRORS, NameError) as error:  # the latter out of trimesh's readers
        raise InputError(f"'{path}' cannot be read as a mesh ({reason(error)}): export it again.") from error
    if not len(mesh) or (mesh.vertices.amax(0) - mesh.vertices.amin(0)).max() == 0:
        raise InputError(f"'{path}' holds no surface, all its triangles are points: export it again.")
    if notes is None and found.text():
        warnings.warn(f"'{path}' is not read in full: {found.text()}.", stacklevel=2)
    return mesh


def _check_place(path: Path) -> None:
    if not exists(path):
        raise InputError(f"There is no file '{path}': check the path.")
    if not is_file(path) or path.suffix.lower() not in READABLE:
        raise InputError(f"'{path}' is no mesh that can be read: give a file of {', '.join(READABLE)}.")


def _check_parts(path: Path, parts: list[Part]) -> None:
    if not parts:
        raise InputError(f"'{path}' holds no triangles: export it as a triangle mesh.")
    for part in parts:
        if not np.isfinite(part.vertices).all() or (part.uv is not None and not np.isfinite(part.uv).all()):
            raise InputError(f"'{path}' holds NaN or infinite coordinates: clean it up and export it again.")
        if part.faces.min() < 0 or part.faces.max() >= len(part.vertices):
            raise InputError(f"'{path}' has faces that name missing vertices: export it again.")


def save_mesh(mesh: TexturedMesh, path: str | os.PathLike, format: MeshFormat | None = None) -> Path:
    """Write ``mesh`` atomically; the format is the path's suffix unless given.

    GLB: :func:`recon.io.meshes.glb.save_glb`. PLY: one vertex per vertex, sRGB colors (from the texture if need be),
    scalar attributes as float properties. OBJ: with an .mtl and .png beside it where there is a texture.
    """
    path = Path(path)
    kind = path.suffix.lower().lstrip(".") if format is None else format
    if kind not in get_args(MeshFormat):
        raise InputError(f"'{kind}' is no mesh format that can be written: choose {', '.join(get_args(MeshFormat))}.")
    return {"glb": save_glb, "ply": _save_ply, "obj": _save_obj}[kind](mesh, path)


def _save_ply(mesh: TexturedMesh, path: Path) -> Path:
    columns = {axis: mesh.vertices[:, i].detach().cpu().numpy() for i, axis in enumerate("xyz")}
    columns |= {f"n{axis}": mesh.vertex_normals()[:, i].detach().cpu().numpy() for i, axis in enumerate("xyz")}
    colors = vertex_colors(mesh)
    if colors is not None:
        channels = (colors.detach().clamp(0, 1) * 255).round().byte().cpu().numpy()
        columns |= {name: channels[:, i] for i, name in enumerate(("red", "green", "blue"))}
    columns |= {name: value.detach().cpu().numpy() for name, value in mesh.attributes.items() if value.ndim == 1}
    return write_ply(path, columns, mesh.faces.cpu().numpy())


def _save_obj(mesh: TexturedMesh, path: Path) -> Path:
    from PIL import Image

    vertices, faces = mesh.vertices.detach().cpu().double().numpy(), mesh.faces.cpu().numpy()
    textured = mesh.uv is not None and mesh.texture is not None
    group, normals = crease_normals(vertices, faces.astype(np.int64), CREASE_ANGLE)
    rows = vertices
    if not textured and mesh.colors is not None:  # x y z r g b: an extension that most programs read
        rows = np.concatenate([vertices, mesh.colors.detach().cpu().clamp(0, 1).numpy()], 1)
    lines = ["v " + " ".join(f"{value:.7g}" for value in row) for row in rows.tolist()]
    lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in normals.tolist()]
    vertex, normal = faces.reshape(-1) + 1, group + 1
    if textured:
        uv, coordinate = np.unique(mesh.uv.detach().cpu().reshape(-1, 2).numpy(), axis=0, return_inverse=True)
        lines += [f"vt {u:.7g} {1 - v:.7g}" for u, v in uv.tolist()]  # OBJ counts v from the lower edge
        corners = zip(vertex.tolist(), (coordinate.reshape(-1) + 1).tolist(), normal.tolist(), strict=True)
        texts = [f"{v}/{t}/{n}" for v, t, n in corners]
        lines = [f"mtllib {path.with_suffix('.mtl').name}", "usemtl object", *lines]
    else:
        texts = [f"{v}//{n}" for v, n in zip(vertex.tolist(), normal.tolist(), strict=True)]
    lines += ["f " + " ".join(texts[i : i + 3]) for i in range(0, len(texts), 3)]
    files = {path: ("\n".join(lines) + "\n").encode()}
    if textured:
        texture = (mesh.texture.detach().cpu().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        stream = io.BytesIO()
        Image.fromarray(texture).save(stream, "PNG", **TEXTURE_PNG)
        material, picture = path.with_suffix(".mtl"), path.with_suffix(".png")
        files[material] = f"newmtl object\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nmap_Kd {picture.name}\n".encode()
        files[picture] = stream.getvalue()
    # All are written before the first one takes its place: a full disk leaves what was there.
    with contextlib.ExitStack() as stack:
        for place, data in files.items():
            stack.enter_context(atomic_write(place)).write_bytes(data)
    return path


def _read_plain(path: Path, notes: Notes) -> list[Part]:
    from recon.io.meshes.plain_reader import read_plain  # imports trimesh

    return read_plain(path, notes)


_READERS = {
    **dict.fromkeys((".glb", ".gltf"), read_gltf),
    **dict.fromkeys((".stl", ".off"), _read_plain),
    **dict.fromkeys(USD_FILES, read_usd),
    ".obj": read_obj,
    ".ply": read_ply,
}
