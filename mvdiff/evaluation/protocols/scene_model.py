"""The scene network as a sampler of a case: sphere first, then path views and further stations from what is there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mvdiff.evaluation.protocols.scene_case import SceneCase
from mvdiff.evaluation.protocols.scene_config import SceneSampling
from mvdiff.sampling.candidates import hypothesis_seed
from mvdiff.sampling.schedulers import make_scheduler
from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.rendering.warp import forward_warp

#: Known views that stand beside the photo when further ones are sampled, and trust in the photo and in sampled views.
MEMORY = 3
_PHOTO_TRUST, _SAMPLED_TRUST = 1.0, 0.5


@dataclass(frozen=True)
class SceneModel:
    """Samples each place's sphere jointly, then its path views in groups, each from a warp of all that is known.

    Hypothesis k of a seed is the same for any number of hypotheses. Views of role ``revisit`` are sampled from further
    stations alone: neither the photo's own pixels nor its sphere are read.
    """

    pipeline: Any
    """:class:`mvdiff.pipelines.scene_diffusion.SceneDiffusionPipeline`"""
    settings: SceneSampling = field(default_factory=SceneSampling)
    group: int = 8
    """Views that are sampled together."""

    def __call__(self, case: SceneCase, num_hypotheses: int, seed: int) -> ViewSet:
        made: dict[int, ViewSet] = {}
        for turn, own in enumerate(groups(case, self.group)):
            generators = [
                torch.Generator().manual_seed(hypothesis_seed(hypothesis_seed(seed, k), turn))
                for k in range(num_hypotheses)
            ]
            views = self._group(case, own, made, generators).to("cpu")
            if turn == 0:
                made[0] = views.select_views([0])
            made |= {k: views.select_views([place]) for place, k in enumerate(own, 1)}
        return _joined([made[k] for k in range(case.truth.num_views)])

    def _group(
        self, case: SceneCase, own: Sequence[int], made: dict[int, ViewSet], generators: list[torch.Generator]
    ) -> ViewSet:
        first, s = not made, self.settings
        shift, steps = (s.shift, s.num_inference_steps) if first else (s.station_shift, s.station_steps)
        self.pipeline.scheduler = make_scheduler("unipc", shift)
        targets = case.cameras[list(own)]
        return self.pipeline(
            case.photo,
            case.cameras[:1],
            targets,
            num_hypotheses=len(generators),
            num_inference_steps=steps,
            guidance_scale=s.guidance_scale,
            generator=generators,
            **({} if first else self._known(case, own, targets, made)),
        ).views

    def _known(self, case: SceneCase, own: Sequence[int], targets: Cameras, made: dict[int, ViewSet]) -> dict[str, Any]:
        """Arguments of the pipeline: warp, memory and the photo's geometry."""
        again = case.roles[own[0]] == "revisit"
        usable = [k for k in made if not again or case.stations[k] > 0]
        if not usable:
            return {"photo_geometry": made[0]}
        trust = torch.tensor([_PHOTO_TRUST if k == 0 else _SAMPLED_TRUST for k in usable])
        every = _joined([made[k] for k in usable])
        warp = forward_warp(every, targets.reshape(1, -1).expand(len(every), len(own)), trust.expand(len(every), -1))
        chosen = covering(every, targets, [place for place, k in enumerate(usable) if k != 0], MEMORY)
        memory = every.select_views(chosen) if chosen else None
        return {"photo_geometry": made[0], "known_views": memory, "warp": warp}


def groups(case: SceneCase, size: int) -> list[list[int]]:
    """Views in the order in which they are sampled: by station, spheres first, at most ``size`` together."""
    found = []
    for station in sorted(set(case.stations)):
        for role in ("sphere", "path", "revisit"):
            own = [k for k, s in enumerate(case.stations) if s == station and case.roles[k] == role]
            found += [own[start : start + size] for start in range(0, len(own), size)]
    return found


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


def _joined(parts: Sequence[ViewSet]) -> ViewSet:
    """Views of the same hypotheses, one set after the other."""
    channels = {
        name: torch.cat([getattr(part, name) for part in parts], 1) for name in ("rgb", "alpha", "normal", "depth")
    }
    return ViewSet(cameras=Cameras.cat([part.cameras for part in parts], 1), **channels)
