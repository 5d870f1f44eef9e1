"""Likelihood of a further photo in hypotheses of a scene; its camera is known or one of several candidates."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.ops.parallel import in_threads
from recon.scenes.surface_warp import surface_warp

#: Pixels a side at which pictures are compared, and pixels a side whose errors are one and the same.
_SIZE, _CORRELATION = 32, 4
#: Standard deviation of colors where a hypothesis shows a surface, and where it shows nothing.
_KNOWN, _UNKNOWN = 0.15, 0.28
#: Exposure of one photo relative to the other.
_EXPOSURES = (0.6, 1.6)


def photo_log_likelihood(views: ViewSet, photo: Float[Tensor, "3 h w"], cameras: Cameras) -> Float[Tensor, "n c"]:
    """Log-likelihood of a photo in hypotheses [n v] for each of their candidate cameras [n c].

    Gaussian in sRGB around the known views warped into each camera, after a gain for the exposure; where a hypothesis
    shows nothing, a broad Gaussian around gray. Errors of neighboring pixels are not independent: a patch counts once.
    """
    small = cameras.resized(_SIZE, _SIZE)
    shrunk = torch.nn.functional.interpolate(photo[None], (_SIZE, _SIZE), mode="area")[0]

    def of(k: int) -> Float[Tensor, "c"]:
        warped = surface_warp(views[k], small[k : k + 1])
        return _log_likelihood(warped.rgb[0], warped.valid[0], shrunk)

    return torch.stack(in_threads(of, range(len(views))))


def _log_likelihood(
    predicted: Float[Tensor, "c 3 h w"], valid: Float[Tensor, "c 1 h w"], photo: Float[Tensor, "3 h w"]
) -> Float[Tensor, "c"]:
    known = valid > 0.5
    cross = (predicted * photo * known).flatten(1).sum(1)
    gain = (cross / (predicted.square() * known).flatten(1).sum(1).clamp_min(1e-6)).clamp(*_EXPOSURES)
    apart = torch.where(known, gain[:, None, None, None] * predicted - photo, photo - 0.5)
    spread = torch.where(known, _KNOWN, _UNKNOWN).expand_as(apart)
    density = -0.5 * (apart / spread).square() - spread.log() - 0.5 * math.log(2 * math.pi)
    return density.flatten(1).sum(1) / _CORRELATION**2
