"""Protocol S1 (docs: scene evaluation), picture by picture: the photo's geometry, views along the path, drift."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.evaluation.protocols.scene_case import LEAST_PIXELS, SceneCase, log_depth
from recon.core.views import ViewSet
from recon.metrics.depth import abs_rel, median_scale, normal_degrees, within_ratio
from recon.metrics.image import SSIM_RADIUS, gradient_similarity, masked_mean, masked_psnr, ssim_map
from recon.rendering.warp import forward_warp

Scores = dict[str, Any]


def photo_scores(case: SceneCase, sampled: ViewSet) -> Scores:
    """Depth and normals of the photo's own view, one value a hypothesis; ``_aligned``: after one scale (median)."""
    truth, mask = case.depth[0], case.surface[0]
    found: dict[str, list[float]] = {}
    for depth, alpha in zip(_depth(sampled)[:, 0], sampled.alpha[:, 0, 0], strict=True):
        aligned = depth * median_scale(depth, truth, mask)
        values = {
            "photo_abs_rel": abs_rel(depth, truth, mask),
            "photo_delta": within_ratio(depth, truth, mask),
            "photo_abs_rel_aligned": abs_rel(aligned, truth, mask),
            "photo_delta_aligned": within_ratio(aligned, truth, mask),
            "sky_iou": _iou(alpha <= 0.5, ~mask),
        }
        for name, value in values.items():
            found.setdefault(name, []).append(float(value))
    if sampled.normal is not None and case.truth.normal is not None:
        degrees = normal_degrees(sampled.normal[:, 0], case.truth.normal[0, 0], mask)
        found["photo_normal_degrees"] = degrees.tolist()
    return found


def view_scores(case: SceneCase, sampled: ViewSet) -> Scores:
    """PSNR, SSIM, gradient similarity and AbsRel by mask; the mean over views, one value a hypothesis.

    The photo's own view counts in ``photo_psnr`` alone.
    """
    truth, later = case.truth.rgb[0], slice(1, None)
    found: Scores = {"photo_psnr": [], "psnr": []}
    masks = {name: mask[later] for name, mask in case.masks.items()}
    everywhere = torch.ones_like(case.seen)
    for rgb, depth in zip(sampled.rgb, _depth(sampled), strict=True):
        found["photo_psnr"].append(float(masked_psnr(rgb[0], truth[0], everywhere[0])))
        a, b = rgb[later], truth[later]
        found["psnr"].append(_mean(masked_psnr(a, b, everywhere[later])))
        similar, edges = ssim_map(a, b).mean(1), gradient_similarity(a, b)
        for name, mask in masks.items():
            values = {
                "psnr": masked_psnr(a, b, mask, LEAST_PIXELS),
                "ssim": masked_mean(similar, _cropped(mask), LEAST_PIXELS),
                "gms": masked_mean(edges, mask, LEAST_PIXELS),
                "abs_rel": _abs_rel(depth[later], case.depth[later], mask & case.surface[later]),
            }
            for measure, value in values.items():
                found.setdefault(f"{measure}_{name}", []).append(_mean(value))
    return found


def drift_scores(case: SceneCase, sampled: ViewSet) -> Scores:
    """PSNR, difference of mean color and |log| of the depth's scale where the photo sees: [station][hypothesis]."""
    rows: dict[str, list[list[float]]] = {"psnr": [], "color": [], "scale": []}
    for station in sorted(set(case.stations)):
        own = [k for k, s in enumerate(case.stations) if s == station and k > 0]
        seen = case.seen[own]
        rgb, truth = sampled.rgb[:, own], case.truth.rgb[0, own]
        rows["psnr"].append(_means(masked_psnr(rgb, truth, seen, LEAST_PIXELS)))
        apart = masked_mean((rgb - truth).mean(2), seen, LEAST_PIXELS)
        rows["color"].append(_means(apart.abs()))
        known = seen & case.surface[own]
        scales = [
            [_log_scale(depth, true, mask) for depth, true, mask in zip(one, case.depth[own], known, strict=True)]
            for one in _depth(sampled)[:, own]
        ]
        rows["scale"].append(_means(torch.tensor(scales)))
    return {f"drift_{name}": values for name, values in rows.items()}


def own_mask_scores(case: SceneCase, sampled: ViewSet) -> Scores:
    """PSNR of real frames where the photo, moved by its *sampled* depth, arrives (``_own_seen``) and elsewhere.

    For data without depth, where no exact mask exists; one value a hypothesis.
    """
    photo = replace(sampled.select_views([0]), rgb=case.photo.expand(len(sampled), 1, -1, -1, -1))
    warped = forward_warp(photo, sampled.cameras[:, 1:])
    found: Scores = {"psnr_own_seen": [], "psnr_own_unseen": []}
    for rgb, valid in zip(sampled.rgb[:, 1:], warped.valid[:, :, 0] > 0.5, strict=True):
        for name, mask in (("seen", valid), ("unseen", ~valid)):
            found[f"psnr_own_{name}"].append(_mean(masked_psnr(rgb, case.truth.rgb[0, 1:], mask, LEAST_PIXELS)))
    return found


def revisit_scores(case: SceneCase, sampled: ViewSet) -> Scores:
    """Views that come back to the photo's camera: PSNR and mean |log-depth| against its first view."""
    first = case.cameras[0]
    back = [k for k in range(1, case.truth.num_views) if _same(case, k, first)]
    if not back:
        return {}
    again, before = sampled.rgb[:, back], sampled.rgb[:, :1]
    log = log_depth(sampled, case.unit)
    everywhere = torch.ones_like(case.seen[back])
    return {
        "revisit_psnr": _means(masked_psnr(again, before, everywhere)),
        "revisit_psnr_truth": _means(masked_psnr(again, case.truth.rgb[:, back], everywhere)),
        "revisit_log_depth": (log[:, back] - log[:, :1]).abs().mean((1, 2, 3)).tolist(),
    }


def _same(case: SceneCase, view: int, first: Any) -> bool:
    camera = case.cameras[view]
    return bool(
        torch.allclose(camera.c2w, first.c2w, atol=1e-4) and torch.allclose(camera.intrinsics, first.intrinsics)
    )


def _depth(sampled: ViewSet) -> Float[Tensor, "n v h w"]:
    if sampled.depth is None:
        raise ValueError("Scenes are scored by views with depth.")
    return sampled.depth[:, :, 0]


def _abs_rel(
    depth: Float[Tensor, "v h w"], truth: Float[Tensor, "v h w"], mask: Bool[Tensor, "v h w"]
) -> Float[Tensor, "v"]:
    enough = mask.sum((-2, -1)) >= LEAST_PIXELS
    return torch.where(enough, abs_rel(depth, truth, mask), torch.nan)


def _log_scale(depth: Float[Tensor, "h w"], truth: Float[Tensor, "h w"], mask: Bool[Tensor, "h w"]) -> float:
    known = mask & (depth > 0)
    return float(median_scale(depth, truth, known).log().abs()) if int(known.sum()) >= LEAST_PIXELS else float("nan")


def _cropped(mask: Bool[Tensor, "v h w"]) -> Bool[Tensor, "v i j"]:
    r = SSIM_RADIUS
    return mask[:, r:-r, r:-r]


def _mean(values: Float[Tensor, "v"]) -> float:
    return float(values.nanmean())


def _means(values: Float[Tensor, "n v"]) -> list[float]:
    return values.nanmean(1).tolist()


def _iou(a: Bool[Tensor, "h w"], b: Bool[Tensor, "h w"]) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0
