"""Views of a scene that are known already, as conditions for further ones."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.rendering.warp import forward_warp

#: Known views that stand beside the photo when further ones are sampled, and trust in the photo and in sampled views.
MEMORY = 3
PHOTO_TRUST, SAMPLED_TRUST = 1.0, 0.5


def trust_of(places: Sequence[int]) -> Float[Tensor, "m"]:
    """Trust in views by their place in the set, of which the photo is 0."""
    return torch.tensor([PHOTO_TRUST if k == 0 else SAMPLED_TRUST for k in places])


def covering(views: ViewSet, targets: Cameras, candidates: Sequence[int], count: int) -> list[int]:
    """Greedy choice of the ``candidates`` among views [n m] that show most of the targets' pixels (set cover).

    Depths are those of the first hypothesis, so that the choice does not depend on how many there are.
    """
    first, asked = views[0], targets.reshape(1, -1)
    shown = {k: forward_warp(first.select_views([k]), asked).valid[0, :, 0] > 0.5 for k in candidates}
    chosen: list[int] = []
    covered = torch.zeros(targets.shape[0], targets.height, targets.width, dtype=torch.bool)
    while len(chosen) < count and len(chosen) < len(shown):
        gains = {k: int((cell & ~covered).sum()) for k, cell in shown.items() if k not in chosen}
        best = max(gains, key=gains.__getitem__)
        if gains[best] == 0:
            break
        chosen.append(best)
        covered |= shown[best]
    return sorted(chosen)


def joined(*parts: ViewSet) -> ViewSet:
    """Views of the same hypotheses, one set after the other; all with normals and depth."""
    names = ("rgb", "alpha", "normal", "depth")
    channels: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts], 1) for name in names}
    return ViewSet(cameras=Cameras.cat([part.cameras for part in parts], 1), **channels)
