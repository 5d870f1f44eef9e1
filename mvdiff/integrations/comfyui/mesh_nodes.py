"""Nodes that take one mesh out of a run, and write it."""

from typing import Any, Literal, get_args

from torch import Tensor

from mvdiff.integrations.comfyui.convert import plain_mesh, sides_image, trimesh_of
from mvdiff.integrations.comfyui.host import CATEGORY, numbered, relative, with_gradients
from mvdiff.integrations.comfyui.sockets import RUN, TEXTURED_MESH, Mesh, Run
from mvdiff.runs.result import GenerationResult
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.export import FORMATS, export

Which = Literal["most typical", "hypothesis", "median"]


class Pick:
    """Take one mesh out of a run."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Takes the most typical hypothesis, one by its number, or the median shape."
    RETURN_TYPES = (TEXTURED_MESH, "MESH", "TRIMESH", "IMAGE")
    RETURN_NAMES = ("textured_mesh", "mesh", "trimesh", "image")
    OUTPUT_TOOLTIPS = (
        "The mesh with texture and uncertainty, for Export mesh.",
        "Its shape without color, for ComfyUI's own nodes.",
        "The textured mesh as a trimesh object, for node packs that pass these.",
        "The mesh from the front, the right, the back and the left.",
    )
    FUNCTION = "pick"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        which = "The most typical hypothesis has the smallest mean distance from the others."
        index = "Number of the hypothesis from 0; used where which is hypothesis."
        return {
            "required": {
                "run": (RUN,),
                "which": (list(get_args(Which)), {"tooltip": which}),
                "index": ("INT", {"default": 0, "min": 0, "max": 63, "tooltip": index}),
            }
        }

    @with_gradients
    def pick(self, run: Run, which: Which, index: int) -> tuple[TexturedMesh, Mesh, Any, Tensor]:
        mesh = chosen(run.result, which, index)
        return mesh, plain_mesh(mesh), trimesh_of(mesh), sides_image([mesh])


def chosen(result: GenerationResult, which: Which, index: int = 0) -> TexturedMesh:
    """The mesh with its uncertainty per vertex.

    Raises:
        InputError: there is no such hypothesis, or the hypotheses have no median shape.
    """
    posterior = result.posterior
    if which == "most typical":
        index = posterior.representative_index
    if which == "median":
        if not len(posterior.median):
            raise InputError("No half of the hypotheses agrees anywhere: pick the most typical one instead.")
        return posterior.median
    if index >= len(posterior):
        raise InputError(f"There is no hypothesis {index}: the run has 0 to {len(posterior) - 1}.")
    return posterior.with_spread(result.hypotheses[index].mesh, index)


class Export:
    """Write a mesh into ComfyUI's output folder."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Writes the mesh with its texture; connect the path to Preview 3D."
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("path",)
    OUTPUT_TOOLTIPS = ("Path below the output folder, as Preview 3D takes it.",)
    FUNCTION = "export"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        formats = "; ".join(f"{name}: {text}" for name, (_, _, text) in FORMATS.items())
        size = {"default": 100.0, "min": 1.0, "max": 10_000.0, "tooltip": "Longest side of a print (stl, 3mf) in mm."}
        prefix = {"default": "mvdiff/mesh", "tooltip": "Name of the file below the output folder."}
        return {
            "required": {
                "textured_mesh": (TEXTURED_MESH,),
                "filename_prefix": ("STRING", prefix),
                "format": (list(FORMATS), {"default": "glb", "tooltip": formats}),
                "size_mm": ("FLOAT", size),
            }
        }

    @with_gradients
    def export(self, textured_mesh: TexturedMesh, filename_prefix: str, format: str, size_mm: float) -> dict[str, Any]:
        path = numbered(filename_prefix, FORMATS[format][0])
        path.parent.mkdir(parents=True, exist_ok=True)
        export(textured_mesh, path, format, size_mm=size_mm)
        place = relative(path)
        folder, _, name = place.rpartition("/")
        return {"ui": {"3d": [{"filename": name, "subfolder": folder, "type": "output"}]}, "result": (place,)}
