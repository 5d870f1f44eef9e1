"""The estimator of a photo's camera, for backbones that have none of their own: that of the embedded model."""

from dataclasses import replace
from typing import Any

import torch

from mvdiff.models.camera_estimator import PhotoCameraEstimator, estimate_photo_camera
from mvdiff.sampling.photo_camera import PhotoCameraDistribution
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.reframe import resized_rgba
from mvdiff.weights import packing
from mvdiff.weights.architecture import read_config


def embedded_estimator(device: torch.device, dtype: torch.dtype = torch.float32) -> PhotoCameraEstimator:
    """Load the estimator, which asks for nothing but the photo's crop."""
    estimator = PhotoCameraEstimator.from_config(read_config(packing.EMBEDDED, "camera_estimator"))
    packing.load_packed(packing.EMBEDDED, "camera_estimator", estimator)
    return estimator.eval().to(device, dtype)


def estimated_camera(reference: ReferenceImage, elevation: float | None = None) -> PhotoCameraDistribution:
    """Distribution of the camera of a photo that may have any size; ``elevation`` in degrees, where it is known."""
    estimator = embedded_estimator(torch.device("cpu"))
    config: Any = estimator.config
    shown = replace(reference.to("cpu"), rgba=resized_rgba(reference.rgba.cpu(), config.sample_size))
    return estimate_photo_camera(estimator, shown, elevation)
