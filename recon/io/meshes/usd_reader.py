"""Meshes out of USD stages (.usd, .usda, .usdc, .usdz). Needs the extra ``usd``."""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image

from recon.core.conventions import linear_to_srgb
from recon.core.errors import InputError
from recon.io.meshes.atlas import Part
from recon.io.meshes.notes import Notes

USD_FILES = (".usd", ".usda", ".usdc", ".usdz")
_Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # rows: where x, y and z of a Z-up stage go


def read_usd(path: Path, notes: Notes) -> list[Part]:
    """The visible meshes of a stage at its first time, in metres, +Y up.

    Of a material the base colour is read: a texture, a constant, or ``displayColor``. Surfaces of subdivision are
    taken as their control cages.
    """
    try:
        from pxr import Usd, UsdGeom
    except ImportError as error:
        raise InputError(f"Reading '{path}' needs OpenUSD: install it with pip install 'mvdiff[usd]'.") from error
    stage = Usd.Stage.Open(str(path))
    cache = UsdGeom.XformCache(Usd.TimeCode.EarliestTime())
    turn = _Z_UP if UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.z else np.eye(3)
    turn = turn * UsdGeom.GetStageMetersPerUnit(stage)
    parts = []
    for prim in Usd.PrimRange.Stage(stage, Usd.TraverseInstanceProxies()):
        if not prim.IsA(UsdGeom.Mesh) or not _is_shown(UsdGeom.Imageable(prim)):
            continue
        matrix = np.array(cache.GetLocalToWorldTransform(prim))  # of row vectors
        parts += _Corners.of(UsdGeom.Mesh(prim)).parts(matrix[:3, :3] @ turn, matrix[3, :3] @ turn)
    return parts


def _is_shown(prim: Any) -> bool:
    from pxr import Usd, UsdGeom

    hidden = prim.ComputeVisibility(Usd.TimeCode.EarliestTime()) == UsdGeom.Tokens.invisible
    return not hidden and prim.ComputePurpose() in (UsdGeom.Tokens.default_, UsdGeom.Tokens.render)


@dataclass(frozen=True)
class _Corners:
    """A mesh's polygons as fans of triangles, and where each triangle's values lie in the file."""

    mesh: Any
    points: Float[np.ndarray, "k 3"]
    corners: Int[np.ndarray, "f 3"]
    """Places among all polygons' corners."""
    polygons: Int[np.ndarray, "f"]
    faces: Int[np.ndarray, "f 3"]

    @staticmethod
    def of(mesh: Any) -> "_Corners":
        from pxr import UsdGeom

        points = _array(mesh.GetPointsAttr(), np.float64).reshape(-1, 3)
        counts, indices = (
            _array(each, np.int64) for each in (mesh.GetFaceVertexCountsAttr(), mesh.GetFaceVertexIndicesAttr())
        )
        if counts.sum() != len(indices) or (len(indices) and not 0 <= indices.min() <= indices.max() < len(points)):
            raise ValueError(f"{mesh.GetPath()} has faces that name missing vertices")
        triangles = np.maximum(counts - 2, 0)
        triangles[_array(mesh.GetHoleIndicesAttr(), np.int64)] = 0
        polygons = np.repeat(np.arange(len(counts)), triangles)
        first = (np.cumsum(counts) - counts)[polygons]
        step = np.arange(len(polygons)) - (np.cumsum(triangles) - triangles)[polygons]
        corners = np.stack([first, first + step + 1, first + step + 2], 1)
        if mesh.GetOrientationAttr().Get() == UsdGeom.Tokens.leftHanded:
            corners = corners[:, ::-1]
        return _Corners(mesh, points, corners, polygons, indices[corners])

    def parts(self, linear: Float[np.ndarray, "3 3"], shift: Float[np.ndarray, "3"]) -> list[Part]:
        """One for each material, moved to the world."""
        from pxr import UsdShade

        binding = UsdShade.MaterialBindingAPI(self.mesh.GetPrim())
        moved = replace(self, points=self.points @ linear + shift)
        if np.linalg.det(linear) < 0:
            moved = replace(moved, corners=self.corners[:, ::-1], faces=self.faces[:, ::-1])
        made, left = [], np.ones(len(self.faces), bool)
        for subset in binding.GetMaterialBindSubsets():
            inside = np.isin(self.polygons, _array(subset.GetIndicesAttr(), np.int64)) & left
            left &= ~inside
            material, _ = UsdShade.MaterialBindingAPI(subset.GetPrim()).ComputeBoundMaterial()
            made.append(moved._only(inside)._part(material))
        return [*made, moved._only(left)._part(binding.ComputeBoundMaterial()[0])]

    def _only(self, kept: np.ndarray) -> "_Corners":
        return replace(self, corners=self.corners[kept], polygons=self.polygons[kept], faces=self.faces[kept])

    def _part(self, material: Any) -> Part:
        color, texture, name = _look(material)
        points = self.points.astype(np.float32)
        if texture is not None:
            uv = self._values(name)
            if uv is not None:
                uv = (uv[..., :2] * [1, -1] + [0, 1]).astype(np.float32)  # v counts from the lower edge
                return self._compact(points, uv=uv, texture=texture)
        colors = np.broadcast_to(np.float32(color), (*self.faces.shape, 3)) if color is not None else None
        if colors is None:
            colors = self._values("displayColor")
        return self._compact(points, colors=None if colors is None else _srgb(colors))

    def _compact(self, points: np.ndarray, colors: np.ndarray | None = None, **look: Any) -> Part:
        """Of the points in use; corners at one point that differ in colour get points of their own."""
        keys = self.faces.reshape(-1, 1).astype(np.float64)
        if colors is not None:
            keys = np.concatenate([keys, colors.reshape(-1, 3)], 1)
        rows, place = np.unique(keys, axis=0, return_inverse=True)
        used = rows[:, 0].astype(np.int64)
        painted = None if colors is None else rows[:, 1:].astype(np.float32)
        return Part(points[used], place.reshape(-1, 3).astype(np.int64), painted, **look)

    def _values(self, name: str) -> np.ndarray | None:
        """A primvar at every triangle's corners [f 3 c], whatever it was stated for."""
        from pxr import Usd, UsdGeom

        primvar = UsdGeom.PrimvarsAPI(self.mesh.GetPrim()).FindPrimvarWithInheritance(name)
        values = primvar.ComputeFlattened(Usd.TimeCode.EarliestTime()) if primvar.HasValue() else None
        if values is None or not len(values):
            return None
        values = np.asarray(values, np.float32)
        places = {
            UsdGeom.Tokens.constant: np.zeros_like(self.faces),
            UsdGeom.Tokens.uniform: np.repeat(self.polygons[:, None], 3, 1),
            UsdGeom.Tokens.faceVarying: self.corners,
        }.get(primvar.GetInterpolation(), self.faces)
        return values[places]


