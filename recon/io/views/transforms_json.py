"""Posed pictures of others: ``transforms.json`` as Blender's NeRF scripts, instant-ngp and nerfstudio write it.

The file's world frame is kept as it is, only the cameras' axes turn from OpenGL to OpenCV: a mesh reconstructed from
such views lies in the frame of the user's own cameras (z-up for most of these tools).
"""

import math
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.conventions import camera_to_opencv
from recon.core.errors import InputError
from recon.core.paths import is_file, is_folder
from recon.core.reading import READ_ERRORS, fit, read_json, reading, reason
from recon.core.views import ViewSet
from recon.io.folders import atomic_write, write_json
from recon.io.images.files import VIEW_PNG, stored_size
from recon.io.views.lens import Lens
from recon.io.views.posed import MAX_SIDE, PosedPicture, find_picture, load_posed

FILE = "transforms.json"
_OTHER_NAMES = ("transforms_train.json",)
_SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG")
#: Names of orthographic cameras: nerfstudio's and Blender's.
_ORTHOGRAPHIC = ("ORTHOPHOTO", "ORTHO")
_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL", "OPENCV_FISHEYE", *_ORTHOGRAPHIC)
#: Flags of instant-ngp for projections that no lens of this package has.
_OTHER_LENSES = ("latlong", "equirectangular", "ftheta_p0", "ftheta_p1", "rolling_shutter")
#: Flags of instant-ngp for orthographic cameras; its focal lengths have the units of its own scaled world.
_UNSCALED = ("ortho", "orthographic")
#: How far a matrix may be from a rotation (files carry rounded numbers).
_ROTATION_TOLERANCE = 1e-2


def load(path: str | os.PathLike, *, max_side: int = MAX_SIDE, whole: bool = False) -> ViewSet:
    """The views of a ``transforms.json`` (or a folder with one) as a ViewSet of one hypothesis.

    Pictures carry transparency (or a ``mask_path`` each); opaque ones are cut out as photos are, with a warning, unless
    they are kept ``whole``. Pictures are taken as they are stored, without the rotation in their metadata; distortion
    is removed; pictures larger than ``max_side`` are reduced. Raises :class:`InputError` for what does not make sense.
    """
    path = _find(Path(path))
    document = _read(path)
    frames = [_frame(path, document, index, frame) for index, frame in enumerate(document["frames"])]
    return load_posed(frames, str(path), max_side, whole)


def load_cameras(path: str | os.PathLike) -> Cameras:
    """The cameras [v] of a ``transforms.json`` alone, in the file's world frame; its pictures need not exist.

    Raises:
        InputError: the file cannot be used; its cameras have distortion, no size, or sizes that differ.
    """
    path = _find(Path(path))
    document = _read(path)
    frames = [_bare_camera(path, document, index, entry) for index, entry in enumerate(document["frames"])]
    if len({camera.width for camera in frames} | {-camera.height for camera in frames}) != 2:
        raise InputError(f"The cameras of '{path}' have different sizes (w, h): give all of them the same.")
    return Cameras.stack(frames)


def _bare_camera(path: Path, document: dict[str, Any], index: int, entry: Any) -> Cameras:
    where = f"'{path}', frame {index}"
    if not isinstance(entry, dict):
        raise InputError(f"{where} is not an object with a transform_matrix.")
    try:
        pose = fit(entry, _Pose)
        camera = fit({**document, **entry}, _Camera)
    except READ_ERRORS as error:
        raise InputError(f"{where} cannot be used ({reason(error)}): export the cameras again.") from error
    lens = _lens_of(camera, None, where)
    if not lens.is_pinhole:
        raise InputError(f"{where} has distortion: a path needs pinhole cameras.")
    if lens.orthographic:
        raise InputError(f"{where} is orthographic: a path needs pinhole cameras.")
    width, height = round(lens.width), round(lens.height)
    intrinsics = torch.tensor([[lens.focal[0], 0.0, lens.center[0]], [0.0, lens.focal[1], lens.center[1]], [0, 0, 1.0]])
    return Cameras(torch.from_numpy(_matrix(pose.transform_matrix, where)).float(), intrinsics, width, height)


