"""The scene network as a sampler of a case: sphere first, then path views and further stations from what is there."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.evaluation.protocols.scene_case import SceneCase
from mvdiff.evaluation.protocols.scene_config import SceneSampling
from mvdiff.sampling.candidates import hypothesis_seed
from mvdiff.sampling.scene_alignment import settled
from mvdiff.sampling.scene_anchor import anchored
from mvdiff.sampling.scene_memory import MEMORY, covering, joined, trust_of
from mvdiff.sampling.schedulers import make_scheduler
from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.rendering.warp import Warped
from recon.scenes.surface_warp import surface_warp


@dataclass(frozen=True)
class SceneModel:
    """Samples each place's sphere jointly, then its path views in groups, each from a warp of all that is known.

    Hypothesis k of a seed is the same for any number of hypotheses. Views of role ``revisit`` are sampled from those of
    further stations alone: neither the photo nor its sphere is shown to the network. Views are brought into line with
    what is known as they are when a scene is generated.
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
        return joined(*(made[k] for k in range(case.truth.num_views)))

    def _group(
        self, case: SceneCase, own: Sequence[int], made: dict[int, ViewSet], generators: list[torch.Generator]
    ) -> ViewSet:
        """The photo and the views ``own`` of all hypotheses."""
        s = self.settings
        targets = case.cameras[list(own)]
        if not made:
            joint = self._sampled(case.photo, case.cameras[:1], targets, generators, s.shift, s.num_inference_steps)
            steps, shift, scale = s.station_steps, s.station_shift, s.guidance_scale
            return anchored(self.pipeline, case.photo, case.cameras[:1], joint, generators, steps, shift, scale)
        shift, steps = s.station_shift, s.station_steps
        elsewhere = [k for k in made if case.stations[k] > 0]
        if case.roles[own[0]] != "revisit" or not elsewhere:
            known = self._known(made, list(made), 0, targets)
            return self._sampled(case.photo, case.cameras[:1], targets, generators, shift, steps, **known)
        # In the photo's place stands, for each hypothesis, its own view that shows most of what is asked for.
        first = covering(joined(*(made[k] for k in elsewhere)), targets, range(len(elsewhere)), 1) or [0]
        known = self._known(made, elsewhere, elsewhere[first[0]], targets)
        parts = []
        for k, generator in enumerate(generators):
            mine = {name: _only(value, k) for name, value in known.items()}
            front = mine["photo_geometry"]
            assert isinstance(front, ViewSet)
            photo, cameras = front.rgb[0, 0], front.cameras[0]
            parts.append(self._sampled(photo, cameras, targets, [generator], shift, steps, **mine))
        return ViewSet.cat(parts)

    def _sampled(
        self,
        photo: Float[Tensor, "3 h w"],
        photo_cameras: Cameras,
        targets: Cameras,
        generators: list[torch.Generator],
        shift: float,
        steps: int,
        **known: Any,
    ) -> ViewSet:
        self.pipeline.scheduler = make_scheduler("unipc", shift)
        views = self.pipeline(
            photo,
            photo_cameras,
            targets,
            num_hypotheses=len(generators),
            num_inference_steps=steps,
            guidance_scale=self.settings.guidance_scale,
            generator=generators,
            **known,
        ).views.to("cpu")
        warp = known.get("warp")
        if warp is None:
            return views
        return joined(views.select_views([0]), settled(views.select_views(slice(1, None)), warp)[0])

    def _known(self, made: dict[int, ViewSet], usable: list[int], first: int, targets: Cameras) -> dict[str, Any]:
        """Arguments of the pipeline: warp of the ``usable`` views, memory, and the geometry of the ``first``."""
        every = joined(*(made[k] for k in usable))
        trust = trust_of(usable).expand(len(every), -1)
        warp = surface_warp(every, targets.reshape(1, -1).expand(len(every), -1), trust)
        chosen = covering(every, targets, [place for place, k in enumerate(usable) if k != first], MEMORY)
        memory = every.select_views(chosen) if chosen else None
        return {"photo_geometry": made[first], "known_views": memory, "warp": warp}


def _only(value: ViewSet | Warped | None, k: int) -> ViewSet | Warped | None:
    """Hypothesis ``k`` of what is known."""
    if value is None or isinstance(value, ViewSet):
        return None if value is None else value[k]
    return Warped(*(getattr(value, field.name)[k : k + 1] for field in fields(value)))


def groups(case: SceneCase, size: int) -> list[list[int]]:
    """Views in the order in which they are sampled: by station, spheres first, at most ``size`` together."""
    found = []
    for station in sorted(set(case.stations)):
        for role in ("sphere", "path", "revisit"):
            own = [k for k, s in enumerate(case.stations) if s == station and case.roles[k] == role]
            found += [own[start : start + size] for start in range(0, len(own), size)]
    return found
