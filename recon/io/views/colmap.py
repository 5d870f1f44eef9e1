"""Posed pictures of COLMAP's text models: ``cameras.txt`` and ``images.txt`` (Schönberger and Frahm 2016).

The model's world frame is kept: a mesh reconstructed from such views lies in it.
"""

import math
import os
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.io.views.posed import MAX_SIDE, PosedPicture, load_posed

CAMERAS, IMAGES, POINTS = "cameras.txt", "images.txt", "points3D.txt"
#: Below the folder that is given.
_MODELS = ("", "sparse/0", "sparse", "colmap/sparse/0", "text")
_UNDISTORT = "undistort the pictures to PINHOLE first (colmap image_undistorter)"

#: Where the pinhole models keep focal lengths and principal point among their parameters.
_PINHOLES = {"SIMPLE_PINHOLE": (0, 0, 1, 2), "PINHOLE": (0, 1, 2, 3)}


def find(path: Path) -> Path | None:
    """The folder with the text model that ``path`` (a folder or one of its files) is or holds."""
    if path.is_file():
        return path.parent if path.name in (CAMERAS, IMAGES) else None
    return next((path / m for m in _MODELS if any((path / m / name).is_file() for name in (CAMERAS, IMAGES))), None)


def load(path: str | os.PathLike, *, max_side: int = MAX_SIDE, whole: bool = False) -> ViewSet:
    """The registered pictures of a model as a ViewSet of one hypothesis.

    Pictures lie in ``images/`` beside the model or up to two folders above it; a ``masks/`` folder beside that holds
    grey masks (``NAME.png``). Opaque pictures are cut out unless they are kept ``whole``. Raises :class:`InputError`.
    """
    model = find(Path(path))
    if model is None:
        raise InputError(f"'{path}' holds no {CAMERAS} and {IMAGES}: export the model as text from COLMAP.")
    lenses = _lenses(model / CAMERAS)
    frames = _frames(model, lenses)
    if not frames:
        raise InputError(f"'{model / IMAGES}' lists no pictures: export the model again.")
    return load_posed(frames, str(model), max_side, whole)


def median_depths(path: str | os.PathLike) -> list[float | None]:
    """Median z-depth of the sparse points that each picture shows, in the order of :func:`load`.

    None for a picture that shows none, and for all without a ``points3D.txt``.
    """
    model = find(Path(path))
    if model is None:
        raise InputError(f"'{path}' holds no {CAMERAS} and {IMAGES}: export the model as text from COLMAP.")
    points = _points(model / POINTS)
    lines = [line for line in _lines(model / IMAGES) if not line.startswith("#")]
    found = {}
    for first, second in zip(lines[::2], [*lines[1::2], ""], strict=False):
        words = first.split(maxsplit=9)
        c2w = _matrix(_numbers(words[1:8], IMAGES), IMAGES)
        shown = [points[number] for number in second.split()[2::3] if number in points]
        if shown:
            z = (torch.tensor(shown) - c2w[:3, 3]) @ c2w[:3, 2]
            found[str(_picture(model, words[9].strip(), IMAGES))] = float(z.median())
    pictures = sorted(str(frame.picture) for frame in _frames(model, _lenses(model / CAMERAS)))
    return [found.get(picture) for picture in pictures]


def _points(path: Path) -> dict[str, list[float]]:
    """World places by the points' numbers."""
    if not path.is_file():
        return {}
    rows = (line.split() for line in _lines(path) if line.strip() and not line.startswith("#"))
    return {words[0]: _numbers(words[1:4], f"'{path}'") for words in rows}


def _lenses(path: Path) -> dict[str, tuple[int, int, list[float]]]:
    """Camera number to width, height and focal_x, focal_y, centre_x, centre_y."""
    lenses = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        where, words = f"'{path}', line {number}", line.split()
        if len(words) < 5:
            raise InputError(f"{where} is no camera (number, model, width, height, parameters): export it again.")
        model, parameters = words[1], _numbers(words[4:], where)
        width, height = (int(value) for value in _numbers(words[2:4], where))
        if model not in _PINHOLES:
            raise InputError(f"{where} uses the camera model {model}, which is distorted or unknown: {_UNDISTORT}.")
        if len(parameters) != max(_PINHOLES[model]) + 1:
            raise InputError(f"{where}: {model} has {max(_PINHOLES[model]) + 1} parameters, not {len(parameters)}.")
        lens = [parameters[i] for i in _PINHOLES[model]]
        if min(width, height) < 1 or min(lens[:2]) <= 0:
            raise InputError(f"{where}: width, height and focal length must be positive.")
        lenses[words[0]] = (width, height, lens)
    return lenses


