"""Color gains of views: one factor for each view and channel, so that overlaps look alike (Brown and Lowe 2007)."""

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.scenes.visible import Sight, read_views

#: Weight of the wish that a gain is 1, in shared vertices.
_PRIOR = 20.0
#: Vertices that are compared.
_COMPARED = 20_000
_LEAST, _MOST = 0.5, 2.0


def color_gains(images: Float[Tensor, "v 3 h w"], sight: Sight, cameras: Cameras, fixed: int) -> Float[Tensor, "v 3"]:
    """Gains that make views agree where they see the same vertices; the view ``fixed`` keeps its colors.

    Least squares over all pairs of views and the vertices that both confirm, with a prior at 1.
    """
    step = max(1, sight.seen.shape[1] // _COMPARED)
    both = Sight(*(getattr(sight, name)[:, ::step] for name in ("seen", "pixels", "depth", "cosine", "agrees")))
    values = read_views(images, both, cameras).permute(1, 0, 2)  # [3 v k]
    shared = both.agrees.to(values)
    masked = values * shared
    # sum over k of (g_i c_i - g_j c_j)^2, a quadratic form in the gains of each channel.
    own = (masked**2) @ shared.T  # [3 v v]: c_i^2 over the vertices that i and j share
    cross = masked @ masked.mT
    count = len(images)
    off = 1 - torch.eye(count, device=images.device)
    scale = ((masked**2).sum((1, 2)) / shared.sum().clamp_min(1)).clamp_min(1e-4)
    prior = _PRIOR * scale[:, None].expand(3, count).clone()
    prior[:, fixed] = 1e6 * scale * shared.shape[1]
    matrix = torch.diag_embed((own * off).sum(2) + prior) - cross * off
    gains = torch.linalg.solve(matrix.double(), prior.double()[..., None])[..., 0]
    return gains.T.to(images).clamp(_LEAST, _MOST)
