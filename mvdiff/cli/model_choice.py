"""The model options that verbs share, and how they are loaded."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mvdiff.models.attention_backends import AttentionBackend
from mvdiff.reconstructors.names import ReconstructorName
from mvdiff.sampling.generation import GenerationConfig, Precision, Preset
from recon.core.errors import InputError

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
    backbone: Annotated[str, tyro.conf.arg(metavar="NAME")] = "embedded"
    """Source of the views or shapes, see `mvdiff models list`; its own settings are the defaults of other options."""
    weights: Annotated[str, tyro.conf.arg(metavar="{embedded}|FOLDER")] = "embedded"
    """Weights to load: "embedded" (in this package, or those that `mvdiff models pull` stored), or a folder."""
    accept_license: Annotated[str | None, tyro.conf.arg(metavar="ID")] = None
    """License of non-commercial weights that you accept, such as cc-by-nc-4.0; remembered for later commands."""
    lora: Path | None = None
    """LoRA adapter to fuse into the weights; it must have been trained on them."""
    lora_scale: float = 1.0
    """Strength of the LoRA adapter; a lower one forgets less about other objects."""
    attention_backend: AttentionBackend = "native"
    """Attention implementation: PyTorch's (native, flex), or that of a package which must be installed."""
    chunk_size: int | None = None
    """Number of objects sampled at a time, to bound memory; by default 16 on a GPU and 2 on a CPU."""
    reconstructor: ReconstructorName = "fusion"
    """Way from views to shapes: "fusion", or "lrm", InstantMesh's network, which needs weights."""
    reconstructor_weights: Path | None = None
    """Folder of the reconstructor's converted weights."""
    precision: Precision = "auto"
    """Precision of the networks; "auto" takes the device's fast one."""
    offload: bool = False
    """Keep on the GPU only the network that is in use: slower, for GPUs with little memory."""
    features: Path | None = None
    """Folder of DINOv2, whose features registration to the photo and semantic novelty compare."""
    paint: Annotated[str | None, tyro.conf.arg(metavar="NAME[:FOLDER]")] = None
    """Backbone of views that colors shapes where the photo does not show them, such as zero123plus."""
    known_photos: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER|FILE")] = None
    """Photos of known objects, or a file of their features: the report says how unlike them the photo is."""

    def load(self, preset: Preset = "default", calibration: str = "default") -> "ImageTo3D":
        """Load it, with a reconstruction ``preset`` and a ``calibration``."""
        from mvdiff.runs.loading import load_model
        from mvdiff.weights import licenses

        if self.chunk_size is not None and self.chunk_size < 1:
            raise InputError(f"--chunk-size is at least 1, not {self.chunk_size}.")
        if self.accept_license is not None:
            licenses.accept(self.accept_license)
        model = load_model(
            self.weights,
            self.device,
            preset,
            self.lora,
            calibration,
            self.lora_scale,
            self.attention_backend,
            self.reconstructor,
            self.reconstructor_weights,
            self.backbone,
            precision=self.precision,
            offload=self.offload,
            features=self.features,
            paint=self.paint,
            known_photos=self.known_photos,
        )
        return replace(model, chunk_size=self.chunk_size)
