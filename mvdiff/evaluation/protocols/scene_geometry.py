"""Protocol S1, geometry: clouds of what the path's cameras see, camera control, agreement between views."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.evaluation.protocols.scene_case import LEAST_PIXELS, SceneCase
from recon.core.views import ViewSet
from recon.metrics.covisibility import seen_from
from recon.metrics.depth import median_scale
from recon.metrics.points import PointScores
from recon.metrics.registration import register
from recon.metrics.shape import SurfacePoints, thin_points

#: Shares of the photo's median depth.
THRESHOLDS = tuple(k / 100 for k in range(1, 11))
#: The threshold of the headline F-score, by its place among them.
HEADLINE = THRESHOLDS.index(0.05)
#: Cells of the thinned clouds and reach from the photo's camera, in median depths.
_CELL, _REACH = 0.01, 5.0
_LEAST_OVERLAP = 0.5
#: Points that are looked up in the other cloud, and those that are registered.
_QUERIES, _REGISTERED = 15_000, 1500
_MAX_VIEWS = 3


def cloud_scores(case: SceneCase, sampled: ViewSet) -> dict[str, Any]:
    """Precision, recall, F-score at 5 % and area over 1 to 10 % of the photo's median depth, one value a hypothesis.

    Rays whose true surface the photo sees (``seen``) and others (``unseen``) are scored apart, each against the whole
    other cloud. ``_free``: after the one scale that aligns the photo's depth.
    """
    found: dict[str, Any] = {}
    parts = {"": case.judged, "_seen": case.seen, "_unseen": case.hidden_from_photo}
    truth = {name: _cloud(case, case.depth, mask) for name, mask in parts.items()}
    for depth in sampled.depth[:, :, 0]:
        for scale in ("", "_free"):
            factor = float(median_scale(depth[0], case.depth[0], case.surface[0])) if scale else 1.0
            cloud = {name: _cloud(case, depth, mask, factor) for name, mask in parts.items()}
            for part in parts:
                scores = _compared(cloud[part], truth[part], cloud[""], truth[""], case.unit)
                for name, value in scores.items():
                    found.setdefault(f"{name}{part}{scale}", []).append(value)
    return found


def _compared(
    prediction: Float[Tensor, "p 3"],
    truth: Float[Tensor, "q 3"],
    all_predicted: Float[Tensor, "p2 3"],
    all_true: Float[Tensor, "q2 3"],
    unit: float,
) -> dict[str, float | None]:
    if not len(truth):
        return dict.fromkeys(("precision", "recall", "f1", "auc"))
    limits = [t * unit for t in THRESHOLDS]
    own, true = _some(prediction, _QUERIES), _some(truth, _QUERIES)
    scores = PointScores.between(own, true, limits, all_predicted, all_true)
    return {
        "precision": scores.precision[HEADLINE],
        "recall": scores.recall[HEADLINE],
        "f1": scores.f_scores[HEADLINE],
        "auc": scores.area,
    }


def _cloud(
    case: SceneCase, depth: Float[Tensor, "v h w"], mask: Bool[Tensor, "v h w"], scale: float = 1.0
) -> Float[Tensor, "p 3"]:
    """World points of the views, scaled about the photo's camera and thinned to one a cell."""
    center = case.cameras[0].position
    points = (case.cameras.unproject(depth)[mask & (depth > 0)] - center) * scale
    points = points[points.norm(dim=-1) < _REACH * case.unit]
    return thin_points(SurfacePoints(points, torch.zeros_like(points)), _CELL * case.unit).points + center


def control_scores(case: SceneCase, sampled: ViewSet) -> dict[str, Any]:
    """Rotation (degrees) and translation (percent of the median depth) from the asked camera to the one that the
    sampled depth was seen by, in views of which the photo sees more than half.

    ICP of sampled on true points in the camera's axes; only pixels that the photo sees count. Median over views.
    """
    if case.truth.normal is None:
        return {}
    share = case.seen.float().mean((1, 2))
    views = [k for k in range(1, case.truth.num_views) if share[k] > _LEAST_OVERLAP][:_MAX_VIEWS]
    found: dict[str, list[float]] = {"rotation_error": [], "translation_error": []}
    for depth in sampled.depth[:, :, 0]:
        errors = torch.tensor([e for k in views if (e := _camera_error(case, depth[k], k)) is not None])
        rotation, translation = errors.median(0).values.tolist() if len(errors) else (float("nan"), float("nan"))
        found["rotation_error"].append(rotation)
        found["translation_error"].append(translation)
    return found


