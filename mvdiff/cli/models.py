"""Loading what the verbs work with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mvdiff.pipelines import ImageTo3D


def load_model(
    weights: str,
    device: str,
    preset: str = "default",
    lora: "Path | None" = None,
    calibration: str = "default",
) -> "ImageTo3D":
    """The device is checked before the weights are read."""
    import diffusers

    from mvdiff.pipelines.image_to_3d import ImageTo3D, pick_device
    from recon import ReconstructionConfig

    diffusers.logging.set_verbosity_error()  # its notes on loading are not for the user of a command
    pick_device(device)
    return ImageTo3D.from_pretrained(
        weights, device, reconstruction=ReconstructionConfig.preset(preset), lora=lora, calibration=calibration
    )
