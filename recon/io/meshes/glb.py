"""Writing a TexturedMesh as GLB: upright, textured, with a second look that shows its uncertainty."""

import importlib.metadata
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.conventions import srgb_to_linear
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.folders import write_bytes
from recon.io.meshes.gltf import LINEAR, LINEAR_MIPMAP_LINEAR, GlbBuilder
from recon.io.meshes.seams import SplitMesh, split

#: The attribute that becomes the second look.
UNCERTAINTY = "uncertainty"

_ROUGHNESS = 0.9
_GRAY = 0.7  # sRGB of meshes without color
_RAMP_SIZE = 256
#: The share of vertices below the ramp's end: a few outliers shall not bleach the rest.
_RAMP_QUANTILE = 0.98
#: sRGB from certain to guessed.
_RAMP = ((0.13, 0.35, 0.62), (0.48, 0.72, 0.82), (0.97, 0.94, 0.78), (0.95, 0.57, 0.27), (0.66, 0.07, 0.13))


def save_glb(
    mesh: TexturedMesh,
    path: str | os.PathLike,
    *,
    extras: dict[str, Any] | None = None,
    texture_format: Literal["png", "jpeg"] = "png",
) -> Path:
    """Write ``mesh`` atomically as binary glTF 2.0.

    Vertices are split only at creases and texture seams: merged by position they are the mesh's own surface again.
    The texture is sRGB, vertex colors (written if there is no texture) are linear, as glTF has it. Attributes become
    ``_NAME`` accessors; one named ``uncertainty`` also gives a second look of KHR_materials_variants, a heat map whose
    range stands in the scene's extras. ``extras`` are JSON values kept with the scene.
    """
    return write_bytes(path, glb_bytes(mesh, extras=extras, texture_format=texture_format))


def glb_bytes(
    mesh: TexturedMesh, *, extras: dict[str, Any] | None = None, texture_format: Literal["png", "jpeg"] = "png"
) -> bytes:
    """The file that :func:`save_glb` writes."""
    builder = GlbBuilder()
    builder.json["asset"] = {"version": "2.0", "generator": generator_name()}
    index, top = _add_mesh(builder, "object", mesh, texture_format)
    scene_extras = dict(extras or {})
    if top is not None:
        scene_extras["uncertainty_range"] = [0.0, top]
    builder.append("nodes", {"name": "object", "mesh": index})
    builder.append("scenes", {"nodes": [0], **({"extras": scene_extras} if scene_extras else {})})
    builder.json["scene"] = 0
    return builder.to_bytes()


@dataclass(frozen=True)
class PlacedMesh:
    """A mesh with its place in a scene."""

    name: str
    mesh: TexturedMesh
    matrix: Float[Tensor, "4 4"]
    """Similarity from the mesh's own frame into the scene's."""
    extras: dict[str, Any] = field(default_factory=dict)
    """JSON values kept with the node."""


def placed_glb_bytes(
    objects: Sequence[PlacedMesh],
    *,
    extras: dict[str, Any] | None = None,
    texture_format: Literal["png", "jpeg"] = "png",
) -> bytes:
    """Binary glTF 2.0 with one node for each object, as :func:`save_glb` writes a single one."""
    builder = GlbBuilder()
    builder.json["asset"] = {"version": "2.0", "generator": generator_name()}
    for each in objects:
        index, top = _add_mesh(builder, each.name, each.mesh, texture_format)
        own = each.extras | ({} if top is None else {"uncertainty_range": [0.0, top]})
        matrix = each.matrix.double().cpu().T.flatten().tolist()
        node = {"name": each.name, "mesh": index, "matrix": matrix}
        builder.append("nodes", node | ({"extras": own} if own else {}))
    scene = {"nodes": list(range(len(objects))), **({"extras": extras} if extras else {})}
    builder.append("scenes", scene)
    builder.json["scene"] = 0
    return builder.to_bytes()


def _add_mesh(
    builder: GlbBuilder, name: str, mesh: TexturedMesh, texture_format: Literal["png", "jpeg"]
) -> tuple[int, float | None]:
    """Index of the mesh, and the upper end of its uncertainty's range where it has one."""
    check_mesh(mesh)
    textured = mesh.uv is not None and mesh.texture is not None
    parts = split(mesh if textured else TexturedMesh(mesh.vertices, mesh.faces))
    if not len(parts.faces):
        raise InputError("A mesh without faces cannot be written.")
    attributes = {
        "POSITION": builder.vertex_data(parts.positions, bounds=True),
        "NORMAL": builder.vertex_data(parts.normals),
    }
    material: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": _ROUGHNESS}
    if mesh.uv is not None and mesh.texture is not None:
        attributes["TEXCOORD_0"] = builder.vertex_data(parts.uv)
        image = builder.image(image_bytes(mesh.texture.permute(1, 2, 0)), texture_format)
        material["baseColorTexture"] = {"index": builder.texture(image, LINEAR_MIPMAP_LINEAR)}
    elif mesh.colors is not None:
        linear = srgb_to_linear(mesh.colors.detach().float().clamp(0, 1)).cpu().numpy()
        attributes["COLOR_0"] = builder.vertex_data(linear[parts.source])
    else:
        gray = srgb_to_linear(torch.tensor(_GRAY)).item()
        material["baseColorFactor"] = [gray, gray, gray, 1.0]
    look = builder.append("materials", {"name": "appearance", "pbrMetallicRoughness": material, "doubleSided": False})
    for key, values in mesh.attributes.items():
        rows = values.detach().cpu().float().numpy()[parts.source]
        attributes |= {name: builder.vertex_data(row) for name, row in custom_attributes(key, rows).items()}
    primitive = {
        "attributes": attributes,
        "indices": builder.index_data(parts.faces, len(parts.positions)),
        "material": look,
        "mode": 4,
    }
    top = _add_uncertainty(builder, primitive, mesh, parts) if UNCERTAINTY in mesh.attributes else None
    return builder.append("meshes", {"name": name, "primitives": [primitive]}), top


