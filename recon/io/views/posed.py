"""Pictures with known cameras, from whatever file names them, to one ViewSet."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.io.images.files import load_image
from recon.io.images.matting import cut_out

#: Pictures larger than this are reduced.
MAX_SIDE = 1024
_ANY_SIZE = 1 << 20


@dataclass(frozen=True)
class PosedPicture:
    """One picture still on disk, and its camera once the picture's size is known."""

    where: str
    """What to call it in a message."""
    picture: Path
    camera: Callable[[tuple[int, int]], Cameras]
    """From (width, height) to the camera, without batch axes."""
    mask: Path | None = None
    """Grey values that become its alpha."""


def load_posed(frames: Sequence[PosedPicture], source: str, max_side: int = MAX_SIDE, whole: bool = False) -> ViewSet:
    """All frames as views [1 v]; opaque pictures are cut out as photos are, with a warning that names ``source``.

    ``whole`` keeps them as they are, as pictures of scenes must be. Raises :class:`InputError` for pictures that cannot
    be read or differ in size.
    """
    cameras, pictures, opaque = [], [], []
    for index, frame in enumerate(frames):
        image = load_image(frame.picture, max_side=_ANY_SIZE)
        camera = frame.camera(image.size)
        image = _masked(image, frame)
        if not whole and np.asarray(image)[..., 3].min() > 250:
            opaque.append(index)
            rgba, _ = cut_out(image)
            image = Image.fromarray(np.rint(rgba * 255).astype(np.uint8))
        if max(image.size) > max_side:
            scale = max_side / max(image.size)
            size = tuple(max(1, round(side * scale)) for side in image.size)
            image, camera = image.resize(size, Image.Resampling.LANCZOS), camera.resized(*size)
        cameras.append(camera)
        pictures.append(torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255)
    _check_sizes(pictures, source)
    if opaque:
        warnings.warn(
            f"{len(opaque)} of {len(pictures)} pictures of '{source}' have no transparency; "
            "the object was cut out of them automatically: check the result.",
            stacklevel=3,
        )
    rgba = torch.stack(pictures)[None]
    return ViewSet(rgba[:, :, :3], rgba[:, :, 3:], Cameras.stack(cameras).reshape(1, len(cameras)))


def _masked(image: Image.Image, frame: PosedPicture) -> Image.Image:
    if frame.mask is None:
        return image
    mask = load_image(frame.mask, max_side=_ANY_SIZE).convert("L")
    if mask.size != image.size:
        raise InputError(
            f"{frame.where} has a mask of {mask.size} pixels for a picture of {image.size}: make them equal."
        )
    image = image.copy()
    image.putalpha(mask)
    return image


def _check_sizes(pictures: Sequence[Tensor], source: str) -> None:
    sizes = [(p.shape[2], p.shape[1]) for p in pictures]
    usual = max(set(sizes), key=sizes.count)
    odd = [f"{i} ({w} x {h})" for i, (w, h) in enumerate(sizes) if (w, h) != usual]
    if odd:
        listed = ", ".join(odd[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
        raise InputError(
            f"The pictures of '{source}' differ in size: most are {usual[0]} x {usual[1]}, "
            f"but not frames {listed}; resize or leave them out."
        )
