"""Scenes with an attribute that the photo cannot show and whose shares are known: is it sampled as often as it is?"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.evaluation.protocols.scene_case import Hidden, SceneCase, log_depth
from recon.core.views import ViewSet
from recon.metrics.probabilistic import total_variation

#: Difference of log-depth above which a ray discriminates between alternatives.
_TELLING = 0.1


def hidden_entry(case: SceneCase, sampled: ViewSet) -> dict[str, Any]:
    """Values of the case's hidden attribute in the hypotheses, with its shares; nothing where its views show none."""
    own = case.hidden
    if own is None or not bool(telling_rays(case, own).any()):
        return {}
    values = classified(case, own, sampled)
    return {"hidden": {"name": own.name, "true": own.value, "shares": dict(own.shares), "sampled": values}}


def telling_rays(case: SceneCase, hidden: Hidden) -> Bool[Tensor, "v h w"]:
    """Rays that the photo does not see and along which the attribute's values differ in log-depth or color."""
    depth = torch.stack([log_depth(views, case.unit)[0] for views in hidden.views.values()])
    color = torch.stack([views.rgb[0] for views in hidden.views.values()])
    apart = (depth.amax(0) - depth.amin(0) > _TELLING) | ((color.amax(0) - color.amin(0)).amax(1) > _TELLING)
    return apart & case.hidden_from_photo


def classified(case: SceneCase, hidden: Hidden, sampled: ViewSet) -> list[str]:
    """The attribute's value in each hypothesis: that of the views that are nearest along telling rays."""
    telling, values = telling_rays(case, hidden), list(hidden.views)

    def rays(views: ViewSet) -> Float[Tensor, "n r 4"]:
        return torch.cat([log_depth(views, case.unit)[:, :, None], views.rgb], 2).movedim(2, -1)[:, telling]

    known = torch.cat([rays(hidden.views[value]) for value in values])
    apart = (rays(sampled)[:, None] - known[None]).abs().mean(2)  # [n values 4]
    nearest = (apart[..., 0] + apart[..., 1:].mean(-1)).argmin(1)
    return [values[k] for k in nearest.tolist()]


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
