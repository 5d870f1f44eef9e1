"""How good is the average so far? Fixed objects, fixed noise, fixed seeds."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mvdiff.data.batch import TrainingBatch
from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator
from mvdiff.models.encoding import decode_views
from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.reference import ReferenceImage
from mvdiff.training.losses import LossConfig, training_loss
from recon.io.matting import MatteReport
from recon.views import ViewSet


@torch.no_grad()
def validation_loss(
    transformer: MultiViewTransformer,
    camera_estimator: PhotoCameraEstimator,
    batch: TrainingBatch,
    config: LossConfig,
    chunk: int = 32,
) -> dict[str, float]:
    generator = torch.Generator(batch.targets.device).manual_seed(0)
    totals: dict[str, float] = {}
    count = len(batch.targets)
    for start in range(0, count, chunk):
        part = TrainingBatch(**{name: value[start : start + chunk] for name, value in vars(batch).items()})
        for name, value in training_loss(transformer, camera_estimator, part, generator, config)[1].items():
            totals[f"validation/{name}"] = (
                totals.get(f"validation/{name}", 0.0) + float(value) * len(part.index) / count
            )
    return totals


def sample_validation(
    transformer: MultiViewTransformer,
    camera_estimator: PhotoCameraEstimator,
    batch: TrainingBatch,
    objects: int,
    num_inference_steps: int,
    picture: Path,
) -> dict[str, float]:
    """Two hypotheses of each of the first objects: mask IoU and PSNR of the views, and a contact sheet."""
    pipeline = MultiViewDiffusionPipeline(transformer, camera_estimator, MultiViewDiffusionPipeline.default_scheduler())
    pipeline.set_progress_bar_config(disable=True)
    rows, scores = [], []
    for index in range(min(objects, len(batch.index))):
        rgba = batch.references[index, 0].cpu()
        size = rgba.shape[-1]
        reference = ReferenceImage(rgba, (0.0, 0.0, float(size)), (size, size), MatteReport("alpha", 1.0))
        truth = decode_views(batch.targets[index : index + 1], batch.target_cameras[index : index + 1]).to("cpu")
        generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
        sampled = pipeline(
            reference,
            num_hypotheses=2,
            num_inference_steps=num_inference_steps,
            generator=generators,
            cameras=truth.cameras,
        ).views
        scores.append(_scores(sampled, truth))
        rows.append(_row(rgba, truth, sampled))
    picture.parent.mkdir(parents=True, exist_ok=True)
    sheet = (torch.cat(rows, -2).clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(sheet).save(picture)
    iou, psnr = np.mean(scores, axis=0)
    return {"validation/mask_iou": float(iou), "validation/psnr": float(psnr)}


def _scores(sampled: ViewSet, truth: ViewSet) -> tuple[float, float]:
    """Of all views but the photo's own."""
    a, b = sampled.alpha[:, 1:] > 0.5, truth.alpha[:, 1:] > 0.5
    iou = (a & b).sum((-1, -2)) / (a | b).sum((-1, -2)).clamp_min(1)
    error = (sampled.composited()[:, 1:] - truth.composited()[:, 1:]).square().mean((-1, -2, -3))
    return float(iou.float().mean()), float((-10 * error.clamp_min(1e-10).log10()).mean())


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
