"""A scene as USDZ: mesh, collision, splats, cameras and sky. Needs the extra ``usd``.

Splats are a ``ParticleField3DGaussianSplat`` (OpenUSD 26.03 and later); an older OpenUSD writes the rest and says so.
"""

import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from recon.core.conventions import camera_to_opencv
from recon.core.errors import InputError
from recon.core.splats import Splats
from recon.io.folders import atomic_write
from recon.io.meshes.usd import define_mesh
from recon.scenes.files.glb import PROVENANCE
from recon.scenes.scene import Scene

#: Width in millimeters of the film that USD's cameras are given: only its ratio to the focal length counts.
_APERTURE = 36.0
_DOME = 3.0


def save_scene_usd(scene: Scene, path: str | os.PathLike) -> Path:
    """Write a scene atomically as USDZ: meters, +Y up, collision by UsdPhysics on an invisible proxy."""
    try:
        from pxr import UsdUtils
    except ImportError as error:
        raise InputError("USD needs OpenUSD: install it with pip install 'mvdiff[usd]'.") from error
    if Path(path).suffix.lower() != ".usdz":
        raise InputError(f"A scene is packed as .usdz, not '{Path(path).name}': choose that suffix.")
    with tempfile.TemporaryDirectory() as folder, atomic_write(path) as temporary:
        layer = Path(folder) / "scene.usdc"
        _write_stage(scene, layer)
        temporary.unlink()  # the packer writes new files only
        if not UsdUtils.CreateNewUsdzPackage(str(layer), str(temporary)):
            raise InputError(f"OpenUSD could not pack '{path}': choose another output.")
    return Path(path)


def _write_stage(scene: Scene, layer: Path) -> None:
    from pxr import Gf, Usd, UsdGeom, UsdPhysics

    stage = Usd.Stage.CreateNew(str(layer))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, "/scene")
    stage.SetDefaultPrim(root.GetPrim())
    root.GetPrim().SetCustomDataByKey("provenance", {f"kind_{kind}": text for kind, text in PROVENANCE.items()})
    root.GetPrim().SetCustomDataByKey("metres_per_scene_unit", scene.metres)
    scale = torch.diag(torch.tensor([scene.metres, scene.metres, scene.metres, 1.0]))
    mesh = scene.mesh.to("cpu").transformed(scale)
    visible = define_mesh(stage, "/scene/surface", "/scene/appearance", mesh, layer.parent / "scene.png")
    visible.CreateDoubleSidedAttr(True)
    if len(scene.collider):
        bare = scene.collider.to("cpu").transformed(scale)
        proxy = define_mesh(stage, "/scene/collider", "/scene/collider_appearance", bare, layer.parent / "none.png")
        proxy.CreatePurposeAttr(UsdGeom.Tokens.guide)
        proxy.CreateVisibilityAttr(UsdGeom.Tokens.invisible)
        UsdPhysics.CollisionAPI.Apply(proxy.GetPrim())
        # The triangles themselves: a hull would fill the room.
        UsdPhysics.MeshCollisionAPI.Apply(proxy.GetPrim()).CreateApproximationAttr(UsdPhysics.Tokens.none)
    if len(scene.splats):
        _define_splats(stage, "/scene/splats", scene.splats.to("cpu").transformed(scale))
    if scene.sky is not None:
        dome = scene.sky.dome(_DOME * float(scene.mesh.vertices.norm(dim=-1).max())).to("cpu").transformed(scale)
        define_mesh(stage, "/scene/sky", "/scene/sky_appearance", dome, layer.parent / "sky.png")
    if scene.floor.spawn is not None:
        spawn = UsdGeom.Xform.Define(stage, "/scene/spawn")
        spawn.AddTranslateOp().Set(Gf.Vec3d(*(scene.floor.spawn * scene.metres).tolist()))
    _define_cameras(stage, scene)
    stage.GetRootLayer().Save()


def _define_splats(stage, place: str, splats: Splats) -> None:
    from pxr import UsdVol, Vt

    if not hasattr(UsdVol, "ParticleField3DGaussianSplat"):
        warnings.warn("This OpenUSD has no splats (26.03 and later do): they are left out.", stacklevel=4)
        return
    field = UsdVol.ParticleField3DGaussianSplat.Define(stage, place)
    reach = 3 * splats.scale.amax(-1, keepdim=True)
    low, high = (splats.position - reach).amin(0), (splats.position + reach).amax(0)
    field.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(torch.stack([low, high]).numpy()))
    field.CreatePositionsAttr(Vt.Vec3fArray.FromNumpy(splats.position.numpy()))
    # FromNumpy takes quaternions as they lie in memory: imaginary part first.
    field.CreateOrientationsAttr(Vt.QuatfArray.FromNumpy(np.ascontiguousarray(splats.rotation.roll(-1, -1).numpy())))
    field.CreateScalesAttr(Vt.Vec3fArray.FromNumpy(splats.scale.numpy()))
    field.CreateOpacitiesAttr(Vt.FloatArray.FromNumpy(splats.opacity.numpy()))
    field.CreateRadianceSphericalHarmonicsDegreeAttr(0)
    field.CreateRadianceSphericalHarmonicsCoefficientsAttr(Vt.Vec3fArray.FromNumpy(splats.harmonics.numpy()))


def _define_cameras(stage, scene: Scene) -> None:
    from pxr import Gf, UsdGeom

    cameras = scene.views.cameras[0]
    matrices = camera_to_opencv(cameras.c2w, "opengl").double().cpu().clone()
    matrices[:, :3, 3] *= scene.metres
    for number, (matrix, lens) in enumerate(zip(matrices, cameras.intrinsics.double().cpu().tolist(), strict=True)):
        name = "photo_camera" if number == 0 else f"view_{number:03d}"
        camera = UsdGeom.Camera.Define(stage, f"/scene/{name}")
        camera.AddTransformOp().Set(Gf.Matrix4d(matrix.T.tolist()))
        high = _APERTURE * cameras.height / cameras.width * lens[0][0] / lens[1][1]
        camera.CreateFocalLengthAttr(_APERTURE * lens[0][0] / cameras.width)
        camera.CreateHorizontalApertureAttr(_APERTURE)
        camera.CreateVerticalApertureAttr(high)
        camera.CreateHorizontalApertureOffsetAttr((0.5 - lens[0][2] / cameras.width) * _APERTURE)
        camera.CreateVerticalApertureOffsetAttr((lens[1][2] / cameras.height - 0.5) * high)
        camera.CreateClippingRangeAttr(Gf.Vec2f(0.01, 10_000.0))
