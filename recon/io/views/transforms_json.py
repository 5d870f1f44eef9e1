"""Posed pictures of others: ``transforms.json`` as Blender's NeRF scripts, instant-ngp and nerfstudio write it.

The file's world frame is kept as it is, only the cameras' axes turn from OpenGL to OpenCV: a mesh reconstructed from
such views lies in the frame of the user's own cameras (z-up for most of these tools).
"""

import json
import math
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.conventions import camera_to_opencv
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.io.folders import atomic_write, write_json
from recon.io.images.files import VIEW_PNG
from recon.io.views.posed import MAX_SIDE, PosedPicture, load_posed

FILE = "transforms.json"
_OTHER_NAMES = ("transforms_train.json",)
_SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG")
_PINHOLE_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL")
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
#: How far a matrix may be from a rotation (files carry rounded numbers).
_ROTATION_TOLERANCE = 1e-2


def load(path: str | os.PathLike, *, max_side: int = MAX_SIDE, whole: bool = False) -> ViewSet:
    """The views of a ``transforms.json`` (or a folder with one) as a ViewSet of one hypothesis.

    Pictures carry transparency (or a ``mask_path`` each); opaque ones are cut out as photos are, with a warning, unless
    they are kept ``whole``. Pictures larger than ``max_side`` are reduced. Raises :class:`InputError` for what does not
    make sense.
    """
    path = _find(Path(path))
    document = _read(path)
    frames = [_frame(path, document, index, frame) for index, frame in enumerate(document["frames"])]
    return load_posed(frames, str(path), max_side, whole)


def save(views: ViewSet, folder: str | os.PathLike, hypothesis: int = 0) -> Path:
    """Write one hypothesis' views as ``transforms.json`` and RGBA PNGs under ``images/``; returns the JSON's path."""
    folder = Path(folder)
    rgba = torch.cat([views.rgb, views.alpha], 2)[hypothesis].clamp(0, 1)
    cameras = views.cameras[hypothesis]
    matrices = camera_to_opencv(cameras.c2w, "opengl").double().cpu()  # its own inverse
    lenses = [_lens(k) for k in cameras.intrinsics.double().cpu()]
    shared = all(lens == lenses[0] for lens in lenses)
    frames = []
    for index, (picture, matrix, lens) in enumerate(zip(rgba, matrices, lenses, strict=True)):
        name = f"images/{index:03d}.png"
        with atomic_write(folder / name) as temporary:
            Image.fromarray((picture * 255).round().byte().permute(1, 2, 0).cpu().numpy()).save(temporary, **VIEW_PNG)
        frames.append({"file_path": name, "transform_matrix": matrix.tolist(), **({} if shared else lens)})
    document: dict[str, Any] = {"camera_model": "PINHOLE", "w": cameras.width, "h": cameras.height}
    if shared:
        angle = 2 * math.atan(0.5 * cameras.width / lenses[0]["fl_x"])
        document |= {"camera_angle_x": angle, **lenses[0]}
    return write_json(folder / FILE, {**document, "frames": frames})


def _lens(intrinsics: Float[Tensor, "3 3"]) -> dict[str, float]:
    k = intrinsics.tolist()
    return {"fl_x": k[0][0], "fl_y": k[1][1], "cx": k[0][2], "cy": k[1][2]}


def find(folder: Path) -> Path | None:
    """The file with the cameras in a folder."""
    return next((folder / name for name in (FILE, *_OTHER_NAMES) if (folder / name).is_file()), None)


def _find(path: Path) -> Path:
    if path.is_dir():
        found = find(path)
        if found is None:
            raise InputError(f"The folder '{path}' holds no {FILE}: name the file with the cameras.")
        return found
    if not path.is_file():
        raise InputError(f"There is no file '{path}': check the path.")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not readable JSON ({error}): export the cameras again.") from error
    frames = document.get("frames") if isinstance(document, dict) else None
    if not isinstance(frames, list) or not frames:
        raise InputError(
            f"'{path}' has no list of frames: it must be a transforms.json as nerfstudio or Blender write it."
        )
    return document


def _frame(path: Path, document: dict[str, Any], index: int, frame: Any) -> PosedPicture:
    where = f"'{path}', frame {index}"
    if not isinstance(frame, dict):
        raise InputError(f"{where} is not an object with file_path and transform_matrix.")
    values, matrix = {**document, **frame}, _matrix(frame.get("transform_matrix"), where)
    return PosedPicture(
        where,
        _picture(path, frame, where),
        lambda size: Cameras(matrix, _intrinsics(values, size, where), *size),
        _picture(path, frame, where, "mask_path") if "mask_path" in frame else None,
    )