def uncertainty_colors() -> np.ndarray:
    """The heat map's colors, sRGB uint8 [256, 3], from certain to guessed."""
    position = np.linspace(0, len(_RAMP) - 1, _RAMP_SIZE)
    channels = [np.interp(position, np.arange(len(_RAMP)), channel) for channel in zip(*_RAMP, strict=True)]
    return np.rint(np.stack(channels, -1) * 255).astype(np.uint8)


def _add_uncertainty(builder: GlbBuilder, primitive: dict[str, Any], mesh: TexturedMesh, parts: SplitMesh) -> float:
    """Add the second look to ``primitive``; returns the value at the upper end of the ramp.

    The vertices' values are texture coordinates into the ramp, so that colors stay true between vertices. glTF
    multiplies base colors by COLOR_0, hence a mesh with vertex colors shows the ramp as emission.
    """
    values = mesh.attributes[UNCERTAINTY].detach().cpu().float().reshape(-1).numpy()
    top = float(np.quantile(values, _RAMP_QUANTILE)) or float(values.max()) or 1.0
    unit = np.clip(values / top, 0, 1)[parts.source]
    across = (0.5 + unit * (_RAMP_SIZE - 1)) / _RAMP_SIZE
    attributes = primitive["attributes"]
    channel = 1 if "TEXCOORD_0" in attributes else 0
    attributes[f"TEXCOORD_{channel}"] = builder.vertex_data(np.stack([across, np.full_like(across, 0.5)], -1))
    ramp = builder.texture(builder.image(uncertainty_colors()[None]), LINEAR)
    texture = {"index": ramp, "texCoord": channel} if channel else {"index": ramp}
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": _ROUGHNESS}
    material = {"name": UNCERTAINTY, "pbrMetallicRoughness": surface, "doubleSided": False}
    if "COLOR_0" in attributes:
        surface["baseColorFactor"] = [0.0, 0.0, 0.0, 1.0]
        material |= {"emissiveTexture": texture, "emissiveFactor": [1.0, 1.0, 1.0]}
    else:
        surface["baseColorTexture"] = texture
    look = builder.append("materials", material)
    builder.json["extensionsUsed"] = ["KHR_materials_variants"]
    names = [{"name": "appearance"}, {"name": UNCERTAINTY}]
    builder.json["extensions"] = {"KHR_materials_variants": {"variants": names}}
    mappings = [{"material": primitive["material"], "variants": [0]}, {"material": look, "variants": [1]}]
    primitive["extensions"] = {"KHR_materials_variants": {"mappings": mappings}}
    return top


def check_mesh(mesh: TexturedMesh) -> None:
    """Raise :class:`InputError` for values that no file can hold."""
    named = {"vertices": mesh.vertices, "colors": mesh.colors, "uv": mesh.uv, "texture": mesh.texture}
    for name, values in (named | mesh.attributes).items():
        if values is not None and not torch.isfinite(values).all():
            raise InputError(f"The mesh's {name} hold NaN or infinity and cannot be written.")
    for name, values in mesh.attributes.items():
        if len(values) != len(mesh.vertices) or values.ndim > 2 or (values.ndim == 2 and values.shape[1] > 4):
            raise InputError(f"The attribute {name!r} must hold 1 to 4 values per vertex, not {list(values.shape)}.")


def custom_attributes(name: str, values: Float[np.ndarray, "k *c"]) -> dict[str, Float[np.ndarray, "k"]]:
    """A vertex attribute as glTF's custom attributes, which start with an underscore; upper case is usual.

    Several numbers a vertex become as many scalars, ``_NAME_0`` and so on: Blender's importer (4.2 to 5.0) can crash on
    a mesh that has custom attributes of different sizes.
    """
    key = "_" + re.sub(r"[^A-Z0-9_]", "_", name.upper().lstrip("_"))
    if values.ndim == 1:
        return {key: values}
    return {f"{key}_{index}": np.ascontiguousarray(column) for index, column in enumerate(values.T)}


def image_bytes(image: torch.Tensor) -> np.ndarray:
    """Colors in 0 to 1 as bytes."""
    return (image.detach().float().clamp(0, 1) * 255).round().byte().cpu().numpy()


def generator_name() -> str:
    """Name and version of the program, for a file's metadata."""
    try:
        return f"mvdiff {importlib.metadata.version('mvdiff')}"
    except importlib.metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "mvdiff"
