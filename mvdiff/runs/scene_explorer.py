"""The explorer's page of a run: its scenes, the photo, and where the hypotheses differ."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.runs.scene_result import SceneResult
from recon.core.mesh import TexturedMesh
from recon.ops.panorama import equirect_places, from_views
from recon.report.explorer import SceneView, write_explorer
from recon.scenes.files.video import look_around
from recon.scenes.scene import Scene

_ROWS = 128
_TOUR = 24


def spread_panorama(result: SceneResult) -> Float[Tensor, "1 h w"] | None:
    """Standard deviation of log-depth over hypotheses by direction from the photo's place; None for one hypothesis."""
    if len(result) < 2:
        return None
    sphere = result.views.select_views(slice(1, None))  # all hypotheses share these cameras
    spread = result.posterior.log_depth[:, 1:].std(0)
    return from_views(spread[:, None], sphere.cameras[0], _ROWS)[0].clamp_min(0)


def vertex_spread(mesh: TexturedMesh, panorama: Float[Tensor, "1 h w"]) -> Float[Tensor, "k"]:
    """Values of a panorama in the directions of a mesh's vertices."""
    height, width = panorama.shape[1:]
    where = equirect_places(mesh.vertices, height, width) / panorama.new_tensor([width, height]) * 2 - 1
    sampled = torch.nn.functional.grid_sample(
        panorama[None], where[None, None], padding_mode="border", align_corners=False
    )
    return sampled[0, 0, 0]


def shown_in_explorer(scene: Scene, spread: Float[Tensor, "1 h w"] | None, weight: float) -> SceneView:
    """One hypothesis as the page takes it."""
    return SceneView.of(scene, None if spread is None else vertex_spread(scene.mesh, spread), weight)


def write_scene_explorer(path: Path, result: SceneResult, shown: Sequence[SceneView]) -> Path:
    """Write the page with all hypotheses; lengths are those of the median scale."""
    first = result.samples[0]
    return write_explorer(
        path,
        shown,
        photo=result.photo.rgb,
        start=first.views.cameras[0, :1],
        camera_path=look_around(_TOUR),
        metres=median(sample.metres for sample in result.samples),
        uncertainty_label="spread of the hypotheses" if len(result) > 1 else "disagreement of the views",
    )
