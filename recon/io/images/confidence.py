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


def shade_share(
    inside: Bool[np.ndarray, "h w"], lab: Float[np.ndarray, "h w 3"], background: Float[np.ndarray, "h w 3"]
) -> float:
    """Share of the mask (CIELAB) that the ``background``, darkened, would look like: a shadow, or gray on gray."""
    light, dark = background[..., 0], lab[..., 0]
    scale = np.clip(dark / np.maximum(light, 1.0), 0, 1.5)[..., None]
    chroma = np.linalg.norm(lab[..., 1:] - background[..., 1:] * scale, axis=-1)
    return float(((dark < light) & (chroma < _CHROMA))[inside].mean()) if inside.any() else 0.0