def save(views: ViewSet, folder: str | os.PathLike, hypothesis: int = 0) -> Path:
    """Write one hypothesis' views as ``transforms.json`` and RGBA PNGs under ``images/``; returns the JSON's path."""
    folder = Path(folder)
    rgba = torch.cat([views.rgb, views.alpha], 2)[hypothesis].clamp(0, 1)
    cameras = views.cameras[hypothesis]
    matrices = camera_to_opencv(cameras.c2w, "opengl").double().cpu()  # its own inverse
    flat = [None] * len(cameras) if cameras.orthographic is None else cameras.orthographic.tolist()
    lenses = [_lens(k, bool(f)) for k, f in zip(cameras.intrinsics.double().cpu(), flat, strict=True)]
    shared = all(lens == lenses[0] for lens in lenses)
    frames = []
    for index, (picture, matrix, lens) in enumerate(zip(rgba, matrices, lenses, strict=True)):
        name = f"images/{index:03d}.png"
        with atomic_write(folder / name) as temporary:
            Image.fromarray((picture * 255).round().byte().permute(1, 2, 0).cpu().numpy()).save(temporary, **VIEW_PNG)
        frames.append({"file_path": name, "transform_matrix": matrix.tolist(), **({} if shared else lens)})
    document: dict[str, Any] = {"camera_model": "PINHOLE", "w": cameras.width, "h": cameras.height}
    if shared and not flat[0]:
        document["camera_angle_x"] = 2 * math.atan(0.5 * cameras.width / lenses[0]["fl_x"])
    if shared:
        document |= lenses[0]
    return write_json(folder / FILE, {**document, "frames": frames})


def _lens(intrinsics: Float[Tensor, "3 3"], orthographic: bool) -> dict[str, Any]:
    k = intrinsics.tolist()
    model = {"camera_model": _ORTHOGRAPHIC[0]} if orthographic else {}
    return {**model, "fl_x": k[0][0], "fl_y": k[1][1], "cx": k[0][2], "cy": k[1][2]}


def find(folder: Path) -> Path | None:
    """The file with the cameras in a folder."""
    return next((folder / name for name in (FILE, *_OTHER_NAMES) if is_file(folder / name)), None)


def _find(path: Path) -> Path:
    if is_folder(path):
        found = find(path)
        if found is None:
            raise InputError(f"The folder '{path}' holds no {FILE}: name the file with the cameras.")
        return found
    if not is_file(path):
        raise InputError(f"There is no file '{path}': check the path.")
    return path


class _Camera(msgspec.Struct, frozen=True):
    """The entries that tell a lens; a frame's own stand before the file's."""

    camera_model: str | None = None
    is_fisheye: bool | None = None
    w: float | None = None
    h: float | None = None
    fl_x: float | None = None
    fl_y: float | None = None
    cx: float | None = None
    cy: float | None = None
    ortho_scale: float | None = None
    camera_angle_x: float | None = None
    camera_angle_y: float | None = None
    k1: float | None = None
    k2: float | None = None
    k3: float | None = None
    k4: float | None = None
    p1: float | None = None
    p2: float | None = None


class _Pose(msgspec.Struct, frozen=True):
    """The entry of a frame that a path of cameras needs."""

    transform_matrix: list[list[float]]


class _Frame(msgspec.Struct, frozen=True):
    """Contents of a frame beside its lens."""

    file_path: str
    transform_matrix: list[list[float]]
    mask_path: str | None = None


def _read(path: Path) -> dict[str, Any]:
    with reading(path, "JSON file of cameras", "export the cameras again"):
        document = read_json(path)
    frames = document.get("frames") if isinstance(document, dict) else None
    if not isinstance(frames, list) or not frames:
        raise InputError(
            f"'{path}' has no list of frames: it must be a transforms.json as nerfstudio or Blender write it."
        )
    return document


def _frame(path: Path, document: dict[str, Any], index: int, entry: Any) -> PosedPicture:
    where = f"'{path}', frame {index}"
    if not isinstance(entry, dict):
        raise InputError(f"{where} is not an object with file_path and transform_matrix.")
    values = {**document, **entry}
    odd = next((name for name in _OTHER_LENSES if values.get(name)), None)
    try:
        frame, camera = fit(entry, _Frame), fit(values, _Camera)
    except READ_ERRORS as error:
        raise InputError(f"{where} cannot be used ({reason(error)}): export the cameras again.") from error
    model = camera.camera_model or "PINHOLE"
    if any(values.get(name) for name in _UNSCALED) and model not in _ORTHOGRAPHIC:
        raise InputError(
            f"{where} is orthographic without a scale: set camera_model to ORTHOPHOTO with fl_x in pixels per world "
            "unit, or to ORTHO with Blender's ortho_scale."
        )
    if model not in _MODELS or odd:
        raise InputError(
            f"{where} uses the camera model {odd or model}: undistort the pictures to pinhole cameras first."
        )
    picture = _picture(path, frame.file_path, where)
    mask = _picture(path, frame.mask_path, where) if frame.mask_path else None
    pose = _matrix(frame.transform_matrix, where)
    return PosedPicture(where, picture, pose, _lens_of(camera, picture, where), mask, as_stored=True)


