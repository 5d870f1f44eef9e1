"""A model by the names that a command line gives."""

from pathlib import Path

from mvdiff.devices import dtype_of, pick_device
from mvdiff.runs.image_to_3d import ImageTo3D
from recon import ReconstructionConfig


def load_model(
    weights: str,
    device: str,
    preset: str = "default",
    lora: Path | None = None,
    calibration: str = "default",
    lora_scale: float = 1.0,
    attention_backend: str = "native",
    reconstructor: str = "fusion",
    reconstructor_weights: Path | None = None,
    backbone: str = "embedded",
    precision: str = "auto",
    offload: bool = False,
    features: Path | None = None,
    paint: str | None = None,
    known_photos: Path | None = None,
) -> ImageTo3D:
    """Load a model; the device is checked before the weights are read."""
    from diffusers.utils import logging

    logging.set_verbosity_error()  # its notes on loading are not for the user of a command
    pick_device(device)
    return ImageTo3D.from_pretrained(
        weights,
        device,
        reconstruction=ReconstructionConfig.preset(preset),
        lora=lora,
        calibration=calibration,
        lora_scale=lora_scale,
        attention_backend=attention_backend,
        reconstructor=reconstructor,
        reconstructor_weights=reconstructor_weights,
        backbone=backbone,
        dtype=dtype_of(precision),
        offload=offload,
        features=features,
        paint=paint,
        known_photos=known_photos,
    )
