"""Validation of the averaged weights on held-out scenes, with fixed groups and fixed noise."""

from pathlib import Path

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from mvdiff.models import MultiViewTransformer
from mvdiff.models.encoding import SceneCode
from mvdiff.pipelines.scene_diffusion import SCENE_SHIFT, SceneDiffusionPipeline
from mvdiff.sampling.schedulers import make_scheduler
from mvdiff.training.config import ValidationConfig
from mvdiff.training.scenes.batch import SceneBatch
from mvdiff.training.scenes.config import SceneLossConfig
from mvdiff.training.scenes.losses import scene_loss
from recon.core.views import ViewSet
from recon.io.folders import atomic_write
from recon.rendering.warp import forward_warp, seen_in

_STATION_SHIFT = 3.0


@torch.no_grad()
def validation_loss(
    transformer: MultiViewTransformer, batches: dict[str, SceneBatch], config: SceneLossConfig
) -> dict[str, float]:
    """Batch means of the parts of :func:`scene_loss`, for each task."""
    values: dict[str, float] = {}
    for task, batch in batches.items():
        generator = torch.Generator(batch.views.device).manual_seed(0)
        for name, value in scene_loss(transformer, batch, generator, config)[1].items():
            values[f"validation/{task}_{name}"] = float(value)
    values["validation/loss"] = sum(values[f"validation/{task}_loss"] for task in batches) / len(batches)
    return values


def sample_validation(
    transformer: MultiViewTransformer,
    spheres: SceneBatch,
    stations: SceneBatch,
    config: ValidationConfig,
    picture: Path,
) -> dict[str, float]:
    """Hypotheses of held-out scenes with fixed seeds: figures of spheres and stations, and a contact sheet.

    All in 32 bits: places need them.
    """
    pipeline = SceneDiffusionPipeline(transformer, make_scheduler(shift=SCENE_SHIFT))
    pipeline.set_progress_bar_config(disable=True)
    scores, rows = [], []
    for k in range(min(config.sampled_objects, len(spheres.views))):
        truth = _truth(spheres, k)
        sampled = _sampled(pipeline, truth, config)
        scores.append({f"sphere_{name}": value for name, value in scene_scores(sampled, truth).items()})
        rows += [_row(truth), *(_row(sampled[i]) for i in range(min(2, len(sampled))))]
    for k in range(min(config.sampled_objects, len(stations.views))):
        scores.append(
            {f"station_{name}": value for name, value in _station_scores(pipeline, stations, k, config).items()}
        )
    with atomic_write(picture) as temporary:
        Image.fromarray((torch.cat(rows, -2) * 255).byte().permute(1, 2, 0).cpu().numpy()).save(temporary, format="PNG")
    names = sorted({name for score in scores for name in score})
    return {f"validation/{name}": _mean([s[name] for s in scores if name in s]) for name in names}


def scene_scores(sampled: ViewSet, truth: ViewSet) -> dict[str, float]:
    """Figures of ``n`` hypotheses [n 1+v] against the true views [1 1+v], of which the first is the photo.

    Depth errors are absolute over true depth, clipped at 5; "seen" is what the photo shows, too.
    """
    seen = seen_in(truth, truth.select_views([0]))[:, 1:]
    surface = truth.depth[:, :, 0] > 0
    relative = ((sampled.depth - truth.depth).abs() / truth.depth.clamp_min(1e-3)).clamp_max(5)[:, :, 0]
    error = (sampled.rgb - truth.rgb).square().mean(2)[:, 1:]  # [n v h w]
    scores = {"photo_abs_rel": _over(relative[:, :1], surface[:, :1]).mean()}
    for name, mask in {"seen": seen, "unseen": ~seen}.items():
        scores[f"abs_rel_{name}"] = _over(relative[:, 1:], surface[:, 1:] & mask).mean()
        psnr = -10 * _over(error, mask).clamp_min(1e-8).log10()
        scores[f"psnr_{name}"], scores[f"psnr_{name}_best"] = psnr.mean(), psnr.max()
    mean_color = truth.rgb[:, :1].mean((-1, -2), keepdim=True)
    scores["psnr_unseen_mean_color"] = (
        -10 * _over((truth.rgb[:, 1:] - mean_color).square().mean(2), ~seen).log10().mean()
    )
    return {name: float(value) for name, value in scores.items()}


def _truth(batch: SceneBatch, k: int) -> ViewSet:
    return SceneCode().decode(batch.views[k : k + 1], batch.cameras[k : k + 1])


def _sampled(pipeline: SceneDiffusionPipeline, truth: ViewSet, config: ValidationConfig, **known) -> ViewSet:
    """Hypotheses of all views of ``truth``, of which the first is the photo."""
    return pipeline(
        truth.rgb[0, 0],
        truth.cameras[:, 0],
        truth.cameras[:, 1:],
        config.hypotheses,
        num_inference_steps=config.num_inference_steps,
        generator=[torch.Generator().manual_seed(seed) for seed in range(config.hypotheses)],
        **known,
    ).views


def _station_scores(
    pipeline: SceneDiffusionPipeline, batch: SceneBatch, k: int, config: ValidationConfig
) -> dict[str, float]:
    """PSNR of new views where the warp of true known views reaches and where it does not."""
    sources = SceneCode().decode(batch.sources[k : k + 1], batch.source_cameras[k : k + 1])
    truth = _truth(batch, k).select_views([0, *range(1 + int(batch.given[k]), batch.views.shape[1])])
    warp = forward_warp(sources, truth.cameras[:, 1:])
    known = {"photo_geometry": sources.select_views([0]), "known_views": sources.select_views([1, 2, 3]), "warp": warp}
    error = (
        (_sampled(pipeline, truth, config, scheduler=make_scheduler(shift=_STATION_SHIFT), **known).rgb - truth.rgb)
        .square()
        .mean(2)[:, 1:]
    )
    masks = {"warped": warp.valid[:, :, 0] > 0, "holes": warp.valid[:, :, 0] == 0}
    copied = (warp.rgb - truth.rgb[:, 1:]).square().mean(2)
    scores = {f"psnr_{name}": -10 * _over(error, mask).clamp_min(1e-8).log10().mean() for name, mask in masks.items()}
    scores["psnr_warp_itself"] = -10 * _over(copied, masks["warped"]).clamp_min(1e-8).log10().mean()
    return {name: float(value) for name, value in scores.items()}


def _over(values: Float[Tensor, "n v h w"], mask: Bool[Tensor, "#n v h w"]) -> Float[Tensor, "n"]:
    """Means over a mask."""
    mask = mask.expand_as(values).float()
    return (values * mask).flatten(1).sum(1) / mask.flatten(1).sum(1).clamp_min(1)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _row(views: ViewSet) -> Float[Tensor, "3 hh ww"]:
    """Colors above, nearness below."""
    near = (SceneCode().encode_depth(views.depth) * 0.5 + 0.5).expand_as(views.rgb)
    return torch.cat([torch.cat(list(channel[0]), -1) for channel in (views.rgb, near)], -2).clamp(0, 1)