def _picture(path: Path, name: str, where: str) -> Path:
    found = find_picture([path.parent], name, _SUFFIXES) or find_picture([path.parent / "images"], Path(name).name)
    if found is None:
        raise InputError(f"{where} names the picture '{name}', which is not there (looked in '{path.parent}').")
    return found


def _lens_of(camera: _Camera, picture: Path | None, where: str) -> Lens:
    width, height = camera.w, camera.h
    if width is None or height is None:
        if picture is None:
            raise InputError(f"{where} has no size: give w and h in pixels.")
        width, height = (told or found for told, found in zip((width, height), stored_size(picture), strict=True))
    if camera.camera_model in _ORTHOGRAPHIC or camera.ortho_scale is not None:
        return _orthographic_lens(camera, width, height, where)
    focal_x, focal_y = _focal(camera, "x", width, where), _focal(camera, "y", height, where)
    if focal_x is None and focal_y is None:
        raise InputError(f"{where} has no focal length: give fl_x or camera_angle_x.")
    center = width / 2 if camera.cx is None else camera.cx, height / 2 if camera.cy is None else camera.cy
    k1, k2, k3, k4, p1, p2 = (getattr(camera, name) or 0.0 for name in ("k1", "k2", "k3", "k4", "p1", "p2"))
    fisheye = bool(camera.is_fisheye) or camera.camera_model == "OPENCV_FISHEYE"
    if k4 and not fisheye:
        raise InputError(
            f"{where} has a fourth radial term (k4), which only fisheye lenses have here: undistort first."
        )
    distortion = (k1, k2, k3, k4) if fisheye else (k1, k2, p1, p2, k3)
    try:
        return Lens(width, height, (focal_x or focal_y, focal_y or focal_x), center, distortion, fisheye)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _orthographic_lens(camera: _Camera, width: float, height: float, where: str) -> Lens:
    """nerfstudio's focal lengths are pixels per world unit; Blender's scale is the longer side in world units."""
    focal_x = focal_y = None
    if camera.ortho_scale is None:
        focal_x, focal_y = camera.fl_x or camera.fl_y, camera.fl_y or camera.fl_x
    elif camera.ortho_scale > 0:
        focal_x = focal_y = max(width, height) / camera.ortho_scale
    if focal_x is None or focal_y is None:
        raise InputError(
            f"{where} is orthographic and needs its scale: give fl_x in pixels per world unit, or Blender's "
            "ortho_scale above 0."
        )
    center = width / 2 if camera.cx is None else camera.cx, height / 2 if camera.cy is None else camera.cy
    distortion = tuple(getattr(camera, name) or 0.0 for name in ("k1", "k2", "p1", "p2", "k3"))
    try:
        return Lens(width, height, (focal_x, focal_y), center, distortion, bool(camera.is_fisheye), orthographic=True)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _focal(camera: _Camera, axis: str, extent: float, where: str) -> float | None:
    """In pixels, from ``fl_`` or ``camera_angle_``."""
    focal, angle = getattr(camera, f"fl_{axis}"), getattr(camera, f"camera_angle_{axis}")
    if focal is None and angle is not None:
        if not 0 < angle < math.pi:
            raise InputError(f"{where}: camera_angle_{axis} must lie between 0 and pi (radians), not {angle:g}.")
        focal = 0.5 * extent / math.tan(angle / 2)
    if focal is not None and focal <= 0:
        raise InputError(f"{where}: fl_{axis} must be positive, not {focal:g}.")
    return focal


def _matrix(rows: list[list[float]], where: str) -> Float[np.ndarray, "4 4"]:
    """The frame's camera-to-world in OpenCV axes."""
    if len(rows) not in (3, 4) or any(len(row) != 4 for row in rows):
        raise InputError(f"{where} needs a transform_matrix of 4 x 4 numbers.")
    matrix = torch.tensor([*rows, [0.0, 0.0, 0.0, 1.0]][:4], dtype=torch.float64)
    rotation = matrix[:3, :3]
    if (matrix[3] - matrix.new_tensor([0.0, 0.0, 0.0, 1.0])).abs().max() > 1e-6:
        raise InputError(f"{where}: the last row of transform_matrix must be 0 0 0 1 (is it transposed?).")
    if (rotation.T @ rotation - torch.eye(3, dtype=torch.float64)).abs().max() > _ROTATION_TOLERANCE:
        raise InputError(f"{where}: transform_matrix is no rotation with a position: remove scale and shear.")
    if torch.linalg.det(rotation) < 0:
        raise InputError(f"{where}: transform_matrix is left-handed (mirrored): export right-handed OpenGL cameras.")
    u, _, vh = torch.linalg.svd(rotation)
    matrix[:3, :3] = u @ vh  # rounded numbers made exactly orthonormal
    return camera_to_opencv(matrix, "opengl").numpy()
