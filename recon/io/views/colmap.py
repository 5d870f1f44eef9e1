"""Posed pictures of COLMAP's models. The model's world frame is kept: a mesh made from such views lies in it."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from recon.core.errors import InputError
from recon.core.paths import is_file, natural_key
from recon.core.views import ViewSet
from recon.io.views.colmap_model import Registered, read_binary_model, read_points, read_text_model
from recon.io.views.posed import MAX_SIDE, PosedPicture, find_picture, load_posed

CAMERAS, IMAGES, POINTS = "cameras.txt", "images.txt", "points3D.txt"
_BINARY = ("cameras.bin", "images.bin")
#: Below the folder that is given.
_MODELS = ("", "sparse/0", "sparse", "colmap/sparse/0", "text", "0")


def find(path: Path) -> Path | None:
    """The folder with the model that ``path`` (a folder or one of its files) is or holds."""
    names = (CAMERAS, IMAGES, *_BINARY)
    if is_file(path):
        return path.parent if path.name in names else None
    return next((path / m for m in _MODELS if any(is_file(path / m / name) for name in names)), None)


def load(path: str | os.PathLike, *, max_side: int = MAX_SIDE, whole: bool = False) -> ViewSet:
    """The registered pictures of a text or binary model as a ViewSet of one hypothesis, in the order of their names.

    Pictures lie in ``images/`` beside the model or up to two folders above it, and are taken as they are stored: COLMAP
    does not look at the rotation in their metadata. A ``masks/`` folder beside ``images/`` holds masks (``NAME.png``).
    Opaque pictures are cut out unless they are kept ``whole``. Distortion is removed.

    Raises:
        InputError: for a model that is incomplete, damaged, or of a camera model that is not known.
    """
    model = _model(path)
    return load_posed([frame for frame, _ in _frames(model)], str(model), max_side, whole)


def median_depths(path: str | os.PathLike) -> list[float | None]:
    """Median z-depth of the sparse points that each picture shows, in the order of :func:`load`.

    None for a picture that shows none, and for all without a ``points3D``.
    """
    model = _model(path)
    points = read_points(model)
    medians: list[float | None] = []
    for frame, picture in _frames(model):
        shown = np.array([points[number] for number in picture.points.tolist() if number in points])
        z = (shown - frame.c2w[:3, 3]) @ frame.c2w[:3, 2] if len(shown) else shown
        # The lower one of two middles, as torch has it.
        medians.append(float(np.sort(z)[(len(z) - 1) // 2]) if len(z) else None)
    return medians


def _model(path: str | os.PathLike) -> Path:
    model = find(Path(path))
    if model is None:
        raise InputError(f"'{path}' holds no {CAMERAS} and {IMAGES}: give the folder of a COLMAP model.")
    return model


def _frames(model: Path) -> list[tuple[PosedPicture, Registered]]:
    """In the order of file managers."""
    text = any(is_file(model / name) for name in (CAMERAS, IMAGES))
    lenses, pictures = read_text_model(model) if text else read_binary_model(model)
    if not pictures:
        raise InputError(f"'{model}' lists no pictures in {IMAGES if text else _BINARY[1]}: export the model again.")
    frames = []
    for picture in pictures:
        if picture.camera not in lenses:
            raise InputError(f"{picture.where} names the camera {picture.camera}, which '{model}' does not have.")
        file = _picture(model, picture)
        pose = _matrix(picture.pose, picture.where)
        frame = PosedPicture(picture.where, file, pose, lenses[picture.camera], _mask(file), as_stored=True)
        frames.append((frame, picture))
    return sorted(frames, key=lambda each: natural_key(each[0].picture))


def _matrix(pose: tuple[float, ...], where: str) -> Float[np.ndarray, "4 4"]:
    """Camera-to-world of a world-to-camera quaternion (w first) and translation."""
    quaternion, translation = np.array(pose[:4]), np.array(pose[4:])
    length = float(np.linalg.norm(quaternion))
    if not 0.9 < length < 1.1 or not np.isfinite(translation).all():
        raise InputError(f"{where}: QW QX QY QZ must be a unit quaternion, not one of length {length:.3g}.")
    w, x, y, z = quaternion / length
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation.T, -rotation.T @ translation
    return matrix


def _picture(model: Path, picture: Registered) -> Path:
    roots = [root for base in (model, model.parent, model.parent.parent) for root in (base / "images", base)]
    found = find_picture(roots, picture.name)
    if found is None:
        raise InputError(
            f"{picture.where} names the picture '{picture.name}', which is not in '{roots[0]}' nor above: put it there."
        )
    return found


def _mask(picture: Path) -> Path | None:
    """COLMAP's custom, the picture's whole name and .png; or the same name with or without its own suffix."""
    return next((mask for mask in _masks(picture) if is_file(mask)), None)


def _masks(picture: Path) -> Iterator[Path]:
    for images in picture.parents:
        if images.name == "images":
            place = images.parent / "masks" / picture.relative_to(images)
            yield from (place.with_name(place.name + ".png"), place.with_suffix(".png"), place)
