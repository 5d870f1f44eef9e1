"""New views of a scene brought into line with what is known of them: depth by scale and shift, then without seams."""

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.views import ViewSet
from recon.rendering.warp import Warped

#: Pixels of overlap from which a view's own depth is fitted; with fewer it takes the scale of all views together.
_OVERLAP = 200
#: Rounds of the robust fit, and the residual of log-depth at which a pixel counts half.
_ROUNDS, _SOFT = 8, 0.05
#: Pixels that bind a view's fit to that of all views, and largest exponent of depth.
_PRIOR, _BENT = 100.0, 1.25
#: Largest correction of log-depth and of color that is carried into what is new.
_MOST_DEPTH, _MOST_COLOR = 0.2, 0.15
_LEAST_DEPTH = 1e-3


def settled(new: ViewSet, warp: Warped) -> tuple[ViewSet, Float[Tensor, "n"]]:
    """New views [n v] in line with what is known of them, and the median residual of log-depth before seams go.

    Depth is fitted by :func:`align`; what remains at the border of the known pixels is carried smoothly into the new
    ones, for depth and colors; then the known pixels are put back.
    """
    aligned, residual = align(new, warp)
    return first_writer(without_seams(aligned, warp), warp), residual


def align(new: ViewSet, warp: Warped) -> tuple[ViewSet, Float[Tensor, "n"]]:
    """Fit the depths of new views [n v] to those warped into them; also the median residual of log-depth.

    One scale for all views of a hypothesis, then for each view a scale and an exponent, by iteratively reweighted least
    squares on log-depth. A hypothesis with next to no overlap stays as it is, with a residual of 0.
    """
    assert new.depth is not None
    overlap = (warp.valid > 0.5) & (warp.depth > 0) & (new.depth > 0)
    depth, residual = new.depth.clone(), new.depth.new_zeros(len(new))
    for k in range(len(new)):
        if int(overlap[k].sum()) < _OVERLAP:
            continue
        shared = float((warp.depth[k][overlap[k]] / new.depth[k][overlap[k]]).log().median())
        depth[k] *= math.exp(shared)
        for view in range(new.num_views):
            own = overlap[k, view]
            if int(own.sum()) >= _OVERLAP:
                depth[k, view] = _fitted(depth[k, view], warp.depth[k, view], own)
        residual[k] = (warp.depth[k][overlap[k]] / depth[k][overlap[k]]).log().abs().median()
    return replace(new, depth=depth), residual


def _fitted(depth: Float[Tensor, "1 h w"], known: Float[Tensor, "1 h w"], own: Bool[Tensor, "1 h w"]) -> Tensor:
    """Depth times a constant, to a power near 1, nearest to what is known at the pixels ``own``."""
    x, y = depth[own].log(), (known[own] / depth[own]).log()
    center = x.median()
    design = torch.stack([torch.ones_like(x), x - center], -1).double()
    prior = torch.diag(design.new_tensor([_PRIOR, _PRIOR * float((x - center).square().mean().clamp_min(1e-4))]))
    answer = design.new_zeros(2)
    for _ in range(_ROUNDS):
        weight = 1 / (1 + ((y - design @ answer) / _SOFT) ** 2)  # Cauchy's
        weighted = (design * weight[:, None]).T
        answer = torch.linalg.solve(weighted @ design + prior, weighted @ y.double())
    power = float(answer[1].clamp(1 / _BENT - 1, _BENT - 1))
    log = depth.clamp_min(_LEAST_DEPTH).log()
    return torch.where(depth > 0, (log + float(answer[0]) + power * (log - center)).exp(), 0.0)


def without_seams(new: ViewSet, warp: Warped) -> ViewSet:
    """New views whose depth and colors meet the known ones: differences are carried on by push and pull.

    The correction fades with the distance from what is known (Gortler et al. 1996 for the pyramid).
    """
    assert new.depth is not None
    known = warp.valid > 0.5
    surface = known & (warp.depth > 0) & (new.depth > 0)
    ratio = (warp.depth.clamp_min(_LEAST_DEPTH) / new.depth.clamp_min(_LEAST_DEPTH)).log()
    near = surface & (ratio.abs() < 2 * _MOST_DEPTH)  # beyond that it is another surface
    change = _carried(torch.where(near, ratio, 0.0), near).clamp(-_MOST_DEPTH, _MOST_DEPTH)
    tint = _carried(warp.rgb - new.rgb, known).clamp(-_MOST_COLOR, _MOST_COLOR)
    return replace(new, depth=new.depth * change.exp(), rgb=(new.rgb + tint).clamp(0, 1))


def _carried(values: Float[Tensor, "n v c h w"], known: Bool[Tensor, "n v 1 h w"]) -> Float[Tensor, "n v c h w"]:
    """Smooth values everywhere that fade to zero far from the known ones."""
    levels = [(known.float().flatten(0, 1), (values * known).flatten(0, 1))]
    while min(levels[-1][0].shape[-2:]) > 1:
        weight, total = (torch.nn.functional.avg_pool2d(each, 2, ceil_mode=True) for each in levels[-1])
        levels.append((weight, total))
    found = torch.zeros_like(levels[-1][1])
    for weight, total in reversed(levels):
        size = weight.shape[-2:]
        beyond = torch.nn.functional.interpolate(found, size, mode="bilinear", align_corners=False)
        found = total + (1 - weight) * beyond
    return found.unflatten(0, values.shape[:2])


def first_writer(new: ViewSet, warp: Warped) -> ViewSet:
    """New views with what was known before put back."""
    assert new.depth is not None
    known = warp.valid > 0.5
    return replace(
        new,
        rgb=torch.where(known, warp.rgb, new.rgb),
        alpha=torch.where(known, (warp.depth > 0).to(new.alpha), new.alpha),
        depth=torch.where(known, warp.depth, new.depth),
    )
