"""Marigold (Ke et al. 2024): normals by ``diffusers.MarigoldNormalsPipeline``, their spread as confidence."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from mvdiff.devices import pick_device
from mvdiff.helpers.geometry import ImageGeometry
from mvdiff.helpers.loading import check_folder, weights_record
from mvdiff.weights.folders import load_network
from recon.core.conventions import normals_to_opencv
from recon.core.errors import InputError
from recon.core.reading import read_json, reading


class _Index(msgspec.Struct, frozen=True):
    """``model_index.json``, as far as it is read."""

    use_full_z_range: bool = True
    default_denoising_steps: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    default_processing_resolution: Annotated[int, msgspec.Meta(ge=0, le=8192)] | None = None


@dataclass(frozen=True)
class MarigoldConfig:
    """Settings of one estimate."""

    steps: int = 4
    """Denoising steps."""
    ensemble: int = 4
    """Draws; at least 3 are needed for the pipeline's own uncertainty."""
    resolution: int = 768
    """Longer side, in pixels, at which the network works; 0 is the picture's own."""
    seed: int = 0
    tolerance: float = 0.3
    """Uncertainty (0 to 1) at which the confidence falls to one half."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if self.steps < 1 or self.ensemble < 3 or self.resolution < 0 or not self.tolerance > 0:
            raise InputError("Marigold needs at least 1 step, 3 draws, and a positive tolerance: change its settings.")


@dataclass(frozen=True)
class MarigoldNormals:
    """:class:`~mvdiff.helpers.geometry.GeometryEstimator`: normals with confidence, without depth."""

    pipeline: Any
    record: Mapping[str, Any]
    config: MarigoldConfig

    @staticmethod
    def from_folder(
        folder: Path, device: str | torch.device = "cpu", config: MarigoldConfig | None = None
    ) -> "MarigoldNormals":
        """Load a folder in the layout of diffusers, each network by its own class.

        Raises:
            InputError: the folder is not one of Marigold, or a setting cannot be used.
        """
        config = config or MarigoldConfig()
        config.check()
        check_folder(folder)
        pipeline = _pipeline(folder).to(pick_device(str(device)))
        pipeline.set_progress_bar_config(disable=True)
        settings = {"steps": config.steps, "ensemble": config.ensemble, "resolution": config.resolution}
        record = weights_record("marigold-normals", folder / "unet") | {"settings": settings | {"seed": config.seed}}
        return MarigoldNormals(pipeline, record, config)

    @torch.no_grad()
    def __call__(self, rgb: UInt8[np.ndarray, "h w 3"]) -> ImageGeometry:
        """Normals of every pixel; the same picture and seed give the same ones."""
        config = self.config
        output = self.pipeline(
            Image.fromarray(rgb),
            num_inference_steps=config.steps,
            ensemble_size=config.ensemble,
            processing_resolution=config.resolution,
            generator=torch.Generator().manual_seed(config.seed),
            output_type="pt",
            output_uncertainty=True,
        )
        normal = torch.nn.functional.normalize(output.prediction[0].float().cpu(), dim=0)
        uncertainty = output.uncertainty[0, 0].float().cpu()
        confidence = 1 / (1 + (uncertainty / config.tolerance) ** 2)
        return ImageGeometry("depth", None, normals_to_opencv(normal, "opengl"), confidence)


def _pipeline(folder: Path) -> Any:
    os.environ["DIFFUSERS_DISABLE_REMOTE_CODE"] = "1"
    from diffusers import AutoencoderKL, DDIMScheduler, MarigoldNormalsPipeline, UNet2DConditionModel

    try:
        from transformers import CLIPTextModel, CLIPTokenizer
    except ImportError as error:
        raise InputError("Marigold needs transformers: run `pip install 'mvdiff[helpers]'`.") from error
    with reading(folder / "model_index.json", "index of Marigold", "pull these weights again"):
        index = read_json(folder / "model_index.json", _Index)
    with reading(folder, "folder of weights", "pull these weights again"):
        scheduler = DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    return MarigoldNormalsPipeline(
        unet=load_network(UNet2DConditionModel, folder / "unet"),
        vae=load_network(AutoencoderKL, folder / "vae"),
        scheduler=scheduler,
        text_encoder=load_network(CLIPTextModel, folder / "text_encoder"),
        tokenizer=tokenizer,
        prediction_type="normals",
        **msgspec.structs.asdict(index),
    )
