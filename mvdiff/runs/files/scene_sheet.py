"""Contact sheet of sampled scenes: colors and nearness, one row each, of every hypothesis."""

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from recon.core.views import ViewSet

#: Depth in units that lies in the middle between black and white.
_MIDDLE = 1.5


def scene_sheet(views: ViewSet, columns: int = 9) -> Image.Image:
    """Draw hypotheses [n v]: two rows each, the photo first; near is bright, sky black."""
    rows = [row for k in range(len(views)) for row in _rows(views[k].select_views(slice(0, columns)))]
    sheet = torch.cat(rows, -2).clamp(0, 1)
    return Image.fromarray(np.ascontiguousarray((sheet * 255).round().byte().permute(1, 2, 0).cpu().numpy()))


def _rows(views: ViewSet) -> tuple[Float[Tensor, "3 h w"], Float[Tensor, "3 h w"]]:
    assert views.depth is not None
    depth = views.depth[0]
    near = torch.where(depth > 0, _MIDDLE / (_MIDDLE + depth), 0.0).expand(-1, 3, -1, -1)
    return torch.cat(list(views.rgb[0]), -1), torch.cat(list(near), -1)
