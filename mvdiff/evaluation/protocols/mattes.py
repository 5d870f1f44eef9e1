"""Honesty of the cut-outs' confidence: how often a matte is wrong, by the confidence that it states."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from mvdiff.data.matting.compose import Ground, compose
from mvdiff.data.matting.layers import photo_layers
from mvdiff.data.procedural import make
from recon.core.errors import InputError
from recon.io.images.matting import find_matte
from recon.io.images.network_matte import overlap

#: Overlap (intersection over union) from which a matte counts as right.
RIGHT = 0.9
#: Seeds of held-out objects; those of training begin at 0.
_HELD_OUT = 2_000_000
#: Grounds and the share of photos with a shadow.
KINDS: dict[str, tuple[Ground, float]] = {
    "plain": ("plain", 0.0),
    "plain, shadow": ("plain", 1.0),
    "textured": ("textured", 0.0),
    "textured, shadow": ("textured", 1.0),
}
_BINS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True)
class JudgedMatte:
    """One photo's matte beside the true one."""

    kind: str
    method: str
    confidence: float
    overlap: float
    error: float
    """Mean absolute difference of alpha."""

    @property
    def right(self) -> bool:
        return self.overlap >= RIGHT


def judged_mattes(objects: int, views: int, size: int, seed: int = 0) -> Iterator[JudgedMatte]:
    """Cut procedural objects out of photos over each kind of ground."""
    for number in range(objects):
        own = _HELD_OUT + seed + number
        layers = photo_layers(make(own).mesh.normalized(), own, views, size)
        for kind, (ground, shadows) in KINDS.items():
            photos, alphas = compose(layers, None, torch.Generator().manual_seed(own), ground, shadows)
            for photo, alpha in zip(photos, alphas, strict=True):
                yield judge(kind, _picture(photo.permute(1, 2, 0).numpy()), alpha[0].numpy())


def judge(kind: str, photo: Image.Image, alpha: Float[np.ndarray, "h w"]) -> JudgedMatte:
    """Compare the matte of a photo with the true ``alpha``; a refused photo has none of confidence 0."""
    method: str
    try:
        found, report = find_matte(photo)
        method, confidence = report.method, report.confidence
    except InputError:
        found, method, confidence = np.zeros_like(alpha), "refused", 0.0
    shared = overlap(found > 0.5, alpha > 0.5)
    return JudgedMatte(kind, method, confidence, shared, float(np.abs(found - alpha).mean()))


def _picture(photo: Float[np.ndarray, "h w 3"]) -> Image.Image:
    return Image.fromarray(np.rint(photo.clip(0, 1) * 255).astype(np.uint8)).convert("RGBA")


def reliability(mattes: Sequence[JudgedMatte]) -> list[str]:
    """Markdown rows: confidence, number of mattes, their mean confidence, share that is right, mean overlap."""
    rows = ["| Confidence | Mattes | Mean confidence | Right | Mean overlap |", "|---|---|---|---|---|"]
    for low, high in itertools.pairwise(_BINS):
        own = [m for m in mattes if low <= m.confidence < high or (m.confidence == high == 1.0)]
        if own:
            stated, right, overlap = (
                float(np.mean([getattr(m, name) for m in own])) for name in ("confidence", "right", "overlap")
            )
            rows.append(f"| {low:g} to {high:g} | {len(own)} | {stated:.2f} | {right:.2f} | {overlap:.3f} |")
    return rows


def by_kind(mattes: Sequence[JudgedMatte]) -> list[str]:
    """Markdown rows: ground, mattes, mean overlap and error, those that state .9 or more, and how many of them err."""
    rows = ["| Ground | Mattes | Mean overlap | Mean error | State .9 or more | Wrong among them |"]
    rows.append("|---|---|---|---|---|---|")
    for kind in KINDS:
        own = [m for m in mattes if m.kind == kind]
        sure = [m for m in own if m.confidence >= 0.9]
        overlap, error = (float(np.mean([getattr(m, name) for m in own])) for name in ("overlap", "error"))
        wrong = sum(not m.right for m in sure)
        rows.append(f"| {kind} | {len(own)} | {overlap:.3f} | {error:.4f} | {len(sure)} | {wrong} |")
    return rows
