"""Mattes with the trained network: where the object is, which dark parts are its shadow, and how sure that is."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, UInt8

from recon.core.reading import read_safetensors
from recon.io.images.confidence import of_agreement, of_network, shade
from recon.io.images.segment import (
    Segmentation,
    border_ring,
    connected_to,
    cut_by_colors,
    enlarged,
    fit_smooth,
    grabcut_size,
    unmix,
    without_specks,
)

if TYPE_CHECKING:
    from recon.io.images.matte_network import MatteNetwork

_WEIGHTS = Path(__file__).with_name("matte_network.safetensors")
#: Probabilities from which GrabCut takes a pixel for background, probably object, and object.
_OUTSIDE, _PROBABLY, _INSIDE = 0.05, 0.5, 0.95
_ITERATIONS = 4
#: A shadow: largest probability of an object, darkening (CIELAB lightness) and shift of the color.
_SHADOW_PROBABILITY, _SHADOW_DEPTH, _SHADOW_CHROMA = 0.1, 60.0, 10.0
#: Overlap with the network's mask below which a mask from a plain background is not believed.
_AGREEMENT = 0.6


def object_probability(rgb: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Probability that a pixel belongs to the object: mean of the network's answers on the picture and its mirror."""
    import torch

    from recon.io.images.matte_network import SIZE

    picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255
    small = torch.nn.functional.interpolate(picture, (SIZE, SIZE), mode="bilinear", antialias=True)
    with torch.no_grad():
        both = torch.sigmoid(_network()(torch.cat([small, small.flip(-1)])))
    mean = (both[:1] + both[1:].flip(-1)) / 2
    return torch.nn.functional.interpolate(mean, rgb.shape[:2], mode="bilinear")[0, 0].numpy()


def network_matte(rgb: UInt8[np.ndarray, "h w 3"], probability: Float[np.ndarray, "h w"]) -> Segmentation:
    """GrabCut (Rother et al. 2004) started from the network's probabilities, with unmixed edges."""
    import cv2

    height, width = rgb.shape[:2]
    size, scale = grabcut_size(height, width)
    chance = cv2.resize(probability, size, interpolation=cv2.INTER_LINEAR)
    mask = np.full(chance.shape, cv2.GC_PR_BGD, np.uint8)
    mask[chance > _PROBABLY] = cv2.GC_PR_FGD
    mask[chance > _INSIDE], mask[chance < _OUTSIDE] = cv2.GC_FGD, cv2.GC_BGD
    sides = [np.isin(mask, own).any() for own in ((cv2.GC_FGD, cv2.GC_PR_FGD), (cv2.GC_BGD, cv2.GC_PR_BGD))]
    inside = probability > _PROBABLY
    if all(sides):
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        cv2.setRNGSeed(0)
        inside = enlarged(cut_by_colors(small, mask, _ITERATIONS), height, width)
    inside = without_specks(inside, share=0.05)
    if not inside.any():
        return Segmentation(np.zeros((height, width), np.float32), 0.0, 0.0)
    agreement = overlap(inside, probability > _PROBABLY)
    alpha = unmix(rgb, inside, radius=max(2, round(1.5 / scale)))
    return Segmentation(alpha, agreement, of_network(agreement, decided(probability)))


def without_shadow(
    rgb: UInt8[np.ndarray, "h w 3"], plain: Segmentation, probability: Float[np.ndarray, "h w"]
) -> Segmentation | None:
    """A mask from a plain background without what looks like the darkened background and is no object to the network.

    None if the network sees the object elsewhere.
    """
    import cv2

    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    height, width = rgb.shape[:2]
    ring = border_ring(height, width, max(2, round(0.02 * min(height, width))))
    outside = plain.alpha < 0.05
    model, _ = fit_smooth(lab, outside if outside.any() else ring, 2)
    darkening, chroma = shade(lab, model)
    shaded = (darkening > 0) & (darkening < _SHADOW_DEPTH) & (chroma < _SHADOW_CHROMA)
    shaded = _opened(shaded & (probability < _SHADOW_PROBABILITY))
    inside = (plain.alpha > 0.5) & ~connected_to(shaded | outside, ring & outside)
    inside = _opened(without_specks(inside, share=0.02))
    agreement = overlap(inside, probability > _PROBABLY)
    if agreement < _AGREEMENT:
        return None
    return Segmentation(unmix(rgb, inside), plain.clearness, of_agreement(agreement))


def overlap(first: Bool[np.ndarray, "h w"], second: Bool[np.ndarray, "h w"]) -> float:
    """Intersection over union."""
    return float((first & second).sum() / max(1, (first | second).sum()))


def decided(probability: Float[np.ndarray, "h w"]) -> float:
    """Mean decidedness |2p - 1| of the network where p, the probability of the object, exceeds .1; 0 to 1."""
    likely = probability > 0.1
    return float(np.abs(2 * probability - 1)[likely].mean()) if likely.any() else 0.0


def _opened(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    import cv2

    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)).astype(bool)


@lru_cache(1)
def _network() -> "MatteNetwork":
    from recon.io.images.matte_network import MatteNetwork

    network = MatteNetwork().eval().requires_grad_(False)
    network.load_state_dict({name: value.float() for name, value in read_safetensors(_WEIGHTS)[0].items()})
    return network
