"""One pass of the transformer over views of a scene, whichever of the optional inputs it was built with."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.models.cameras import camera_tensors
from mvdiff.models.encoding import GROUPS
from mvdiff.models.transformer import MultiViewTransformer
from recon.core.cameras import Cameras


def denoise_scene(
    transformer: MultiViewTransformer,
    noisy: Float[Tensor, "b v 8 h w"],
    level: Float[Tensor, "b v 2"],
    cameras: Cameras,
    photo: Float[Tensor, "b 3 h w"],
    dropped: Bool[Tensor, "b"] | None = None,
    condition: Float[Tensor, "b v 6 h w"] | None = None,
) -> Float[Tensor, "b v 8 h w"]:
    """Predict clean views from noisy ones; the first view is that of the photo.

    Args:
        level: noise level from 0 to 1 of colors and of geometry.
        photo: in [-1, 1]; a network with a branch for photos sees it there, too.
        dropped: whose photo is hidden there.
        condition: pictures warped into the views.
    """
    c2w, lens = camera_tensors(cameras)
    beside: list[Tensor | None] = [None, None, None]
    if transformer.config.reference_channels:
        opaque = torch.cat([photo, torch.ones_like(photo[:, :1])], 1)
        beside = [opaque[:, None].to(noisy), c2w[:, :1], lens[:, :1]]
    if not transformer.config.condition_channels:
        condition = None
    prediction = transformer(
        noisy,
        level * 1000,
        beside[0],
        c2w,
        lens,
        beside[1],
        beside[2],
        dropped if beside[0] is not None else None,
        return_dict=False,
        condition=condition,
    )
    return prediction[0].float()


def per_channel(level: Float[Tensor, "b v 2"]) -> Float[Tensor, "b v 8 1 1"]:
    """The level of each channel."""
    colors, geometry = GROUPS
    spread = [level[..., :1].expand(-1, -1, colors), level[..., 1:].expand(-1, -1, geometry)]
    return torch.cat(spread, -1)[..., None, None]
