"""Validation of the averaged weights on fixed objects with fixed noise and seeds."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mvdiff.data.batch import TrainingBatch
from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator
from mvdiff.models.encoding import decode_views, encode_reference
from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.schedulers import make_scheduler
from mvdiff.training.config import ValidationConfig
from mvdiff.training.losses import LossConfig, training_loss
from recon.core.views import ViewSet
from recon.io.folders import atomic_write
from recon.io.images.matting import MatteReport


@torch.no_grad()
def validation_loss(
    transformer: MultiViewTransformer,
    camera_estimator: PhotoCameraEstimator,
    batch: TrainingBatch,
    config: LossConfig,
    chunk: int = 32,
    teacher: MultiViewTransformer | None = None,
) -> dict[str, float]:
    """Batch means of the parts of :func:`training_loss`."""
    generator = torch.Generator(batch.targets.device).manual_seed(0)
    totals: dict[str, float] = {}
    count = len(batch.targets)
    for start in range(0, count, chunk):
        part = TrainingBatch(**{name: value[start : start + chunk] for name, value in vars(batch).items()})
        for name, value in training_loss(transformer, camera_estimator, part, generator, config, teacher)[1].items():
            totals[f"validation/{name}"] = (
                totals.get(f"validation/{name}", 0.0) + float(value) * len(part.index) / count
            )
    return totals


@torch.no_grad()
def camera_scores(camera_estimator: PhotoCameraEstimator, batch: TrainingBatch) -> dict[str, float]:
    """Mean error in degrees of the estimated elevation, and what a draw from the distribution errs by."""
    photos, true = encode_reference(batch.camera_photos).flatten(0, 1), batch.photo_camera.flatten(0, 1)[:, 0]
    estimated = camera_estimator(photos)
    draws = estimated.elevation_draws(64, torch.Generator(true.device).manual_seed(0))
    errors = {"elevation_error": estimated.mean[:, 0] - true, "elevation_draw_error": draws - true[:, None]}
    return {f"validation/{name}": float(torch.rad2deg(error.abs().mean())) for name, error in errors.items()}


def sample_validation(
    transformer: MultiViewTransformer,
    camera_estimator: PhotoCameraEstimator,
    batch: TrainingBatch,
    config: ValidationConfig,
    picture: Path,
) -> dict[str, float]:
    """Hypotheses of the first objects with fixed seeds: figures of views and of their posterior, a contact sheet."""
    pipeline = MultiViewDiffusionPipeline(transformer, camera_estimator, make_scheduler())
    pipeline.set_progress_bar_config(disable=True)
    rows, scores = [], []
    for index in range(min(config.sampled_objects, len(batch.index))):
        rgba = batch.references[index, 0].cpu()
        size = rgba.shape[-1]
        reference = ReferenceImage(rgba, (0.0, 0.0, float(size)), (size, size), MatteReport("alpha", 1.0))
        truth = decode_views(batch.targets[index : index + 1], batch.target_cameras[index : index + 1]).to("cpu")
        sampled = pipeline(
            reference,
            num_hypotheses=config.hypotheses,
            num_inference_steps=config.num_inference_steps,
            guidance_scale=config.guidance_scale,
            generator=[torch.Generator().manual_seed(seed) for seed in range(config.hypotheses)],
            cameras=truth.cameras,
        ).views.to("cpu")
        scores.append(view_scores(sampled, truth))
        rows.append(_row(rgba, truth, sampled))
    sheet = (torch.cat(rows, -2).clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    with atomic_write(picture) as temporary:
        Image.fromarray(sheet).save(temporary)
    return {f"validation/{name}": float(np.mean([score[name] for score in scores])) for name in scores[0]}


def view_scores(sampled: ViewSet, truth: ViewSet) -> dict[str, float]:
    """Figures of ``n`` hypotheses against the true views; all but the photo's own, which comes first, count.

    ``energy`` is the energy score on the root mean square of pictures: mean distance to the truth less half the mean
    distance between hypotheses; ``diversity`` is the latter alone.
    """
    iou, psnr = _mask_iou(sampled.alpha, truth.alpha), _psnr(sampled, truth)  # [n v]
    pictures = sampled.composited()[:, 1:].flatten(1)
    to_truth = _rms(pictures - truth.composited()[:, 1:].flatten(1))
    between = _rms(pictures[:, None] - pictures[None])  # [n n]
    n = len(pictures)
    spread = float(between.sum()) / max(1, n * (n - 1))
    hidden_iou = iou[:, 1:].mean(1)
    scores = {
        "mask_iou": float(hidden_iou.mean()),
        "mask_iou_best": float(hidden_iou.max()),
        "psnr": float(psnr[:, 1:].mean()),
        "psnr_best": float(psnr[:, 1:].mean(1).max()),
        "normal_error": _normal_error(sampled, truth),
        "diversity": spread,
        "energy": float(to_truth.mean()) - 0.5 * spread,
    }
    for view in range(iou.shape[1]):
        scores |= {
            f"mask_iou/view_{view}": float(iou[:, view].mean()),
            f"psnr/view_{view}": float(psnr[:, view].mean()),
        }
    return scores


def _rms(difference: Float[Tensor, "*n p"]) -> Float[Tensor, "*n"]:
    return difference.square().mean(-1).sqrt()


def _mask_iou(a: Float[Tensor, "n v 1 h w"], b: Float[Tensor, "1 v 1 h w"]) -> Float[Tensor, "n v"]:
    a, b = a > 0.5, b > 0.5
    return ((a & b).sum((-1, -2, -3)) / (a | b).sum((-1, -2, -3)).clamp_min(1)).float()


def _psnr(sampled: ViewSet, truth: ViewSet) -> Float[Tensor, "n v"]:
    error = (sampled.composited() - truth.composited()).square().mean((-1, -2, -3))
    return -10 * error.clamp_min(1e-10).log10()


def _normal_error(sampled: ViewSet, truth: ViewSet) -> float:
    """Mean angle in degrees where both have a surface and the truth knows its normal."""
    both = (sampled.alpha > 0.5) & (truth.alpha > 0.5) & (truth.normal.norm(dim=2, keepdim=True) > 0.5)
    cosine = (
        (sampled.normal * truth.normal).sum(2, keepdim=True).clamp(-1, 1)[both.expand(len(sampled), -1, -1, -1, -1)]
    )
    return float(torch.rad2deg(torch.acos(cosine)).mean()) if len(cosine) else 90.0


def _row(rgba: Float[Tensor, "4 h w"], truth: ViewSet, sampled: ViewSet) -> Float[Tensor, "3 hh ww"]:
    """Photo and true views above; two hypotheses and the first one's normals below."""
    photo = rgba[:3] * rgba[3:] + 1 - rgba[3:]
    blank = torch.ones_like(photo)
    top = [photo, *truth.composited()[0], blank, *_normals(truth)[0]]
    lines = [torch.cat(top, -1)]
    for k in range(len(sampled)):
        lines.append(torch.cat([blank, *sampled.composited()[k], blank, *_normals(sampled)[k]], -1))
    return torch.cat(lines, -2)


def _normals(views: ViewSet) -> Float[Tensor, "n v 3 h w"]:
    return (views.normal * 0.5 + 0.5) * views.alpha + 1 - views.alpha
