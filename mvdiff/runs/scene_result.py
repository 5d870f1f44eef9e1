"""Hypotheses of one photo's scene."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.sampling.candidates import hypothesis_seed
from mvdiff.sampling.scene_calibrations import SceneStatement
from mvdiff.sampling.scene_camera import SceneCamera
from mvdiff.sampling.scene_memory import trust_of
from mvdiff.sampling.scene_photo import ScenePhoto
from mvdiff.sampling.scene_rig import SPHERE_VIEWS
from mvdiff.sampling.scene_settings import SceneGenerationConfig, ScenePreset
from recon.core.views import ViewSet
from recon.posterior.scene_posterior import ScenePosterior
from recon.scenes import Scene, SceneConfig, build_scene, fuse_scene, scene_grid

#: Cells of the grids of each preset, and of the one on which hypotheses are compared.
_CELLS: dict[ScenePreset, int] = {"fast": 300_000, "default": 1_500_000}
_COMPARED_CELLS = 150_000
#: Heights above the floor in units that are believed.
_HEIGHTS = (0.1, 10.0)


@dataclass(frozen=True)
class SceneSample:
    """One hypothesis as it was sampled."""

    views: ViewSet
    """[1 v]: the photo, the sphere of eight views around it, further photos, then eight views of each station."""
    camera: SceneCamera
    notes: tuple[str, ...] = ()
    further_photos: int = 0

    @property
    def stations(self) -> int:
        """Number of further places whose views were sampled."""
        return (self.views.num_views - self._own) // SPHERE_VIEWS

    @property
    def _own(self) -> int:
        return 1 + SPHERE_VIEWS + self.further_photos

    def with_stations(self, count: int) -> "SceneSample":
        """The sample with its first ``count`` stations alone."""
        return replace(self, views=self.views.select_views(slice(0, self._own + SPHERE_VIEWS * count)))

    @property
    def trust(self) -> Float[Tensor, "v"]:
        """Trust in each view: photos before sampled views."""
        photos = {0, *range(1 + SPHERE_VIEWS, self._own)}
        return trust_of([0 if k in photos else k for k in range(self.views.num_views)])

    @property
    def metres(self) -> float:
        """Length of a scene unit in meters: the camera's height over the distance of the floor that looks down see."""
        return self.camera.height / floor_distance(self.views)

    def build(self, photo: Float[Tensor, "3 h w"], preset: ScenePreset = "default") -> Scene:
        """Fuse the views into a scene, textured with the photo where that sees."""
        return build_scene(self.views, photo, self.metres, scene_config(preset))


def floor_distance(views: ViewSet) -> float:
    """Distance in units from the photo's place down to the floor: the median of the middle of the view down."""
    assert views.depth is not None
    depth = views.depth[0, min(SPHERE_VIEWS, views.num_views - 1), 0]
    margin = depth.shape[-1] // 4
    middle = depth[margin:-margin, margin:-margin]
    found = float(middle[middle > 0].median()) if bool((middle > 0).any()) else 1.0
    return min(max(found, _HEIGHTS[0]), _HEIGHTS[1])


def scene_config(preset: ScenePreset) -> SceneConfig:
    """Settings of the geometry of a preset."""
    return replace(SceneConfig(), cells=_CELLS[preset], sky_height=256 if preset == "fast" else 512)


@dataclass(frozen=True)
class SceneResult:
    """All hypotheses of one photo."""

    photo: ScenePhoto
    config: SceneGenerationConfig
    samples: tuple[SceneSample, ...]
    notes: tuple[str, ...] = field(default=())
    statement: SceneStatement = field(default_factory=SceneStatement)
    """The calibration of the model."""
    weights: tuple[float, ...] | None = None
    """Weights of the hypotheses, which sum to one; None where all are alike."""

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def views(self) -> ViewSet:
        """The photo and its sphere in every hypothesis, [n 9]."""
        return ViewSet.cat([sample.views.select_views(slice(0, 1 + SPHERE_VIEWS)) for sample in self.samples])

    def scene(self, index: int) -> Scene:
        """Build the scene of one hypothesis; takes seconds."""
        return self.samples[index].build(self.photo.rgb, self.config.preset)

    @property
    def weight(self) -> Float[Tensor, "n"]:
        """Weights of the hypotheses, also where all are alike."""
        even = [1 / len(self)] * len(self)
        return torch.tensor(even if self.weights is None else list(self.weights))

    @cached_property
    def posterior(self) -> ScenePosterior:
        """The hypotheses compared on one coarse grid."""
        grid = scene_grid(self.views, SceneConfig(cells=_COMPARED_CELLS))
        depth = self.views.depth
        assert depth is not None, "scenes are sampled with depth"
        unit = float(depth[:, 0][depth[:, 0] > 0].median())
        field = fuse_scene(self.views, grid)
        return ScenePosterior(self.views, field, self.weight, unit, self.statement.calibration)

    def summary(self) -> dict[str, Any]:
        """Summary of all hypotheses, JSON-ready."""
        posterior = self.posterior
        modes = posterior.modes()
        return {
            "num_hypotheses": len(self),
            "hypotheses": [
                _record(sample, hypothesis_seed(self.config.seed, k)) | {"weight": round(float(self.weight[k]), 4)}
                for k, sample in enumerate(self.samples)
            ],
            "modes": [{"members": list(mode.members), "share": round(mode.mass, 4)} for mode in modes],
            "depth_spread": depth_spread(posterior),
            "calibration": self.statement.to_json(self.config),
            "warnings": list(dict.fromkeys([*self.notes, *self.photo.notes, *_sample_notes(self.samples)])),
        }


def depth_spread(posterior: ScenePosterior) -> dict[str, float | None]:
    """Standard deviation over hypotheses of log-depth, of rays that the photo sees and of others; None for one."""
    if len(posterior) < 2:
        return {"seen": None, "guessed": None}
    spread, seen = posterior.log_depth.std(0), posterior.seen
    parts = {"seen": spread[seen], "guessed": spread[~seen]}
    return {name: round(float(values.mean()), 4) if len(values) else None for name, values in parts.items()}


def _record(sample: SceneSample, seed: int) -> dict[str, Any]:
    camera = {name: round(value, 3) for name, value in sample.camera.to_dict().items()}
    return {"seed": seed, "camera": camera, "meters_per_unit": round(sample.metres, 4), "views": sample.views.num_views}


def _sample_notes(samples: tuple[SceneSample, ...]) -> list[str]:
    return [f"Hypothesis {k}: {note}" for k, sample in enumerate(samples) for note in sample.notes]
