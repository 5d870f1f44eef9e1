"""DINOv2 features (Oquab et al. 2023) by ``transformers.Dinov2Model``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.helpers.loading import load_helper, weights_digest
from mvdiff.helpers.pictures import Preprocessor

_GRAY = 0.5


@dataclass(frozen=True)
class Dinov2Encoder:
    """Features of cut-out pictures; a picture's class token and the mean of its patches, each of unit length.

    It can be passed as the encoder of a registration to a photo.
    """

    model: Any
    preprocessor: Preprocessor
    chunk: int = 16
    """Pictures at a time."""
    sha256: str = ""
    """Digest of the weights."""

    @staticmethod
    def from_folder(folder: Path, device: str | torch.device = "cpu") -> "Dinov2Encoder":
        """Load a folder as ``save_pretrained`` writes it. Raises :class:`InputError` for any other."""
        model = load_helper("Dinov2Model", folder, device)
        return Dinov2Encoder(model, Preprocessor.read(folder, 224), sha256=weights_digest(folder))

    @property
    def size(self) -> int:
        """Length of a picture's features."""
        return 2 * int(self.model.config.hidden_size)

    @torch.no_grad()
    def __call__(self, pictures: Float[Tensor, "c 4 h w"]) -> Float[Tensor, "c d"]:
        """Features of pictures with premultiplied colors and alpha, laid over gray."""
        parameter = next(self.model.parameters())
        rgb = (pictures[:, :3] + _GRAY * (1 - pictures[:, 3:])).to(parameter)
        made = [self._features(part) for part in rgb.split(self.chunk)]
        return torch.cat(made).to(pictures)

    def _features(self, rgb: Float[Tensor, "c 3 h w"]) -> Float[Tensor, "c d"]:
        prepared = self.preprocessor(rgb, multiple=int(self.model.config.patch_size))
        tokens = self.model(pixel_values=prepared).last_hidden_state
        parts = [tokens[:, 0], tokens[:, 1:].mean(1)]
        return torch.cat([torch.nn.functional.normalize(part, dim=-1) for part in parts], -1)


def features_record(encoder: Any) -> dict[str, Any]:
    """Entry of an encoder in the record of a model's weights; none without one."""
    return {} if encoder is None else {"features": {"name": "dinov2", "sha256": getattr(encoder, "sha256", "")}}
