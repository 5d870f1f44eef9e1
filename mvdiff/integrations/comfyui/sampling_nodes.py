"""Nodes from a model's weights to sampled views."""

from typing import Any, get_args

from jaxtyping import Float
from torch import Tensor

from mvdiff.backbones.registry import backbone_names
from mvdiff.devices import pick_device
from mvdiff.integrations.comfyui.convert import MaskShows, images_of, photo_of, picture_image
from mvdiff.integrations.comfyui.host import CATEGORY, report, with_gradients
from mvdiff.integrations.comfyui.sockets import MODEL, VIEWS, SampledViews
from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.sampling.generation import GenerationConfig, Preset
from recon import ReconstructionConfig

_MASK_HELP = (
    "The object's mask, the size of the photo. It replaces the model's own segmentation. Set mask_shows to "
    "background for the mask of ComfyUI's Load Image node."
)
_ELEVATION_HELP = "Elevation of the photo's camera in degrees above the horizon; above 90 means that it is not known."


class LoadModel:
    """Load a backbone, its weights and the settings of the reconstruction."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Loads the model that turns one photo into several plausible 3D objects."
    RETURN_TYPES = (MODEL,)
    RETURN_NAMES = ("model",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "backbone": (backbone_names(), {"tooltip": "Source of the views."}),
                "weights": ("STRING", {"default": "embedded", "tooltip": '"embedded", or a folder of weights.'}),
                "device": ("STRING", {"default": "auto", "tooltip": "auto, cpu, cuda or cuda:N."}),
                "preset": (
                    list(get_args(Preset)),
                    {"default": "default", "tooltip": "Quality of the reconstruction; fast is a draft."},
                ),
            },
            "optional": {
                "lora": ("STRING", {"default": "", "tooltip": "File of a LoRA adapter; empty for none."}),
                "lora_scale": ("FLOAT", {"default": 1.0, "min": 0.01, "max": 4.0, "step": 0.01}),
            },
        }

    @with_gradients
    def load(
        self, backbone: str, weights: str, device: str, preset: str, lora: str = "", lora_scale: float = 1.0
    ) -> tuple[ImageTo3D]:
        pick_device(device)  # before the weights are read
        model = ImageTo3D.from_pretrained(
            weights,
            device,
            reconstruction=ReconstructionConfig.preset(preset),
            lora=lora or None,
            lora_scale=lora_scale,
            backbone=backbone,
        )
        return (model,)


class Sample:
    """Sample the views of N hypotheses of the object in a photo."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Cuts the object out of its photo and samples views of N plausible objects."
    RETURN_TYPES = (VIEWS, "IMAGE", "MASK", "IMAGE", "MASK")
    RETURN_NAMES = ("views", "view_images", "view_masks", "photo", "photo_mask")
    OUTPUT_TOOLTIPS = (
        "Sampled views, for Reconstruct.",
        "All views of all hypotheses as one batch.",
        "Their masks, 1 on the object.",
        "The photo as the model sees it.",
        "Its mask, 1 on the object.",
    )
    FUNCTION = "sample"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        own = GenerationConfig()
        steps = {"default": own.num_inference_steps, "min": 1, "max": 200, "tooltip": "Denoising steps."}
        guidance = {"default": own.guidance_scale, "min": 0.0, "max": 30.0, "step": 0.1}
        candidates = {"default": own.candidates, "min": 1, "max": 16, "tooltip": "Best of this many per hypothesis."}
        elevation = {"default": 90.5, "min": -90.0, "max": 90.5, "step": 0.5, "tooltip": _ELEVATION_HELP}
        return {
            "required": {
                "model": (MODEL,),
                "image": ("IMAGE", {"tooltip": "The photo of one object."}),
                "num_hypotheses": ("INT", {"default": 4, "min": 1, "max": 64, "tooltip": "Number of objects."}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**53 - 1, "control_after_generate": True}),
                "num_inference_steps": ("INT", steps),
                "guidance_scale": ("FLOAT", guidance | {"tooltip": "Scale of classifier-free guidance; 1 is none."}),
                "candidates": ("INT", candidates),
                "elevation": ("FLOAT", elevation),
            },
            "optional": {
                "mask": ("MASK", {"tooltip": _MASK_HELP}),
                "mask_shows": (list(get_args(MaskShows)), {"default": "object", "tooltip": "What the mask is 1 on."}),
            },
        }

    @with_gradients
    def sample(
        self,
        model: ImageTo3D,
        image: Float[Tensor, "b h w c"],
        elevation: float = 90.5,
        mask: Float[Tensor, "m mh mw"] | None = None,
        mask_shows: MaskShows = "object",
        **settings: Any,
    ) -> tuple[SampledViews, Tensor, Tensor, Tensor, Tensor]:
        config = GenerationConfig(elevation=None if elevation > 90 else elevation, **settings)
        config.check()
        reference = model.prepare(photo_of(image, mask, mask_shows), config)
        sampled = model.sample(reference, config, progress=report)
        alpha = reference.rgba[3:].float().cpu()
        views = SampledViews(model, config, reference, sampled)
        return (views, *images_of(sampled.views), picture_image(reference.picture()), alpha)
