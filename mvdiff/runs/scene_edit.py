"""A sampled view of a scene that was painted over, and the scene that follows from it."""

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from mvdiff.runs.scene_result import SceneResult, SceneSample
from mvdiff.sampling.scene_alignment import settled
from mvdiff.sampling.scene_memory import SAMPLED_TRUST, joined
from mvdiff.sampling.scene_rig import SPHERE_VIEWS
from mvdiff.sampling.scene_settings import SceneGenerationConfig
from mvdiff.sampling.schedulers import make_scheduler
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.io.images.files import load_image
from recon.ops.windows import max_pool_window
from recon.rendering.warp import DEPTH_TEST, Warped

#: Difference of color from which a pixel was painted over.
_PAINTED = 0.06
_SHIFT = 3.0


@dataclass(frozen=True)
class EditedSceneView:
    """New colors of one view of the sphere of one hypothesis."""

    rgb: Float[Tensor, "3 h w"]
    painted: Bool[Tensor, "h w"]
    hypothesis: int
    view: int

    @staticmethod
    def load(path: Path, folder: Path, result: SceneResult) -> "EditedSceneView":
        """Read a painted copy of ``hypotheses/NNN/images/VVV.png``; the place and the number say which view it is.

        Raises:
            InputError: It is none of the sphere's views, or nothing was painted.
        """
        found = re.fullmatch(r"hypotheses/(\d{1,9})/images/(\d{1,9})[^/]*", _below(path, folder))
        if found is None:
            raise InputError(f"'{path}' names no sampled view: paint over OUT/hypotheses/NNN/images/VVV.png, and leave "
                             "it there.")  # fmt: skip
        hypothesis, view = int(found[1]), int(found[2])
        if hypothesis >= len(result) or not 1 <= view <= SPHERE_VIEWS:
            raise InputError(
                f"'{path}' is view {view} of hypothesis {hypothesis}: paint over one of the views 1 to {SPHERE_VIEWS} "
                f"around the photo, of hypotheses 0 to {len(result) - 1}."
            )
        own = result.samples[hypothesis].views.rgb[0, view]
        picture = load_image(path, alpha="straight").resize((own.shape[2], own.shape[1]), Image.Resampling.BOX)
        rgb = torch.from_numpy(np.asarray(picture, np.float32)[..., :3].copy()).permute(2, 0, 1) / 255
        painted = (rgb - own).abs().amax(0) > _PAINTED
        if not bool(painted.any()):
            raise InputError("The edited view is as it was sampled: paint over it first.")
        return EditedSceneView(torch.where(painted, rgb, own), painted, hypothesis, view)

    def picture(self) -> Image.Image:
        return Image.fromarray((self.rgb * 255).round().byte().permute(1, 2, 0).numpy())

    def record(self) -> dict[str, Any]:
        digest = hashlib.sha256(self.picture().tobytes()).hexdigest()
        return {"kind": "edited view", "sha256": digest, "hypothesis": self.hypothesis, "view": self.view}

    def sampled(
        self, pipeline: Any, result: SceneResult, config: SceneGenerationConfig, generator: torch.Generator
    ) -> SceneSample:
        """One way in which the scene may follow the painted view.

        All that the paint does not cover, in any view, stays. The painted colors are given and their geometry is
        sampled together with what other views show of the same places. Stations are left out.
        """
        sample = result.samples[self.hypothesis].with_stations(0)
        views, size = sample.views, pipeline.transformer.config.sample_size
        gone = painted_surfaces(views, self.view, self.painted)
        others = [k for k in range(1, views.num_views) if k != self.view]
        kept = views.select_views(others)
        own = replace(views.select_views([self.view]), rgb=self.rgb[None, None])
        made = pipeline(
            views.rgb[0, 0],
            sample.camera.cameras(size),
            kept.cameras[0],
            num_hypotheses=1,
            photo_geometry=views.select_views([0]),
            more_photos=own,
            warp=_warp(kept, gone[others]),
            num_inference_steps=config.num_inference_steps,
            guidance_scale=config.guidance_scale,
            scheduler=make_scheduler("unipc", _SHIFT),
            generator=[generator],
        ).views.to("cpu")
        around = settled(made.select_views(slice(2, None)), _warp(kept, gone[others]))[0]
        painted = settled(made.select_views([1]), _warp(own, gone[[self.view]]))[0]
        painted = replace(painted, rgb=own.rgb)  # the user's own colors
        parts = {k: around.select_views([place]) for place, k in enumerate(others)}
        parts |= {0: views.select_views([0]), self.view: painted}
        return replace(sample, views=joined(*(parts[k] for k in range(views.num_views))).rounded())


def painted_surfaces(views: ViewSet, view: int, painted: Bool[Tensor, "h w"]) -> Bool[Tensor, "v h w"]:
    """Pixels of all views [1 v] that show a place which is painted over in one of them; not those of the photo."""
    assert views.depth is not None
    depth, cameras = views.depth[0, :, 0], views.cameras[0]
    paint = max_pool_window(painted.float()[None])[0] > 0.5
    shown = depth > 0
    points = cameras.unproject(torch.where(shown, depth, 1.0)).reshape(1, -1, 3)
    _, directions = cameras.rays()
    points = torch.where(shown.reshape(1, -1, 1), points, cameras[view].position + 1e4 * directions.reshape(1, -1, 3))
    pixels, z = (value[0] for value in cameras[view : view + 1].project(points))
    height, width = paint.shape
    column, row = pixels.floor().long().unbind(-1)
    inside = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    there = depth[view].flatten()[place]
    same = torch.where(there > 0, (there - z).abs() < DEPTH_TEST * z, z > 1e3)
    gone = (inside & same & paint.flatten()[place]).reshape(depth.shape)
    gone[view] = painted
    gone[0] = False
    return gone


def _warp(views: ViewSet, gone: Bool[Tensor, "v h w"]) -> Warped:
    """The unpainted pixels of views, as a warp of the views into themselves."""
    valid = (~gone)[None, :, None].float()
    assert views.depth is not None
    return Warped(views.rgb * valid, views.depth * valid, valid, SAMPLED_TRUST * valid)


def _below(path: Path, folder: Path) -> str:
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return ""