def _look(material: Any) -> tuple[np.ndarray | None, np.ndarray | None, str]:
    """Of a preview surface: its constant colour (linear), or its texture and the name of its coordinates."""
    from pxr import UsdShade

    surface = material.ComputeSurfaceSource()[0] if material else None
    diffuse = surface.GetInput("diffuseColor") if surface else None
    if not diffuse:
        return None, None, ""
    source = UsdShade.Utils.GetValueProducingAttributes(diffuse)
    if not source:
        return None, None, ""
    shader = UsdShade.Shader(source[0].GetPrim())
    if shader.GetIdAttr().Get() == "UsdUVTexture" and source[0].GetPrim() != surface.GetPrim():
        reader = _producer(shader.GetInput("st"))
        if reader is None or reader.GetIdAttr().Get() != "UsdPrimvarReader_float2":
            return None, None, ""
        return None, _picture(_value(shader.GetInput("file"))), str(_value(reader.GetInput("varname")) or "st")
    value = _value(diffuse)
    return (None if value is None else np.asarray(value, np.float32)), None, ""


def _producer(given: Any) -> Any:
    from pxr import UsdShade

    source = UsdShade.Utils.GetValueProducingAttributes(given) if given else []
    return UsdShade.Shader(source[0].GetPrim()) if source else None


def _value(given: Any) -> Any:
    """Of an input, which may be an interface of its material; None where a shader computes it."""
    from pxr import UsdShade

    source = UsdShade.Utils.GetValueProducingAttributes(given) if given else []
    return source[0].Get() if source and UsdShade.Input.IsInput(source[0]) else None


def _picture(asset: Any) -> np.ndarray | None:
    """A texture's pixels, out of a package too; None where there is no such file."""
    from pxr import Ar

    opened = Ar.GetResolver().OpenAsset(Ar.ResolvedPath(asset.resolvedPath)) if asset and asset.resolvedPath else None
    if not opened:
        return None
    with Image.open(io.BytesIO(bytes(opened.GetBuffer()))) as picture:
        return np.asarray(picture.convert("RGB"))


def _array(attribute: Any, dtype: Any) -> np.ndarray:
    from pxr import Usd

    values = attribute.Get(Usd.TimeCode.EarliestTime())
    return np.zeros(0, dtype) if values is None else np.asarray(values, dtype)


def _srgb(linear: Float[np.ndarray, "f 3 3"]) -> Float[np.ndarray, "f 3 3"]:
    return linear_to_srgb(torch.tensor(linear).clamp(0, 1)).clamp(0, 1).numpy()
