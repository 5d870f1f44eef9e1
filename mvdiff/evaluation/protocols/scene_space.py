"""Protocol S1, space: what the fused hypotheses say is free or occupied, and intervals of depth, against the truth."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.evaluation.protocols.scene_case import LEAST_PIXELS, SceneCase
from recon.core.views import ViewSet
from recon.metrics.probabilistic import brier_score, expected_calibration_error
from recon.posterior.scene_calibration import SceneCalibration
from recon.posterior.scene_posterior import ScenePosterior
from recon.scenes.fuse import fuse_scene
from recon.scenes.grid import SceneGrid

#: Cells of the box that is scored, and its reach from the photo's camera in median depths.
CELLS, REACH = 60_000, 3.0
#: Probability from which space is called free.
SURE = 0.95


def scene_grid(case: SceneCase) -> SceneGrid:
    """A box around what the true views show."""
    points = case.cameras.unproject(case.depth)[case.surface]
    return SceneGrid.fit(points, CELLS, REACH * case.unit)


def posterior_of(case: SceneCase, sampled: ViewSet, calibration: SceneCalibration | None) -> ScenePosterior:
    n = len(sampled)
    return ScenePosterior(
        sampled, fuse_scene(sampled, scene_grid(case)), torch.full((n,), 1 / n), case.unit, calibration
    )


def space_scores(case: SceneCase, sampled: ViewSet, calibration: SceneCalibration | None = None) -> dict[str, Any]:
    """Scores over the cells that the true views know; nothing where views have no normals or no depth was measured.

    ``free_right``: share of the cells called free at .95 that are; ``free_called``: share of free cells called so.
    ``brier`` and ``ece`` judge the probability of free space, where what a hypothesis leaves unknown counts half;
    ``brier_one`` is that of single hypotheses.
    """
    if sampled.normal is None or case.truth.normal is None or not bool(case.surface.any()):
        return {}
    posterior = posterior_of(case, sampled, calibration)
    truth = fuse_scene(case.truth, posterior.field.grid)
    known, free = ~truth.unknown[0], truth.free[0]
    p = posterior.probabilities
    stated = (p.free + 0.5 * p.unknown)[known]
    sure = known & (p.free >= SURE)
    field = posterior.field
    single = [(own + 0.5 * left)[known] for own, left in zip(field.free.float(), field.unknown.float(), strict=True)]
    found: dict[str, Any] = {
        "brier": brier_score(stated, free[known]),
        "brier_one": sum(brier_score(one, free[known]) for one in single) / len(single),
        "ece": expected_calibration_error(stated, free[known]),
        "free_called": float((sure & free).sum() / (known & free).sum().clamp_min(1)),
        "free_right": float(free[sure].float().mean()) if bool(sure.any()) else None,
    }
    return found | interval_scores(case, posterior)


def interval_scores(case: SceneCase, posterior: ScenePosterior) -> dict[str, Any]:
    """Coverage and width in log-depth of the stated intervals, over rays that the photo truly sees and others.

    Sky counts as covered where the interval reaches the depth at which sky stands.
    """
    if posterior.calibration is None:
        return {}
    truth = ScenePosterior(case.truth, posterior.field[0], torch.ones(1), case.unit).log_depth[0]
    found: dict[str, Any] = {}
    for level in (50, 90):
        low, high = (bound.div(case.unit).log() for bound in posterior.depth_interval(level / 100))
        inside = (low <= truth + 1e-6) & (truth <= high + 1e-6)
        for part, mask in (("seen", case.seen), ("unseen", case.hidden_from_photo)):
            found |= _shares(f"{level}_{part}", inside, high - low, mask)
    return found


def _shares(
    name: str, inside: Bool[Tensor, "v h w"], width: Float[Tensor, "v h w"], mask: Bool[Tensor, "v h w"]
) -> dict[str, float]:
    if int(mask.sum()) < LEAST_PIXELS:
        return {}
    return {f"coverage_{name}": float(inside[mask].float().mean()), f"width_{name}": float(width[mask].mean())}
