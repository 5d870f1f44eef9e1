"""The model options that verbs share, and how they are loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvdiff.runs.image_to_3d import ImageTo3D


@dataclass(frozen=True)
class ModelChoice:
    """Model, weights and device."""

    device: str = "auto"
    """Device to run on: auto, cpu, cuda or cuda:N."""
    weights: str = "embedded"
    """Weights to load: "embedded" (in this package), or a folder."""
    lora: Path | None = None
    """LoRA adapter to fuse into the weights; it must have been trained on them."""
    lora_scale: float = 1.0
    """Strength of the LoRA adapter; a lower one forgets less about other objects."""

    def load(self, preset: str = "default", calibration: str = "default") -> "ImageTo3D":
        """Load it, with a reconstruction ``preset`` and a ``calibration``."""
        from mvdiff.runs.loading import load_model

        return load_model(self.weights, self.device, preset, self.lora, calibration, self.lora_scale)