def _picture(path: Path, frame: dict[str, Any], where: str, key: str = "file_path") -> Path:
    name = frame.get(key)
    if not isinstance(name, str) or not name:
        raise InputError(f"{where} has no {key}.")
    for suffix in _SUFFIXES:
        candidate = path.parent / (name + suffix)
        if candidate.is_file():
            return candidate
    raise InputError(f"{where} names the picture '{name}', which is not there (looked in '{path.parent}').")


def _number(values: dict[str, Any], key: str, where: str) -> float | None:
    value = values.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{where}: {key} must be a finite number, not {value!r}.")
    return float(value)


def _intrinsics(values: dict[str, Any], size: tuple[int, int], where: str) -> Float[Tensor, "3 3"]:
    """Pixels of a picture of ``size``, which may be a scaled copy of the one the file speaks of."""
    model = values.get("camera_model", "PINHOLE")
    if model not in _PINHOLE_MODELS:
        raise InputError(f"{where} uses the camera model {model!r}: undistort the pictures to pinhole cameras first.")
    if any(abs(_number(values, key, where) or 0.0) > 1e-3 for key in _DISTORTION):
        warnings.warn(f"{where} has lens distortion, which is ignored: undistort the pictures.", stacklevel=3)
    width = _number(values, "w", where) or float(size[0])
    height = _number(values, "h", where) or float(size[1])
    if width <= 0 or height <= 0 or abs(width / height * size[1] / size[0] - 1) > 0.02:
        raise InputError(f"{where} speaks of {width:g} x {height:g} pixels, but its picture has {size[0]} x {size[1]}.")
    focal_x, focal_y = _focal(values, "x", width, where), _focal(values, "y", height, where)
    if focal_x is None and focal_y is None:
        raise InputError(f"{where} has no focal length: give fl_x or camera_angle_x.")
    focal_x, focal_y = focal_x or focal_y, focal_y or focal_x
    centre = _number(values, "cx", where), _number(values, "cy", where)
    centre_x, centre_y = width / 2 if centre[0] is None else centre[0], height / 2 if centre[1] is None else centre[1]
    scale = torch.tensor([size[0] / width, size[1] / height, 1.0])
    return torch.tensor([[focal_x, 0.0, centre_x], [0.0, focal_y, centre_y], [0.0, 0.0, 1.0]]) * scale[:, None]


def _focal(values: dict[str, Any], axis: str, extent: float, where: str) -> float | None:
    """In pixels, from ``fl_`` or ``camera_angle_``."""
    focal, angle = _number(values, f"fl_{axis}", where), _number(values, f"camera_angle_{axis}", where)
    if focal is None and angle is not None:
        if not 0 < angle < math.pi:
            raise InputError(f"{where}: camera_angle_{axis} must lie between 0 and pi (radians), not {angle:g}.")
        focal = 0.5 * extent / math.tan(angle / 2)
    if focal is not None and focal <= 0:
        raise InputError(f"{where}: fl_{axis} must be positive, not {focal:g}.")
    return focal


def _matrix(rows: Any, where: str) -> Float[Tensor, "4 4"]:
    """The frame's camera-to-world in OpenCV axes."""
    try:
        matrix = torch.tensor(rows, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"{where} needs a transform_matrix of 4 x 4 numbers.") from error
    if matrix.shape == (3, 4):
        matrix = torch.cat([matrix, matrix.new_tensor([[0.0, 0.0, 0.0, 1.0]])])
    if matrix.shape != (4, 4) or not torch.isfinite(matrix).all():
        raise InputError(f"{where} needs a transform_matrix of 4 x 4 finite numbers.")
    rotation = matrix[:3, :3]
    if (matrix[3] - matrix.new_tensor([0.0, 0.0, 0.0, 1.0])).abs().max() > 1e-6:
        raise InputError(f"{where}: the last row of transform_matrix must be 0 0 0 1 (is it transposed?).")
    if (rotation.T @ rotation - torch.eye(3, dtype=torch.float64)).abs().max() > _ROTATION_TOLERANCE:
        raise InputError(f"{where}: transform_matrix is no rotation with a position: remove scale and shear.")
    if torch.linalg.det(rotation) < 0:
        raise InputError(f"{where}: transform_matrix is left-handed (mirrored): export right-handed OpenGL cameras.")
    u, _, vh = torch.linalg.svd(rotation)
    matrix[:3, :3] = u @ vh  # rounded numbers made exactly orthonormal
    return camera_to_opencv(matrix, "opengl").float()
