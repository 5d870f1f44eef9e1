"""Scenes with an attribute that the photo cannot show and whose shares are known: is it sampled as often as it is?"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mvdiff.evaluation.protocols.scene_case import SceneCase, log_depth
from recon.metrics.probabilistic import total_variation
from recon.views import ViewSet

#: Log-depth by which alternatives differ along a ray that tells them apart.
_TELLING = 0.1
_COLOR_WEIGHT = 1.0


def classified(case: SceneCase, sampled: ViewSet, alternatives: Mapping[str, ViewSet]) -> list[str]:
    """The attribute's value in each hypothesis: that of the alternative whose views are nearest.

    ``alternatives`` are the scene's true views [1 v] with each value in turn. Only rays along which they differ count,
    by log-depth and color.
    """
    names = list(alternatives)
    depth = torch.stack([log_depth(alternatives[name], case.unit)[0] for name in names])
    telling = (depth.amax(0) - depth.amin(0)) > _TELLING
    color = torch.stack([alternatives[name].rgb[0] for name in names])
    telling = (telling | ((color.amax(0) - color.amin(0)).amax(1) > _TELLING)) & ~case.seen
    if not bool(telling.any()):
        raise ValueError(f"The cameras of '{case.name}' do not show its hidden attribute.")
    own = log_depth(sampled, case.unit)[:, telling]
    colors, own_colors = color.movedim(2, -1)[:, telling], sampled.rgb.movedim(2, -1)[:, telling]
    apart = (own[:, None] - depth[None, :, telling]).abs().mean(-1)
    apart = apart + _COLOR_WEIGHT * (own_colors[:, None] - colors[None]).abs().mean((-1, -2))
    return [names[k] for k in apart.argmin(1).tolist()]


def hidden_scores(entries: Sequence[Mapping[str, Any]], draws: int = 200) -> dict[str, Any]:
    """Total variation between the sampled values of each hidden attribute, pooled over its scenes, and their shares;
    ``_by_chance`` is what a perfect sampler scores with as many samples."""
    found: dict[str, Any] = {}
    named = {name for entry in entries for name in entry.get("hidden", {})}
    for name in sorted(named):
        own = [entry["hidden"][name] for entry in entries if name in entry.get("hidden", {})]
        counts = Counter(value for each in own for value in each["sampled"])
        expected = {
            value: float(np.mean([each["shares"].get(value, 0.0) for each in own]))
            for value in {v for each in own for v in each["shares"]}
        }
        found[f"tv_{name}"] = total_variation(counts, expected)
        found[f"tv_{name}_by_chance"] = _chance(expected, sum(counts.values()), draws)
    return found


def _chance(expected: Mapping[str, float], count: int, draws: int) -> float:
    rng = np.random.default_rng(0)
    names, shares = list(expected), np.array(list(expected.values()))
    rows = rng.multinomial(count, shares / shares.sum(), size=draws).tolist()
    return float(np.mean([total_variation(dict(zip(names, row, strict=True)), expected) for row in rows]))
