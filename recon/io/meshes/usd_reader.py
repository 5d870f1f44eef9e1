"""Meshes out of USD stages (.usd, .usda, .usdc, .usdz). Needs the extra ``usd``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from recon.core.conventions import linear_to_srgb
from recon.core.errors import InputError
from recon.io.meshes.atlas import Part
from recon.io.meshes.looks import Surface, paint
from recon.io.meshes.notes import Notes
from recon.io.meshes.polygons import triangulate
from recon.io.meshes.usd_materials import Coordinates, Looks

USD_FILES = (".usd", ".usda", ".usdc", ".usdz")
_Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # rows: where x, y and z of a Z-up stage go


def read_usd(path: Path, notes: Notes) -> list[Part]:
    """The visible meshes of a stage at its first time, in meters, +Y up.

    A material gives its base color: a texture, a constant, or ``displayColor``. Subdivision surfaces are read as their
    control cages; what is no mesh is noted.
    """
    try:
        from pxr import Usd, UsdGeom
    except ImportError as error:
        raise InputError(f"Reading '{path}' needs OpenUSD: install it with pip install 'mvdiff[usd]'.") from error
    stage = Usd.Stage.Open(str(path))
    cache = UsdGeom.XformCache(Usd.TimeCode.EarliestTime())
    turn = _Z_UP if UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.z else np.eye(3)
    turn = turn * UsdGeom.GetStageMetersPerUnit(stage)
    parts, looks = [], Looks(notes)
    for prim in Usd.PrimRange.Stage(stage, Usd.TraverseInstanceProxies()):
        if not prim.IsA(UsdGeom.Gprim) and not prim.IsA(UsdGeom.PointInstancer):
            continue
        if not _is_shown(UsdGeom.Imageable(prim)):
            continue
        if not prim.IsA(UsdGeom.Mesh):
            notes.add(f"{prim.GetTypeName()} prim")
            continue
        matrix = np.array(cache.GetLocalToWorldTransform(prim))  # of row vectors
        parts += _Corners.of(UsdGeom.Mesh(prim)).parts(matrix[:3, :3] @ turn, matrix[3, :3] @ turn, looks)
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
        polygons = np.repeat(np.arange(len(counts)), np.maximum(counts - 2, 0))
        shown = ~np.isin(polygons, _array(mesh.GetHoleIndicesAttr(), np.int64))
        corners, polygons = triangulate(counts, indices, points)[shown], polygons[shown]
        if mesh.GetOrientationAttr().Get() == UsdGeom.Tokens.leftHanded:
            corners = corners[:, ::-1]
        return _Corners(mesh, points, corners, polygons, indices[corners])

    def parts(self, linear: Float[np.ndarray, "3 3"], shift: Float[np.ndarray, "3"], looks: Looks) -> list[Part]:
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
            made.append(moved._only(inside)._part(material, looks))
        return [*made, moved._only(left)._part(binding.ComputeBoundMaterial()[0], looks)]

    def _only(self, kept: np.ndarray) -> "_Corners":
        return replace(self, corners=self.corners[kept], polygons=self.polygons[kept], faces=self.faces[kept])

    def _part(self, material: Any, looks: Looks) -> Part:
        look, where = looks.of(material) if len(self.faces) else (None, Coordinates())
        if look is None:
            colors = self._values("displayColor")
            return self._compact(None if colors is None else _srgb(colors))
        bare = self._compact()
        uv = None
        if look.texture is not None:
            uv = self._values(where.name)
            uv = self._only_coordinates() if uv is None else uv
            if uv is None:
                looks.notes.add("texture without coordinates")
        surface = Surface(bare.vertices, bare.faces, None if uv is None else where.apply(uv[..., :2].astype(float)))
        return paint(surface, look)

    def _only_coordinates(self) -> np.ndarray | None:
        """The mesh's texture coordinates, whatever they are called, if there is one set only."""
        from pxr import UsdGeom

        sets = [v for v in UsdGeom.PrimvarsAPI(self.mesh.GetPrim()).GetPrimvars() if "texCoord" in str(v.GetTypeName())]
        return self._values(sets[0].GetPrimvarName()) if len(sets) == 1 else None

    def _compact(self, colors: np.ndarray | None = None) -> Part:
        """The points in use; corners at one point that differ in color get points of their own."""
        keys = self.faces.reshape(-1, 1).astype(np.float64)
        if colors is not None:
            keys = np.concatenate([keys, colors.reshape(-1, 3)], 1)
        rows, place = np.unique(keys, axis=0, return_inverse=True)
        used = rows[:, 0].astype(np.int64)
        painted = None if colors is None else rows[:, 1:].astype(np.float32)
        return Part(self.points[used].astype(np.float32), place.reshape(-1, 3).astype(np.int64), painted)

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


def _array(attribute: Any, dtype: Any) -> np.ndarray:
    from pxr import Usd

    values = attribute.Get(Usd.TimeCode.EarliestTime())
    return np.zeros(0, dtype) if values is None else np.asarray(values, dtype)


def _srgb(linear: Float[np.ndarray, "f 3 3"]) -> Float[np.ndarray, "f 3 3"]:
    return linear_to_srgb(torch.tensor(linear).clamp(0, 1)).clamp(0, 1).numpy()
