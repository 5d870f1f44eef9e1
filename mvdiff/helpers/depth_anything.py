"""Depth Anything V2 (Yang et al. 2024) by ``transformers.DepthAnythingForDepthEstimation``: relative depth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from mvdiff.helpers.geometry import ImageGeometry
from mvdiff.helpers.loading import load_helper, weights_record
from mvdiff.helpers.pictures import Preprocessor

#: Pixels across which the depth changes by more than this share of its range mix front and back.
_STEP = 0.08


@dataclass(frozen=True)
class DepthAnything:
    """:class:`~mvdiff.helpers.geometry.GeometryEstimator`: disparity up to an affine map, without normals."""

    model: Any
    preprocessor: Preprocessor
    record: Mapping[str, Any]

    @staticmethod
    def from_folder(folder: Path, device: str | torch.device = "cpu") -> "DepthAnything":
        """Load a folder as ``save_pretrained`` writes it. Raises :class:`InputError` for any other."""
        model = load_helper("DepthAnythingForDepthEstimation", folder, device)
        return DepthAnything(model, Preprocessor.read(folder, 518), weights_record("depth-anything-v2", folder))

    @torch.no_grad()
    def __call__(self, rgb: UInt8[np.ndarray, "h w 3"]) -> ImageGeometry:
        """Disparity of every pixel; edges of the depth get no confidence."""
        parameter = next(self.model.parameters())
        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].to(parameter) / 255
        prepared = self.preprocessor(pixels, multiple=int(self.model.config.patch_size), keep_aspect=True)
        disparity = self.model(pixel_values=prepared).predicted_depth.float()[:, None]
        disparity = torch.nn.functional.interpolate(disparity, rgb.shape[:2], mode="bicubic")[0, 0].cpu()
        span = (disparity.max() - disparity.min()).clamp_min(1e-6)
        highest, lowest = (torch.nn.functional.max_pool2d(s * disparity[None, None], 3, 1, 1)[0, 0] for s in (1, -1))
        torn = (highest + lowest) / span > _STEP
        return ImageGeometry("disparity", disparity, None, (~torn).float())
