"""Out-of-distribution scores of a photo: the model's own errors on it, to be compared with those on known objects.

Hypotheses may agree and still be wrong if the model was trained on nothing like the photo. The spread between samples
does not show that; errors on the one view whose truth is known, the photo itself, do.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.models.cameras import camera_tensors
from mvdiff.models.encoding import encode_reference, encode_views
from mvdiff.pipelines.multiview_diffusion import MultiViewDiffusionPipeline
from mvdiff.sampling.photo_camera import PhotoCamera, PhotoCameraDistribution
from mvdiff.sampling.reference import ReferenceImage
from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.posterior.novelty import Harmless, novelty_p_value

#: Noise levels (0 clean, 1 noise) at which the photo's own view is denoised again.
LEVELS = (0.8, 0.5)
#: Hypotheses that are looked at.
_USED = 2
_LEAST = 1e-4
#: p-values below this are reported as a warning.
UNKNOWN = 0.05
#: A camera distribution narrower than usual, and a half-noised view that needs the photo less than usual, are signs
#: of a sure model, not of an unfamiliar photo.
HARMLESS: Harmless = {"camera": "low", "unexplained_0.5": "high"}


@dataclass(frozen=True)
class Novelty:
    """Novelty of a photo, from the model's own errors on it."""

    scores: Mapping[str, float]
    p_value: float | None
    """Share of the calibration set that is at least as unusual; None without a calibration."""

    @property
    def warnings(self) -> tuple[str, ...]:
        if self.p_value is None or self.p_value >= UNKNOWN:
            return ()
        return (
            f"This photo is unlike the objects that the model knows (p = {self.p_value:.3f}): its hypotheses and all "
            f"statements about them may be meaningless.",
        )

    def record(self) -> dict[str, Any]:
        """JSON-ready."""
        text = "share of the calibration set that is at least as unusual to the model; small: unlike the known objects"
        return {"p_value": self.p_value, "meaning": text, "scores": dict(self.scores)}


def judge(scores: Mapping[str, float], known: Mapping[str, Sequence[float]]) -> Novelty:
    """Compare a photo's scores with those of the calibration set."""
    return Novelty(scores, novelty_p_value(scores, known, HARMLESS))


@torch.no_grad()
def novelty_scores(
    pipeline: MultiViewDiffusionPipeline, reference: ReferenceImage, views: ViewSet, photo_cameras: PhotoCamera
) -> dict[str, float]:
    """Logarithms of errors; the larger, the less the model can make of the photo.

    ``views`` [n v] are what was sampled for the photo, its own view first. The same inputs give the same scores.
    """
    views, cameras = views[:_USED], photo_cameras[list(range(min(_USED, len(photo_cameras))))]
    photo = photo_in_view(reference, cameras, views.cameras[:, 0])
    own = torch.cat([views.rgb[:, 0], views.alpha[:, 0]], 1)
    alpha, shown = photo[:, 3:], own[:, 3:]
    both = alpha * shown
    color = ((photo[:, :3] - _relit(own[:, :3], photo[:, :3], both)) ** 2 * both).sum() / (3 * both.sum() + 1)
    union = torch.maximum(alpha, shown).sum()
    undecided = (views.alpha * (1 - views.alpha)).sum() / (views.alpha.sum() + 1)
    scores = {
        "colour": float(color),
        "outline": float((alpha - shown).abs().sum() / (union + 1)),
        "undecided": float(undecided),
        **_denoising(pipeline, reference, views, photo, cameras),
    }
    found = {name: math.log(value + _LEAST) for name, value in scores.items()}
    unframed = replace(reference, framed=False)  # a crop that is known has no spread
    return found | {"camera": _spread_of(pipeline.estimate_camera(unframed))}


def photo_in_view(reference: ReferenceImage, photo_cameras: PhotoCamera, cameras: Cameras) -> Float[Tensor, "n 4 h w"]:
    """The photo as each hypothesis' own view of it should show it: same place and direction, another lens."""
    crop = photo_cameras.cameras(reference.rgba.shape[-1])
    pixels = _centers(cameras)
    local = (pixels - cameras.intrinsics[:, None, :2, 2]) / cameras.intrinsics.diagonal(dim1=-2, dim2=-1)[:, None, :2]
    focal, middle = crop.intrinsics.diagonal(dim1=-2, dim2=-1)[:, None, :2], crop.intrinsics[:, None, :2, 2]
    where = (local * focal + middle) / (crop.width / 2) - 1
    picture = reference.rgba[None].expand(len(cameras), -1, -1, -1).to(where)
    weighted = torch.cat([picture[:, :3] * picture[:, 3:], picture[:, 3:]], 1)
    grid = where.unflatten(1, (cameras.height, cameras.width))
    taken = torch.nn.functional.grid_sample(weighted, grid, align_corners=False)
    return torch.cat([taken[:, :3] / taken[:, 3:].clamp_min(1e-3), taken[:, 3:]], 1).clamp(0, 1)


def _centers(cameras: Cameras) -> Float[Tensor, "p 2"]:
    y, x = torch.meshgrid(torch.arange(cameras.height) + 0.5, torch.arange(cameras.width) + 0.5, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


def _relit(
    own: Float[Tensor, "n 3 h w"], photo: Float[Tensor, "n 3 h w"], weight: Float[Tensor, "n 1 h w"]
) -> Float[Tensor, "n 3 h w"]:
    """The delit colors under the gain, one for all channels, that brings them nearest to the photo."""
    gain = (own * photo * weight).sum((1, 2, 3)) / (own**2 * weight).sum((1, 2, 3)).clamp_min(1e-6)
    return own * gain.clamp(0.3, 3)[:, None, None, None]


def _denoising(
    pipeline: MultiViewDiffusionPipeline,
    reference: ReferenceImage,
    views: ViewSet,
    photo: Float[Tensor, "n 4 h w"],
    photo_cameras: PhotoCamera,
) -> dict[str, float]:
    """Errors of the photo's own view after the sampled views are noised and denoised once."""
    device, dtype = pipeline.device, pipeline.transformer.dtype
    clean = encode_views(views)
    clean[:, 0, :4] = encode_reference(photo)
    pictures = encode_reference(reference.rgba)[None, None].expand(len(views), -1, -1, -1, -1).to(device, dtype)
    crop = Cameras.stack([photo_cameras.cameras(pictures.shape[-1])], dim=1).to(device)
    condition = (*camera_tensors(views.cameras.to(device)), *camera_tensors(crop))
    noise = torch.randn(clean.shape[1:], generator=torch.Generator().manual_seed(0))
    weight = photo[:, 3:]
    found = {}
    for level in LEVELS:
        state = ((1 - level) * clean + level * noise).to(device, dtype)
        timestep = torch.full(state.shape[:2], level * 1000.0, device=device)
        errors = []
        for drop in (False, True):
            hidden = torch.full((len(views),), drop, device=device)
            predicted = pipeline.transformer(state, timestep, pictures, *condition, hidden, return_dict=False)[0]
            error = (predicted[:, 0, :4].float().cpu() - clean[:, 0, :4]) ** 2
            outline, color = error[:, 3].mean(), (error[:, :3] * weight).sum() / (3 * weight.sum() + 1)
            errors.append(float(outline + color))
        found[f"denoising_{level}"] = errors[0]
        # Ratio of the errors with and without the photo.
        found[f"unexplained_{level}"] = errors[0] / max(errors[1], 1e-6)
    return found


def _spread_of(distribution: PhotoCameraDistribution) -> float:
    """Sum of the log standard deviations of the photo's camera distribution."""
    return float(distribution.std[0].float().clamp_min(1e-3).log().sum())
