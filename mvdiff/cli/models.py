"""Loading what the verbs work with."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvdiff.runs.image_to_3d import ImageTo3D


@dataclass(frozen=True)
class ModelChoice:
    """Which model works, and where."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    weights: str = "embedded"
    """The model in this package, or a folder of weights."""
    lora: Path | None = None
    """File of a LoRA adapter that was trained on these weights."""
    lora_scale: float = 1.0
    """How much of the adapter is added: less keeps more of what the weights know of other objects."""

    def load(self, preset: str = "default", calibration: str = "default") -> "ImageTo3D":
        """Load it, with a reconstruction ``preset`` and a ``calibration``."""
        from mvdiff.runs.loading import load_model

        return load_model(self.weights, self.device, preset, self.lora, calibration, self.lora_scale)
