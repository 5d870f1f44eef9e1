"""Nodes from sampled views to objects, and from objects to their posterior."""

import json
from typing import Any

from torch import Tensor

from mvdiff.integrations.comfyui.convert import plain_mesh, sides_image
from mvdiff.integrations.comfyui.host import CATEGORY, new_folder, relative, report, with_gradients
from mvdiff.integrations.comfyui.sockets import HYPOTHESES, RUN, VIEWS, Hypotheses, Mesh, Run, SampledViews
from mvdiff.runs.folder import FolderStore
from mvdiff.sampling.sampler import Sampled
from recon.report.pictures import paint

PREFIX = ("STRING", {"default": "mvdiff/run", "tooltip": "Name of the run's folder below the output folder."})


class Reconstruct:
    """Reconstruct one textured mesh for each hypothesis."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Turns the views of each hypothesis into a textured mesh."
    RETURN_TYPES = (HYPOTHESES, "MESH", "IMAGE")
    RETURN_NAMES = ("hypotheses", "meshes", "images")
    OUTPUT_IS_LIST = (False, True, False)
    OUTPUT_TOOLTIPS = (
        "Textured meshes, for Posterior.",
        "Their shapes without color, one after the other, for ComfyUI's own nodes.",
        "Each hypothesis from the front, the right, the back and the left.",
    )
    FUNCTION = "reconstruct"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"views": (VIEWS,)}}

    @with_gradients
    def reconstruct(self, views: SampledViews) -> tuple[Hypotheses, list[Mesh], Tensor]:
        report("reconstruct", 0, 1)
        sampled = views.sampled
        objects = views.model.reconstruct(sampled.views, sampled.photo_cameras, views.config, views.reference)
        report("reconstruct", 1, 1)
        meshes = [each.mesh for each in objects]
        return Hypotheses(views, tuple(objects)), [plain_mesh(mesh) for mesh in meshes], sides_image(meshes)


class InferPosterior:
    """Infer the posterior of the hypotheses and write the run's folder."""

    CATEGORY = CATEGORY
    DESCRIPTION = "States what is certain and what is guessed, and writes the run with its report."
    RETURN_TYPES = (RUN, "IMAGE", "IMAGE", "STRING", "STRING", "FLOAT")
    RETURN_NAMES = ("run", "images", "uncertainty", "summary", "report", "ambiguity")
    OUTPUT_TOOLTIPS = (
        "The run, for Pick, Keep or reject and Next view.",
        "Each hypothesis from the front, the right, the back and the left.",
        "The most typical hypothesis, colored from certain (blue) to guessed (red).",
        "Contents of summary.json.",
        "Path of report.html below the output folder.",
        "Expected 1 - IoU of two hypotheses, 0 to 1.",
    )
    FUNCTION = "infer"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"hypotheses": (HYPOTHESES,), "filename_prefix": PREFIX}}

    @with_gradients
    def infer(self, hypotheses: Hypotheses, filename_prefix: str) -> dict[str, Any]:
        views, model = hypotheses.views, hypotheses.views.model
        with new_folder(filename_prefix) as folder:
            store = FolderStore.create(folder, model.inputs(views.reference, views.config))
            store.save_photo(views.reference, views.reference)
            sampled = views.sampled
            store.save_samples(
                {k: Sampled(sampled.views[k], sampled.photo_cameras[k : k + 1]) for k in range(len(sampled.views))}
            )
            store.save_hypotheses(hypotheses.objects)
            result = model.run(views.reference, views.config, store, report)
        return shown(Run(model, folder, result))


def shown(run: Run) -> dict[str, Any]:
    """Outputs of the nodes that finish a run, and the sentence that they show."""
    posterior, summary = run.result.posterior, FolderStore.open(run.folder).summary
    page = relative(run.folder / "report.html")
    outputs = (
        run,
        sides_image([hypothesis.mesh for hypothesis in run.result.hypotheses]),
        sides_image([paint(posterior.representative)]),
        json.dumps(summary, indent=2),
        page,
        float(summary["ambiguity"]["value"]),
    )
    lines = [f"{len(posterior)} hypotheses in {len(posterior.modes)} modes: {page}", *summary["warnings"]]
    return {"ui": {"text": lines}, "result": outputs}
