"""Loading what the verbs work with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvdiff.pipelines import ImageTo3D


def load_model(weights: str, device: str, preset: str = "default") -> "ImageTo3D":
    """The device is checked before the weights are read."""
    from mvdiff.pipelines.image_to_3d import ImageTo3D, pick_device
    from recon import ReconstructionConfig

    pick_device(device)
    return ImageTo3D.from_pretrained(weights, device, reconstruction=ReconstructionConfig.preset(preset))
