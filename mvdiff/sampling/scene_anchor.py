"""A sampled sphere tied to its photo: sampled again around the photo's geometry, with the photo's pixels in place."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.sampling.schedulers import make_scheduler
from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.rendering.warp import Warped

#: Shift of the noise levels of views of which a part is known, as in training.
STATION_SHIFT = 3.0


def anchored(
    pipeline: Any,
    photo: Float[Tensor, "3 h w"],
    photo_cameras: Cameras,
    views: ViewSet,
    generators: Sequence[torch.Generator],
    steps: int,
    shift: float = STATION_SHIFT,
    guidance_scale: float = 1.0,
    **conditions: Any,
) -> ViewSet:
    """Sample the views around a photo again, given the geometry that was sampled with them.

    The first pass samples the photo's geometry and its surroundings jointly, which leaves the surroundings soft and
    off by a few degrees. The second pass is given that geometry and the photo turned into every view (a cascade); then
    the photo's colors are put in place.

    Args:
        pipeline: :class:`mvdiff.pipelines.scene_diffusion.SceneDiffusionPipeline`.
        photo: sRGB in [0, 1].
        photo_cameras: [1] or [n].
        views: First pass [n 1+v]: the photo with its geometry, then views from the same place.
        generators: One for each hypothesis.
        steps: Denoising steps.
        shift: Shift of the noise levels.
        guidance_scale: Scale of classifier-free guidance; 1 is none.
        conditions: Further arguments of the pipeline, such as known views.

    Returns:
        The photo as it was and its surroundings, [n 1+v], on the CPU.
    """
    own = views.to("cpu").select_views([0])
    targets = views.cameras.to("cpu")[:, 1:]
    warp = turned(own, targets)
    again = pipeline(
        photo,
        photo_cameras,
        targets,
        num_hypotheses=len(own),
        photo_geometry=own,
        warp=warp,
        num_inference_steps=steps,
        scheduler=make_scheduler("unipc", shift),
        guidance_scale=guidance_scale,
        generator=generators,
        **conditions,
    ).views.to("cpu")
    known = torch.cat([torch.zeros_like(own.alpha), warp.valid], 1) > 0.5
    shown = torch.cat([own.rgb, warp.rgb], 1)
    return replace(again, rgb=torch.where(known, shown, again.rgb))


def turned(view: ViewSet, targets: Cameras) -> Warped:
    """A view [n 1] with depth as cameras [n v] see it that stand at the same place and differ in direction and lens.

    Without parallax nothing hides anything: colors are resampled (bilinearly) through the homography of the infinite
    plane, and depth keeps its distance along each ray.
    """
    assert view.depth is not None
    n, v = targets.shape
    h, w = targets.height, targets.width
    camera = view.cameras[:, 0]
    _, rays = targets.rays()  # [n v p 3]
    local = rays.flatten(1, 2) @ (camera.c2w[:, :3, :3] @ camera.intrinsics.mT)
    pixels = local[..., :2] / local[..., 2:].clamp_min(1e-6)
    size = pixels.new_tensor([camera.width, camera.height])
    inside = (local[..., 2] > 1e-3) & ((pixels >= 0) & (pixels < size)).all(-1)
    where = (pixels / size * 2 - 1)[:, None]  # [n 1 v*p 2]
    rgb = torch.nn.functional.grid_sample(view.rgb[:, 0], where, padding_mode="border", align_corners=False)
    surface = torch.where(view.alpha[:, 0] > 0.5, view.depth[:, 0], 0.0)
    depth = torch.nn.functional.grid_sample(surface, where, "nearest", "border", align_corners=False)
    forward = (rays * targets.c2w[..., None, :3, 2]).sum(-1).flatten(1)  # z-depth of a unit of distance
    own_forward = (rays.flatten(1, 2) * camera.c2w[:, None, :3, 2]).sum(-1)
    depth = depth[:, 0, 0] / own_forward.clamp_min(1e-6) * forward

    def shaped(values: Float[Tensor, "n c q"]) -> Float[Tensor, "n v c h w"]:
        return (values * inside[:, None]).reshape(n, -1, v, h, w).transpose(1, 2)

    valid = inside.float()[:, None]
    return Warped(shaped(rgb[:, :, 0]), shaped(depth[:, None]), shaped(valid), shaped(valid))
