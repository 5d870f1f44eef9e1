"""Contact sheets of scenes: the truth's colors and depths above those of each hypothesis, one column a view."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from mvdiff.evaluation.protocols.scene_case import SceneCase
from recon.core.views import ViewSet

_MARGIN, _LINE, _GAP = 92, 12, 3
#: Magma at nine places, near is bright.
_RAMP = (
    *((0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122)),
    *((229, 80, 100), (251, 135, 97), (254, 194, 135), (252, 253, 191)),
)


def scene_strip(
    case: SceneCase, sampled: ViewSet, lines: Sequence[str], hypotheses: int = 3, columns: int = 10
) -> Image.Image:
    """Draw one scene; ``lines`` of text stand at the left."""
    count = case.truth.num_views
    chosen = sorted({round(k * (count - 1) / max(min(columns, count) - 1, 1)) for k in range(min(columns, count))})
    every = [case.truth, *(sampled[k] for k in range(min(hypotheses, len(sampled))))]
    rows = [row for views in every for row in _rows(views.select_views(chosen), case.unit)]
    pictures = np.concatenate([np.pad(row, ((0, _GAP), (0, 0), (0, 0)), constant_values=255) for row in rows])
    sheet = Image.new("RGB", (_MARGIN + pictures.shape[1], pictures.shape[0]), "white")
    sheet.paste(Image.fromarray(pictures), (_MARGIN, 0))
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((2, 2 + _LINE * number), line, fill="black")
    return sheet


def _rows(views: ViewSet, unit: float) -> tuple[UInt8[np.ndarray, "h x 3"], UInt8[np.ndarray, "h x 3"]]:
    assert views.depth is not None
    colors = (views.rgb[0].clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    depths = depth_colors(views.depth[0, :, 0], unit)
    return np.concatenate(list(colors), 1), np.concatenate(list(depths), 1)


def depth_colors(depth: Float[Tensor, "*s h w"], unit: float) -> UInt8[np.ndarray, "*s h w 3"]:
    """Color of unit / (unit + depth); the sky is black."""
    code = torch.where(depth > 0, unit / (unit + depth), 0.0).cpu().numpy() * (len(_RAMP) - 1)
    ramp = np.array(_RAMP, float)
    return np.stack([np.interp(code, np.arange(len(ramp)), ramp[:, k]) for k in range(3)], -1).astype(np.uint8)
