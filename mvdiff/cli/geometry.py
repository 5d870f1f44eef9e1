"""The options that add an estimate of the photo's geometry."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.helpers.observing import GeometryPrior


@dataclass(frozen=True)
class GeometryChoice:
    """Geometry that a pretrained network sees in the photo."""

    geometry: Annotated[str | None, tyro.conf.arg(metavar="KIND:PATH")] = None
    """Estimator of the visible side's depth and normals: moge:FILE.onnx, depth-anything:FOLDER or marigold:FOLDER."""
    geometry_trust: float = 4.0
    """Weight of the estimated geometry relative to that of one sampled view."""

    def load(self, device: str) -> "GeometryPrior | None":
        if self.geometry is None:
            return None
        kind, colon, path = self.geometry.partition(":")
        if not colon or not path:
            raise InputError(f"--geometry takes KIND:PATH, such as moge:model.onnx, not '{self.geometry}'.")
        from mvdiff.helpers.observing import GeometryPrior, load_estimator

        return GeometryPrior(load_estimator(kind, Path(path), device), self.geometry_trust)