def _camera_error(case: SceneCase, depth: Float[Tensor, "h w"], view: int) -> tuple[float, float] | None:
    camera = case.cameras[view].transformed(case.cameras[view].w2c)
    points, truth = camera.unproject(depth), camera.unproject(case.depth[view])
    known, near = case.seen[view] & case.surface[view], _REACH * case.unit
    mine, true = known & (depth > 0) & (depth < near), known & (case.depth[view] < near)
    if min(int(mine.sum()), int(true.sum())) < LEAST_PIXELS:
        return None
    normal = case.truth.normal[0, view].movedim(0, -1) @ case.cameras.c2w[view, :3, :3]
    motion = register(_some(points[mine], _REGISTERED), SurfacePoints(truth[true], normal[true]))
    return motion.degrees, 100 * motion.distance / case.unit


def _some(points: Float[Tensor, "p 3"], count: int) -> Float[Tensor, "q 3"]:
    """Evenly spread over the list, ``count`` to twice as many."""
    return points[:: max(1, len(points) // count)]


def agreement_scores(case: SceneCase, sampled: ViewSet) -> dict[str, Any]:
    """Do sampled views agree with each other? Median relative depth error of each view's points in the other views
    that truly see them, and mean color difference there; one value a hypothesis, with the truth's own as floor."""
    pairs = _pairs(case)
    rgb, depth = (torch.cat([getattr(sampled, name), getattr(case.truth, name)]) for name in ("rgb", "depth"))
    rows = [_agreement(case, *own, pairs) for own in zip(rgb, depth[:, :, 0], strict=True)]
    *own, floor = rows
    return {
        "agreement_depth": [row[0] for row in own],
        "agreement_color": [row[1] for row in own],
        "agreement_depth_truth": floor[0],
        "agreement_color_truth": floor[1],
    }


def _pairs(case: SceneCase) -> list[tuple[int, int, Bool[Tensor, "h w"]]]:
    """Each view with the other one that truly shows most of it, told by every fourth pixel, and where it does."""
    points, found = case.cameras.unproject(case.depth), []

    def shown(view: int, other: int, step: int) -> Bool[Tensor, "i j"]:
        own = seen_from(points[view, ::step, ::step], case.cameras[other], case.depth[other])
        return own & case.surface[view, ::step, ::step]

    for view in range(1, case.truth.num_views):
        others = [k for k in range(case.truth.num_views) if k != view]
        best = max(others, key=lambda k: int(shown(view, k, 4).sum()))
        mask = shown(view, best, 1)
        if int(mask.sum()) >= LEAST_PIXELS:
            found.append((view, best, mask))
    return found


def _agreement(
    case: SceneCase,
    rgb: Float[Tensor, "v 3 h w"],
    depth: Float[Tensor, "v h w"],
    pairs: list[tuple[int, int, Bool[Tensor, "h w"]]],
) -> tuple[float, float]:
    errors, colors = [], []
    for view, other, mask in pairs:
        mask = mask & (depth[view] > 0)
        points = case.cameras[view].unproject(depth[view])[mask]
        pixel, z = case.cameras[other].project(points)
        x, y = pixel.floor().long().unbind(-1)
        inside = (z > 0) & (x >= 0) & (x < rgb.shape[-1]) & (y >= 0) & (y < rgb.shape[-2])
        x, y, z = x[inside], y[inside], z[inside]
        if not len(z):
            continue
        errors.append(float(((depth[other][y, x] - z).abs() / z).median()))
        colors.append(float((rgb[view][:, mask][:, inside] - rgb[other][:, y, x]).abs().mean()))
    return (sum(errors) / len(errors), sum(colors) / len(colors)) if errors else (float("nan"), float("nan"))
