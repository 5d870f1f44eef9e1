"""Loading what the verbs work with."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mvdiff.models.attention_backends import AttentionBackend
from mvdiff.sampling.generation import GenerationConfig, Preset

if TYPE_CHECKING:
    from mvdiff.runs.image_to_3d import ImageTo3D

Device = Annotated[str, tyro.conf.arg(metavar="{auto,cpu,cuda,cuda:N}")]
#: Settings of a generation under a heading of their own.
Generation = Annotated[GenerationConfig, tyro.conf.arg(name="generation"), tyro.conf.OmitArgPrefixes]
Calibration = Annotated[str, tyro.conf.arg(metavar="{default,none}|FILE")]


@dataclass(frozen=True)
class ModelChoice:
    """The model and the device that it runs on."""

    device: Device = "auto"
    """Where it runs; auto takes a GPU if there is one."""
    weights: Annotated[str, tyro.conf.arg(metavar="{embedded}|FOLDER")] = "embedded"
    """The model in this package, or a folder of weights."""
    lora: Path | None = None
    """File of a LoRA adapter that was trained on these weights."""
    lora_scale: float = 1.0
    """Factor of the adapter; below 1 the result stays closer to the weights without it."""
    attention_backend: AttentionBackend = "native"
    """Implementation of attention: PyTorch's (native, flex), or that of a package which must be installed."""

    def load(self, preset: Preset = "default", calibration: str = "default") -> "ImageTo3D":
        """Load it, with a reconstruction ``preset`` and a ``calibration``."""
        from mvdiff.runs.loading import load_model

        return load_model(
            self.weights, self.device, preset, self.lora, calibration, self.lora_scale, self.attention_backend
        )
