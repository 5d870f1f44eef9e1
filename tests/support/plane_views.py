"""Views of surfaces that face them: what fusion makes of these is known exactly."""

import torch

from recon.core.cameras import Cameras
from recon.core.views import ViewSet


def facing(depth: torch.Tensor, alpha: torch.Tensor | None = None, size: int = 48) -> ViewSet:
    """One 60-degree view along -Z from the origin of surfaces that face it, with z-depths [h w]."""
    camera = Cameras.look_at(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, -1.0]]), 60.0, size)
    normal = torch.zeros(1, 1, 3, size, size)
    normal[:, :, 2] = 1.0
    alpha = torch.ones(size, size) if alpha is None else alpha
    image = torch.full((1, 1, 3, size, size), 0.5)
    return ViewSet(image, alpha[None, None, None], camera.reshape(1, 1), normal, depth[None, None, None])
