"""USDZ: what Apple's viewers and USD's own tools open. Needs the extra ``usd``."""

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from recon.core.conventions import srgb_to_linear
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.folders import atomic_write
from recon.io.images.files import TEXTURE_PNG
from recon.io.meshes.seams import CREASE_ANGLE, crease_normals

_ROUGHNESS = 0.9
_GRAY = 0.7


def save_usdz(mesh: TexturedMesh, path: str | os.PathLike) -> Path:
    """Write ``mesh`` atomically: +Y up, one unit a meter, a preview surface, scalar attributes as primvars."""
    try:
        from pxr import UsdUtils
    except ImportError as error:
        raise InputError("USDZ needs OpenUSD: install it with pip install 'mvdiff[usd]'.") from error
    mesh = mesh.to("cpu")
    with tempfile.TemporaryDirectory() as folder, atomic_write(path) as temporary:
        layer = Path(folder) / "object.usdc"
        _write_stage(mesh, layer)
        temporary.unlink()  # the packer writes new files only
        if not UsdUtils.CreateNewARKitUsdzPackage(str(layer), str(temporary)):
            raise InputError(f"OpenUSD could not pack '{path}': choose another output.")
    return Path(path)


def _write_stage(mesh: TexturedMesh, layer: Path) -> None:
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.CreateNew(str(layer))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, "/object")
    stage.SetDefaultPrim(root.GetPrim())
    define_mesh(stage, "/object/surface", "/object/appearance", mesh, layer.parent / "color.png")
    stage.GetRootLayer().Save()


def define_mesh(stage, place: str, look: str, mesh: TexturedMesh, texture: Path):
    """A mesh prim at ``place`` with its material at ``look``; its texture, if any, is written to ``texture``."""
    from pxr import Gf, Sdf, UsdGeom, Vt

    shape = UsdGeom.Mesh.Define(stage, place)
    vertices, faces = mesh.vertices.detach().double().numpy(), mesh.faces.numpy().astype(np.int64)
    shape.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(vertices.astype(np.float32)))
    shape.CreateFaceVertexCountsAttr(Vt.IntArray(len(faces), 3))
    shape.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces.reshape(-1).astype(np.int32)))
    shape.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    low, high = vertices.min(0).tolist(), vertices.max(0).tolist()
    shape.CreateExtentAttr([Gf.Vec3f(*low), Gf.Vec3f(*high)])
    group, normals = crease_normals(vertices, faces, CREASE_ANGLE)
    shape.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(normals[group].astype(np.float32)))
    shape.SetNormalsInterpolation(UsdGeom.Tokens.faceVarying)
    primvars = UsdGeom.PrimvarsAPI(shape)
    for name, values in mesh.attributes.items():
        if values.ndim == 1:
            kind = Sdf.ValueTypeNames.FloatArray
            made = primvars.CreatePrimvar(name, kind, UsdGeom.Tokens.vertex)
            made.Set(Vt.FloatArray.FromNumpy(values.detach().float().numpy()))
    textured = mesh.uv is not None and mesh.texture is not None
    if textured:
        st = mesh.uv.detach().reshape(-1, 2).numpy() * np.float32([1, -1]) + np.float32([0, 1])  # v from the lower edge
        kind = Sdf.ValueTypeNames.TexCoord2fArray
        primvars.CreatePrimvar("st", kind, UsdGeom.Tokens.faceVarying).Set(Vt.Vec2fArray.FromNumpy(st))
        picture = (mesh.texture.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(picture).save(texture, **TEXTURE_PNG)
    elif mesh.colors is not None:
        linear = srgb_to_linear(mesh.colors.detach().float().clamp(0, 1)).numpy()
        shape.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex).Set(Vt.Vec3fArray.FromNumpy(linear))
    _add_material(stage, look, shape, texture.name if textured else None, painted=mesh.colors is not None)
    return shape


def _add_material(stage, look: str, shape, picture: str | None, painted: bool) -> None:
    from pxr import Gf, Sdf, UsdShade

    kinds = Sdf.ValueTypeNames
    material = UsdShade.Material.Define(stage, look)
    surface = UsdShade.Shader.Define(stage, f"{look}/surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", kinds.Float).Set(_ROUGHNESS)
    surface.CreateInput("metallic", kinds.Float).Set(0.0)
    color = surface.CreateInput("diffuseColor", kinds.Color3f)
    if picture or painted:
        name, kind = ("st", kinds.Float2) if picture else ("displayColor", kinds.Float3)
        reader = UsdShade.Shader.Define(stage, f"{look}/{name}")
        reader.CreateIdAttr("UsdPrimvarReader_float2" if picture else "UsdPrimvarReader_float3")
        reader.CreateInput("varname", kinds.String).Set(name)
        read = reader.CreateOutput("result", kind)
    if picture:
        texture = UsdShade.Shader.Define(stage, f"{look}/color")
        texture.CreateIdAttr("UsdUVTexture")
        texture.CreateInput("file", kinds.Asset).Set(f"./{picture}")
        texture.CreateInput("sourceColorSpace", kinds.Token).Set("sRGB")
        texture.CreateInput("wrapS", kinds.Token).Set("clamp")
        texture.CreateInput("wrapT", kinds.Token).Set("clamp")
        texture.CreateInput("st", kinds.Float2).ConnectToSource(read)
        color.ConnectToSource(texture.CreateOutput("rgb", kinds.Float3))
    elif painted:
        color.ConnectToSource(read)
    else:
        color.Set(Gf.Vec3f(float(srgb_to_linear(torch.tensor(_GRAY)))))
    material.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    UsdShade.MaterialBindingAPI.Apply(shape.GetPrim()).Bind(material)
