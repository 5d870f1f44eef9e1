"""Probability that a matte is right, from what was measured while it was made.

A matte is right if it overlaps the true one by .9 or more. Both maps were fitted by maximum likelihood to mattes of
rendered objects over procedural grounds, with and without shadows (``tools/measure_mattes.py`` measures how they hold).
"""

import numpy as np
from jaxtyping import Bool, Float

#: Contrast and clearness of the edge, and the share that is right.
_CLEAR = (0.25, 0.5, 0.75, 0.9, 1.0), (0.07, 0.16, 0.6, 0.7, 0.95)
#: Share of the mask that may be shadow, and the factor that it costs.
_SHADED = (0.0, 0.02, 0.06, 0.12, 0.2), (1.0, 0.98, 0.75, 0.27, 0.24)
#: Contrast along GrabCut's edge, and the share that is right.
_GRABCUT = (0.0, 0.4, 0.5, 0.6, 0.7), (0.0, 0.1, 0.2, 0.5, 0.7)
#: Overlap of a plain background's mask with the network's, and the share that is right.
_AGREEMENT = (0.6, 0.75, 0.82, 0.87, 0.92, 0.97, 1.0), (0.1, 0.12, 0.25, 0.55, 0.82, 0.97, 0.98)
#: Overlap of the network's mask with GrabCut's times the network's decidedness, and the share that is right; at most
#: .89, since the network learned from renders and photographs are another matter.
_NETWORK = (0.3, 0.55, 0.65, 0.73, 0.8, 0.88, 0.93), (0.15, 0.4, 0.45, 0.65, 0.75, 0.85, 0.89)
#: Chroma (CIELAB) by which a shadow's color differs from the darkened background's.
_CHROMA = 4.0


def of_plain(clearness: float, shade: float) -> float:
    """Confidence of a cut-out from a plain background.

    Args:
        clearness: Contrast times clearness of the edge, 0 to 1.
        shade: Share of the mask that :func:`shade_share` finds.
    """
    return float(np.interp(clearness, *_CLEAR) * np.interp(shade, *_SHADED))


def of_grabcut(contrast: float) -> float:
    """Confidence of GrabCut's mask from the ``contrast`` along its edge, 0 to 0.7."""
    return float(np.interp(contrast, *_GRABCUT))


def of_agreement(agreement: float) -> float:
    """Confidence of a cut-out from a plain background without shadow, from its overlap with the network's mask."""
    return float(np.interp(agreement, *_AGREEMENT))


def of_network(agreement: float, decided: float) -> float:
    """Confidence of the network's matte.

    Args:
        agreement: Overlap of the network's mask with what GrabCut makes of it.
        decided: How decided the network is, 0 to 1.
    """
    return float(np.interp(agreement * decided, *_NETWORK))


def shade_share(
    inside: Bool[np.ndarray, "h w"], lab: Float[np.ndarray, "h w 3"], background: Float[np.ndarray, "h w 3"]
) -> float:
    """Share of the mask (CIELAB) that the ``background``, darkened, would look like: a shadow, or gray on gray."""
    darkening, chroma = shade(lab, background)
    return float(((darkening > 0) & (chroma < _CHROMA))[inside].mean()) if inside.any() else 0.0


def shade(
    lab: Float[np.ndarray, "h w 3"], background: Float[np.ndarray, "h w 3"]
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Darkening of a picture (CIELAB lightness) against its background, and the distance from that background's
    chroma at the picture's own lightness."""
    light, dark = background[..., 0], lab[..., 0]
    scale = np.clip(dark / np.maximum(light, 1.0), 0, 1.5)[..., None]
    return light - dark, np.linalg.norm(lab[..., 1:] - background[..., 1:] * scale, axis=-1)