def _frames(model: Path, lenses: dict[str, tuple[int, int, list[float]]]) -> list[PosedPicture]:
    path = model / IMAGES
    lines = [(number, line) for number, line in enumerate(_lines(path), 1) if not line.startswith("#")]
    while lines and not lines[-1][1].strip():
        lines.pop()
    frames = []
    # Two lines for each picture; the second one lists its points and may be empty.
    for number, line in lines[::2]:
        where, words = f"'{path}', line {number}", line.split(maxsplit=9)
        if len(words) != 10:
            raise InputError(
                f"{where} is no picture (number, QW QX QY QZ, TX TY TZ, camera, name), which takes every other line: "
                "export the model again."
            )
        if words[8] not in lenses:
            raise InputError(f"{where} names the camera {words[8]}, which '{model / CAMERAS}' does not have.")
        c2w = _matrix(_numbers(words[1:8], where), where)
        picture = _picture(model, words[9].strip(), where)
        frames.append(PosedPicture(where, picture, _Lens(where, c2w, *lenses[words[8]]), _mask(picture)))
    return sorted(frames, key=lambda frame: str(frame.picture))


class _Lens:
    """The camera of a picture that may be a scaled copy of the one that COLMAP saw."""

    def __init__(self, where: str, c2w: Float[Tensor, "4 4"], width: int, height: int, lens: list[float]) -> None:
        self.where, self.c2w, self.width, self.height, self.lens = where, c2w, width, height, lens

    def __call__(self, size: tuple[int, int]) -> Cameras:
        if abs(self.width / self.height * size[1] / size[0] - 1) > 0.02:
            raise InputError(
                f"{self.where} speaks of {self.width} x {self.height} pixels, "
                f"but its picture has {size[0]} x {size[1]}: give the pictures of this model."
            )
        focal_x, focal_y, centre_x, centre_y = self.lens
        intrinsics = torch.tensor([[focal_x, 0.0, centre_x], [0.0, focal_y, centre_y], [0.0, 0.0, 1.0]])
        return Cameras(self.c2w, intrinsics, self.width, self.height).resized(*size)


def _matrix(numbers: list[float], where: str) -> Float[Tensor, "4 4"]:
    """Camera-to-world from COLMAP's world-to-camera quaternion (w first) and translation; its axes are OpenCV's."""
    quaternion, translation = torch.tensor(numbers, dtype=torch.float64).split([4, 3])
    length = float(quaternion.norm())
    if not 0.9 < length < 1.1:
        raise InputError(f"{where}: QW QX QY QZ must be a unit quaternion, not one of length {length:.3g}.")
    w, x, y, z = (quaternion / length).tolist()
    rotation = torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ],
        dtype=torch.float64,
    )
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3], matrix[:3, 3] = rotation.T, -rotation.T @ translation
    return matrix.float()


def _picture(model: Path, name: str, where: str) -> Path:
    roots = [root for base in (model, model.parent, model.parent.parent) for root in (base / "images", base)]
    for root in roots:
        if (root / name).is_file():
            return root / name
    raise InputError(f"{where} names the picture '{name}', which is not in '{roots[0]}' nor above: put it there.")


def _mask(picture: Path) -> Path | None:
    """COLMAP's custom: the picture's whole name, then .png."""
    mask = picture.parent.parent / "masks" / (picture.name + ".png")
    return mask if picture.parent.name == "images" and mask.is_file() else None


def _numbers(words: list[str], where: str) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise InputError(f"{where} holds {' '.join(words)!r} where numbers belong: export the model again.") from error
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"{where} holds NaN or infinity: export the model again.")
    return numbers


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"'{path}' is missing: export the model as text from COLMAP.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' is not readable text: export the model as text from COLMAP.") from error
