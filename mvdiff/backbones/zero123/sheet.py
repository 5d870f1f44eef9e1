"""Sheets of six views to a ViewSet: cameras, normals, alpha and colors without the background's share."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.sampling.rig import RigConfig
from recon.core.cameras import Cameras
from recon.core.conventions import camera_to_opencv
from recon.io.images import segment
from recon.io.images.closed_form import closed_form_alpha
from recon.ops.parallel import in_threads

Background = Literal["gray", "white"]

ROWS, COLUMNS = 3, 2
_FOV = 30.0
#: The bounding sphere of radius 1/2 touches the cone of the lens (upstream's issue 73).
_DISTANCE = 0.5 / math.sin(math.radians(_FOV / 2)) * math.cos(math.radians(_FOV / 2))
_LEVEL: dict[Background, float] = {"gray": 127 / 255, "white": 1.0}
#: Lengths of a decoded normal that are surely inside and surely outside, and the erosion of both in pixels.
_INSIDE, _OUTSIDE, _BAND = 0.6, 0.2, 4
#: Alpha below which the background cannot be divided out of a color.
_FAINT = 0.1


def rig(size: int = 320, photo_view: bool = True) -> RigConfig:
    """Cameras of version 1.2: six views of a 30 degree lens, and first the photo's own direction."""
    return RigConfig(photo_view=photo_view, distance=_DISTANCE, fov=_FOV, size=size)


def split(sheets: Float[Tensor, "n c h w"]) -> Float[Tensor, "n v c s s"]:
    """The views of each sheet in row order."""
    n, c, height, width = sheets.shape
    tiles = sheets.reshape(n, c, ROWS, height // ROWS, COLUMNS, width // COLUMNS)
    return tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def join(views: Float[Tensor, "n v c s s"]) -> Float[Tensor, "n c h w"]:
    """Inverse of :func:`split`."""
    n, _, c, s, _ = views.shape
    tiles = views.reshape(n, ROWS, COLUMNS, c, s, s).permute(0, 3, 1, 4, 2, 5)
    return tiles.reshape(n, c, ROWS * s, COLUMNS * s)


@dataclass(frozen=True)
class CutOut:
    """Views without their background."""

    rgb: Float[Tensor, "n v 3 s s"]
    alpha: Float[Tensor, "n v 1 s s"]
    normal: Float[Tensor, "n v 3 s s"] | None
    """Unit normals in world axes, zero outside."""


def cut_out(
    colors: Float[Tensor, "n v 3 s s"],
    normals: Float[Tensor, "n v 3 s s"] | None,
    cameras: Cameras,
    background: Background,
) -> CutOut:
    """Alpha, colors and world normals of decoded views.

    Args:
        colors: in [0, 1], over the background.
        normals: color-coded view-space normals of the ControlNet, where there is one: their length gives the trimap.
        cameras: [n v].
        background: color behind the object.
    """
    level, pictures = _LEVEL[background], colors.permute(0, 1, 3, 4, 2).flatten(0, 1).cpu().double().numpy()
    vectors = None if normals is None else 2 * normals.float() - 1
    if vectors is None:
        alphas = in_threads(lambda k: _plain_alpha(pictures[k], level), range(len(pictures)))
    else:
        lengths = vectors.norm(dim=2).flatten(0, 1).cpu().numpy()
        alphas = in_threads(lambda k: normal_alpha(pictures[k], lengths[k]), range(len(pictures)))
    n, v, _, s, _ = colors.shape
    alpha = torch.from_numpy(np.stack(alphas)).float().reshape(n, v, 1, s, s).to(colors.device)
    world = None if vectors is None else world_normals(vectors, cameras) * (alpha > 0.5)
    return CutOut(without_background(colors, alpha, level), alpha, world)


def normal_alpha(rgb: Float[np.ndarray, "h w 3"], length: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Closed-form matting where the length of the decoded normal does not decide."""
    inside, outside = _eroded(length > _INSIDE, 0), _eroded(length < _OUTSIDE, 1)
    return closed_form_alpha(rgb, inside, outside)


def _eroded(mask: Bool[np.ndarray, "h w"], border: int) -> Bool[np.ndarray, "h w"]:
    from scipy.ndimage import binary_erosion

    return binary_erosion(mask, np.ones((_BAND, _BAND), bool), border_value=border)


def _plain_alpha(rgb: Float[np.ndarray, "h w 3"], level: float) -> Float[np.ndarray, "h w"]:
    """Alpha of a picture on a plain background; GrabCut where the border is none."""
    pixels = np.round(rgb * 255).astype(np.uint8)
    found = segment.plain_background(pixels) or segment.grabcut(pixels)
    return found.alpha.astype(np.float64)


def without_background(
    colors: Float[Tensor, "n v 3 s s"], alpha: Float[Tensor, "n v 1 s s"], level: float
) -> Float[Tensor, "n v 3 s s"]:
    """Invert the blend with an even background; zero where there is no object."""
    share = alpha.clamp_min(_FAINT)
    return ((colors - (1 - share) * level) / share).clamp(0, 1) * (alpha > 0)


def world_normals(vectors: Float[Tensor, "n v 3 s s"], cameras: Cameras) -> Float[Tensor, "n v 3 s s"]:
    """Unit normals in world axes from view-space vectors: x right, y up, z towards the viewer (OpenGL).

    The axes are those of the normals that the authors publish with version 1.2.
    """
    unit = torch.nn.functional.normalize(vectors, dim=2)
    rotation = camera_to_opencv(cameras.c2w, "opengl")[..., :3, :3].to(unit)
    return torch.einsum("nvij,nvjhw->nvihw", rotation, unit)
