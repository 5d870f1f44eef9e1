"""Scenes with an attribute that the photo cannot show and whose shares are known: is it sampled as often as it is?"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mvdiff.evaluation.protocols.scene_case import SceneCase, log_depth
from recon.core.views import ViewSet
from recon.metrics.probabilistic import total_variation

#: Log-depth by which alternatives differ along a ray that tells them apart.
_TELLING = 0.1


def hidden_entry(case: SceneCase, sampled: ViewSet) -> dict[str, Any]:
    """Values of the case's hidden attribute in the hypotheses, with its shares; nothing where it has none."""
    if case.hidden is None:
        return {}
    own = case.hidden
    found = {"name": own.name, "true": own.value, "shares": dict(own.shares), "sampled": classified(case, sampled)}
    return {"hidden": found}


def classified(case: SceneCase, sampled: ViewSet) -> list[str]:
    """The attribute's value in each hypothesis: that of the alternative whose views are nearest.

    Only rays along which the alternatives differ count, by log-depth and color.
    """
    assert case.hidden is not None
    names = list(case.hidden.views)
    depth = torch.stack([log_depth(case.hidden.views[name], case.unit)[0] for name in names])
    color = torch.stack([case.hidden.views[name].rgb[0] for name in names])
    telling = (depth.amax(0) - depth.amin(0)) > _TELLING
    telling = (telling | ((color.amax(0) - color.amin(0)).amax(1) > _TELLING)) & ~case.seen
    if not bool(telling.any()):
        raise ValueError(f"The cameras of '{case.name}' do not show its hidden attribute.")
    own = log_depth(sampled, case.unit)[:, telling]
    colors, own_colors = color.movedim(2, -1)[:, telling], sampled.rgb.movedim(2, -1)[:, telling]
    apart = (own[:, None] - depth[None, :, telling]).abs().mean(-1)
    apart = apart + (own_colors[:, None] - colors[None]).abs().mean((-1, -2))
    return [names[k] for k in apart.argmin(1).tolist()]


def hidden_scores(entries: Sequence[Mapping[str, Any]], draws: int = 200) -> dict[str, Any]:
    """Total variation between the sampled values of each hidden attribute, pooled over its scenes, and their shares;
    ``_by_chance`` is what a perfect sampler scores with as many samples."""
    found: dict[str, Any] = {}
    known = [entry["hidden"] for entry in entries if entry.get("hidden")]
    for name in sorted({each["name"] for each in known}):
        own = [each for each in known if each["name"] == name]
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
