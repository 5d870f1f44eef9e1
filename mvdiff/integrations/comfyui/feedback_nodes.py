"""Nodes that act on a finished run: a judgment of its hypotheses, and the plan of the next photo."""

from typing import Any

from torch import Tensor

from mvdiff.integrations.comfyui.convert import picture_image
from mvdiff.integrations.comfyui.host import CATEGORY, new_folder, report, with_gradients
from mvdiff.integrations.comfyui.shape_nodes import PREFIX, InferPosterior, shown
from mvdiff.integrations.comfyui.sockets import RUN, Run
from mvdiff.runs.choices import numbers
from mvdiff.runs.folder import FolderStore
from mvdiff.runs.refine import feedback
from recon.core.errors import InputError
from recon.posterior.next_view import next_view
from recon.report.next_view_map import draw_next_view


class Feedback:
    """Keep some hypotheses, reject others, and sample more like those that were kept."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Weighs the hypotheses by your judgement and samples more like those that you keep."
    RETURN_TYPES = InferPosterior.RETURN_TYPES
    RETURN_NAMES = InferPosterior.RETURN_NAMES
    OUTPUT_TOOLTIPS = InferPosterior.OUTPUT_TOOLTIPS
    FUNCTION = "judge"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        strength = "Near 0 repeats the kept hypotheses, 1 ignores them."
        resample = "Sample new hypotheses; otherwise only the weights of the old ones change."
        return {
            "required": {
                "run": (RUN,),
                "keep": ("STRING", {"default": "", "tooltip": "Hypotheses to keep, by number from 0: 0,3."}),
                "reject": ("STRING", {"default": "", "tooltip": "Hypotheses to reject, by number from 0."}),
                "resample": ("BOOLEAN", {"default": True, "tooltip": resample}),
                "num_hypotheses": ("INT", {"default": 4, "min": 1, "max": 64, "tooltip": "Kept ones included."}),
                "strength": ("FLOAT", {"default": 0.7, "min": 0.01, "max": 1.0, "step": 0.01, "tooltip": strength}),
                "seed": ("INT", {"default": 1, "min": 0, "max": 2**53 - 1, "control_after_generate": True}),
                "filename_prefix": PREFIX,
            }
        }

    @with_gradients
    def judge(self, run: Run, keep: str, reject: str, filename_prefix: str, **settings: Any) -> dict[str, Any]:
        kept, rejected = numbers("keep", keep), numbers("reject", reject)
        if not kept and not rejected:
            raise InputError("Name the hypotheses to keep or to reject by their numbers, such as 0,3.")
        with new_folder(filename_prefix) as folder:
            changed = feedback(run.model, run.folder, folder, kept, rejected, progress=report, **settings)
        return shown(Run(run.model, folder, changed.result))


class NextView:
    """Plan the next photo: the direction with the largest expected information."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Finds the direction from which one more photo is expected to be most informative."
    RETURN_TYPES = ("FLOAT", "FLOAT", "IMAGE")
    RETURN_NAMES = ("azimuth", "elevation", "map")
    OUTPUT_TOOLTIPS = (
        "Degrees from the photo, positive counter-clockwise seen from above.",
        "Degrees above the horizon.",
        "Expected information by direction.",
    )
    FUNCTION = "plan"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"run": (RUN,)}}

    @with_gradients
    def plan(self, run: Run) -> tuple[float, float, Tensor]:
        meshes = [hypothesis.mesh for hypothesis in run.result.hypotheses]
        found = next_view(meshes, run.result.posterior.weights)
        FolderStore.open(run.folder).save_next_view(found, meshes)
        return (*found.best, picture_image(draw_next_view(found, meshes)))
