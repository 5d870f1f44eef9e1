"""The model options that verbs share, and how they are loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mvdiff.models.attention_backends import AttentionBackend
from mvdiff.reconstructors.names import ReconstructorName
from mvdiff.sampling.generation import GenerationConfig, Preset

if TYPE_CHECKING:
    from mvdiff.runs.image_to_3d import ImageTo3D

Device = Annotated[str, tyro.conf.arg(metavar="{auto,cpu,cuda,cuda:N}")]
#: Settings of a generation under a heading of their own.
Generation = Annotated[GenerationConfig, tyro.conf.arg(name="generation"), tyro.conf.OmitArgPrefixes]
Calibration = Annotated[str, tyro.conf.arg(metavar="{default,none}|FILE")]


@dataclass(frozen=True)
class ModelChoice:
    """Model, weights and device."""

    device: Device = "auto"
    """Device to run on; "auto" takes a GPU if there is one."""
    weights: Annotated[str, tyro.conf.arg(metavar="{embedded}|FOLDER")] = "embedded"
    """Weights to load: "embedded" (in this package), or a folder."""
    lora: Path | None = None
    """LoRA adapter to fuse into the weights; it must have been trained on them."""
    lora_scale: float = 1.0
    """Strength of the LoRA adapter; a lower one forgets less about other objects."""
    attention_backend: AttentionBackend = "native"
    """Attention implementation: PyTorch's (native, flex), or that of a package which must be installed."""
    reconstructor: ReconstructorName = "fusion"
    """Way from views to shapes: "fusion", or "lrm", InstantMesh's network, which needs weights."""
    reconstructor_weights: Path | None = None
    """Folder of the reconstructor's converted weights."""

    def load(self, preset: Preset = "default", calibration: str = "default") -> "ImageTo3D":
        """Load it, with a reconstruction ``preset`` and a ``calibration``."""
        from mvdiff.runs.loading import load_model

        return load_model(
            self.weights,
            self.device,
            preset,
            self.lora,
            calibration,
            self.lora_scale,
            self.attention_backend,
            self.reconstructor,
            self.reconstructor_weights,
        )
