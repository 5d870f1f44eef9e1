"""The cut-out photo at another margin and on a background, as image encoders were trained on it."""

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.sampling.reference import MARGIN, ReferenceImage


def on_background(
    reference: ReferenceImage, margin: float, size: int, background: float
) -> Float[Tensor, "3 {size} {size}"]:
    """sRGB on a gray of ``background``, the object's larger side filling 1 / ``margin`` of the square.

    A margin below that of :func:`mvdiff.sampling.reference.prepare` crops the picture.
    """
    rgba = reference.rgba if reference.detail is None else reference.detail
    color = rgba[:3] * rgba[3:] + background * (1 - rgba[3:])
    pad = round((margin / MARGIN - 1) / 2 * color.shape[-1])
    padded = torch.nn.functional.pad(color[None], (pad,) * 4, value=background)
    return torch.nn.functional.interpolate(padded, (size, size), mode="bicubic", antialias=True)[0].clamp(0, 1)


def resized_rgba(rgba: Float[Tensor, "4 h w"], size: int) -> Float[Tensor, "4 {size} {size}"]:
    """A cut-out square at another size, antialiased with premultiplied colors."""
    weighted = torch.cat([rgba[:3] * rgba[3:], rgba[3:]])[None]
    taken = torch.nn.functional.interpolate(
        weighted, (size, size), mode="bilinear", align_corners=False, antialias=True
    )[0]
    return torch.cat([taken[:3] / taken[3:].clamp_min(1e-3), taken[3:]]).clamp(0, 1)
