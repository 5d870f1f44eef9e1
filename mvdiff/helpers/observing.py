"""A photo's estimated geometry as hypotheses use it: which estimator, how far it is trusted, and where it goes."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mvdiff.helpers.geometry import GeometryEstimator, ImageGeometry, in_crop
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from recon.core.errors import InputError
from recon.fusion.photo_geometry import PhotoObservation
from recon.io.images.files import load_image

KINDS = ("moge", "depth-anything", "marigold")


@dataclass(frozen=True)
class GeometryPrior:
    """An estimator of geometry and the weight of what it says."""

    estimator: GeometryEstimator
    trust: float = 4.0
    """Weight of the estimate relative to that of one sampled view."""

    def __post_init__(self) -> None:
        if not 0 < self.trust <= 100:
            raise InputError(f"The trust in the photo's geometry lies above 0 and up to 100, not {self.trust}.")

    @property
    def record(self) -> dict[str, Any]:
        """For manifests of runs."""
        return {**self.estimator.record, "trust": self.trust}

    def see(self, photo: str | os.PathLike | Image.Image | np.ndarray | ReferenceImage) -> ImageGeometry:
        """Geometry of the whole photo. Raises :class:`InputError` for a photo that is only known cut out."""
        if isinstance(photo, ReferenceImage):
            raise InputError("Geometry of a photo needs the photo itself, not a prepared reference: pass its path.")
        rgba = np.asarray(load_image(photo)).astype(np.float32) / 255
        rgb = rgba[..., :3] * rgba[..., 3:] + (1 - rgba[..., 3:])
        return self.estimator(np.ascontiguousarray(np.rint(rgb * 255).astype(np.uint8)))

    def observation(
        self, seen: ImageGeometry, reference: ReferenceImage, cameras: PhotoCamera, size: int
    ) -> PhotoObservation:
        """The observation of each hypothesis' visible side, at the ``size`` of the sampled views."""
        rgba = reference.rgba[None]
        if rgba.shape[-1] != size:
            rgba = torch.nn.functional.interpolate(rgba, (size, size), mode="bilinear", antialias=True)
        return PhotoObservation(in_crop(seen, reference, size), rgba[0].cpu(), cameras.cameras(size), self.trust)


def load_estimator(kind: str, path: Path, device: str = "cpu") -> GeometryEstimator:
    """Estimator by its name: one of :data:`KINDS`. Raises :class:`InputError` for others, and for wrong files."""
    if kind == "moge":
        from mvdiff.helpers.moge import MogeGeometry

        return MogeGeometry.from_file(path)
    if kind == "depth-anything":
        from mvdiff.helpers.depth_anything import DepthAnything

        return DepthAnything.from_folder(path, device)
    if kind == "marigold":
        from mvdiff.helpers.marigold import MarigoldNormals

        return MarigoldNormals.from_folder(path, device)
    raise InputError(f"The estimator of geometry is one of {', '.join(KINDS)}, not '{kind}'.")
