"""The only place where axes flip.

Inside the package every camera is OpenCV (x right, y down, z forward) and the world is glTF (right-handed, +Y up, the
photographed side faces +Z). Everything that comes from or goes to another convention passes through here.
"""

import torch
from jaxtyping import Float
from torch import Tensor

#: Camera axes (x, y, z) of each convention, written in OpenCV camera axes: ``c2w_opencv = c2w_other @ FLIP``.
_CAMERA_FLIPS = {
    "opencv": (1.0, 1.0, 1.0),  # x right, y down, z forward
    "opengl": (1.0, -1.0, -1.0),  # x right, y up, z backward (also Blender's and nerfstudio's cameras)
}

#: World-up of each convention as a rotation into ours (+Y up).
_WORLD_ROTATIONS = {
    "y_up": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "z_up": ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)),  # Blender: (x, y, z) -> (x, z, -y)
    "y_down": ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)),  # the frame of an OpenCV camera
    "z_down": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
    "x_up": ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "x_down": ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "z_up_front_x": ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)),  # InstantMesh: (x, y, z) -> (y, z, x)
}


def camera_to_opencv(c2w: Float[Tensor, "*batch 4 4"], convention: str) -> Float[Tensor, "*batch 4 4"]:
    """Camera-to-world matrices of ``convention`` ("opencv" or "opengl") as OpenCV ones; its own inverse."""
    if convention not in _CAMERA_FLIPS:
        raise ValueError(f"Unknown camera convention {convention!r}; known: {sorted(_CAMERA_FLIPS)}.")
    flip = torch.diag(torch.tensor([*_CAMERA_FLIPS[convention], 1.0], dtype=c2w.dtype, device=c2w.device))
    return c2w @ flip


def world_rotation(convention: str) -> Float[Tensor, "4 4"]:
    """Homogeneous rotation that carries ``convention``'s world ("y_up", "z_up", "z_up_front_x", …) into ours."""
    if convention not in _WORLD_ROTATIONS:
        raise ValueError(f"Unknown world convention {convention!r}; known: {sorted(_WORLD_ROTATIONS)}.")
    matrix = torch.eye(4)
    matrix[:3, :3] = torch.tensor(_WORLD_ROTATIONS[convention])
    return matrix


#: World of splat files as a rotation of ours: trained splats stand in the first camera's frame, +Y down.
_SPLAT_FLIPS = {"gltf": (1.0, 1.0, 1.0), "opencv": (1.0, -1.0, -1.0)}


def splat_axes(convention: str) -> Float[Tensor, "4 4"]:
    """Homogeneous rotation that carries our world into that of a splat file ("gltf" or "opencv"); its own inverse."""
    if convention not in _SPLAT_FLIPS:
        raise ValueError(f"Unknown axes of splats {convention!r}; known: {sorted(_SPLAT_FLIPS)}.")
    return torch.diag(torch.tensor([*_SPLAT_FLIPS[convention], 1.0]))


def srgb_to_linear(color: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """IEC 61966-2-1 decoding; glTF's factors and COLOR_0 are linear while images stay sRGB."""
    return torch.where(color <= 0.04045, color / 12.92, ((color.clamp_min(0) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(color: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """IEC 61966-2-1 encoding, the inverse of :func:`srgb_to_linear`."""
    return torch.where(color <= 0.0031308, color * 12.92, 1.055 * color.clamp_min(1e-8) ** (1 / 2.4) - 0.055)
