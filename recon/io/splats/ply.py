"""Splats as PLY, with the attributes that splat trainers write (Kerbl et al. 2023)."""

import os
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.conventions import splat_axes
from recon.core.errors import InputError
from recon.core.splats import Splats
from recon.io.meshes.ply import write_ply

SplatAxes = Literal["gltf", "opencv"]

_COMMENT = {
    "gltf": "axes: right-handed, +X right, +Y up, -Z forward (glTF)",
    "opencv": "axes: right-handed, +X right, +Y down, +Z forward (OpenCV, as splat trainers write)",
}
#: Opacities nearer to 0 or 1 have logits that viewers overflow at.
_LEAST_OPACITY = 1e-4


def save_splat_ply(splats: Splats, path: str | os.PathLike, axes: SplatAxes = "opencv", *, sh_degree: int = 0) -> Path:
    """Write splats atomically as binary PLY.

    Colors are coefficients of the constant spherical harmonic, opacities are before the sigmoid, scales are
    logarithms, rotations are quaternions w, x, y, z.

    Args:
        splats: Splats in the +Y-up world.
        path: File to write.
        axes: ``opencv`` (+Y down, +Z forward) is what viewers of trained splats expect; ``gltf`` keeps +Y up. A
            comment in the file's header says which.
        sh_degree: Degree of the spherical harmonics to leave room for, 0 to 3; those above 0 (``f_rest_*``) are zero.

    Raises:
        InputError: There are no splats, some are not finite, or the degree is out of range.
    """
    if not 0 <= sh_degree <= 3:
        raise InputError(f"The degree of the spherical harmonics lies between 0 and 3, not {sh_degree}.")
    turned = check(splats).to("cpu").transformed(splat_axes(axes))
    opacity = turned.opacity.clamp(_LEAST_OPACITY, 1 - _LEAST_OPACITY)
    table = columns("xyz", turned.position) | columns(("nx", "ny", "nz"), turned.normal)
    table |= columns([f"f_dc_{i}" for i in range(3)], turned.harmonics)
    rest = 3 * ((sh_degree + 1) ** 2 - 1)
    table |= columns([f"f_rest_{i}" for i in range(rest)], torch.zeros(len(turned), rest))
    table |= columns(["opacity"], torch.logit(opacity)[:, None])
    table |= columns([f"scale_{i}" for i in range(3)], turned.scale.clamp_min(1e-9).log())
    table |= columns([f"rot_{i}" for i in range(4)], turned.rotation)
    return write_ply(path, table, comments=[_COMMENT[axes]])


def check(splats: Splats) -> Splats:
    """The splats themselves. Raises :class:`InputError` where they cannot be written."""
    if not len(splats):
        raise InputError("There are no splats to write: no view shows a surface.")
    values = (splats.position, splats.scale, splats.rotation, splats.opacity, splats.color)
    if not all(bool(torch.isfinite(value).all()) for value in values):
        raise InputError("Some splats are not finite and cannot be written: check the depths of the views.")
    return splats


def columns(names: str | tuple[str, ...] | list[str], values: Float[Tensor, "p c"]) -> dict[str, np.ndarray]:
    """Named float columns for :func:`write_ply`."""
    return {name: values[:, i].contiguous().numpy().astype(np.float32) for i, name in enumerate(names)}
