"""Baselines without a sampled posterior, for the same table."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.reference import ReferenceImage
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet


def baseline_meshes(
    model: ImageTo3D, reference: ReferenceImage, views: ViewSet, config: GenerationConfig, rig_views: slice
) -> dict[str, TexturedMesh]:
    """``mean_of_views``: one object from the mean of the sampled views; ``one_step``: from the model's prediction
    out of pure noise, which is nearly its conditional mean."""
    single, _ = model.sample(reference, replace(config, num_hypotheses=1, num_inference_steps=1, candidates=1))
    mean = mean_views(views.select_views(rig_views))
    return {"mean_of_views": model.reconstruct(mean)[0].mesh, "one_step": model.reconstruct(single)[0].mesh}


def mean_views(views: ViewSet) -> ViewSet:
    """Pixel by pixel over the hypotheses [1 v]; the cameras are those of the first."""
    alpha = views.alpha.mean(0, keepdim=True)

    def seen(values: Float[Tensor, "n v c h w"]) -> Float[Tensor, "1 v c h w"]:
        return (values * views.alpha).mean(0, keepdim=True) / alpha.clamp_min(1e-4)

    normal = None if views.normal is None else torch.nn.functional.normalize(seen(views.normal), dim=2)
    return ViewSet(
        rgb=seen(views.rgb),
        alpha=alpha,
        cameras=views.cameras[:1],
        normal=normal,
        depth=None if views.depth is None else seen(views.depth),
    )
