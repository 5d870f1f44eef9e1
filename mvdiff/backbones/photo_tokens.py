"""Tokens of a photo by DINOv2 (Oquab et al. 2024), from a local folder of its published weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.reframe import on_background
from mvdiff.weights.folders import check_amount, read_config, without_bars
from mvdiff.weights.limits import reading_network
from recon.core.errors import InputError

#: Mean and deviation of ImageNet's colors.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class PhotoEncoder:
    """Encoder and the way a generator frames its pictures."""

    network: Any
    """``Dinov2Model`` or ``Dinov2WithRegistersModel`` of transformers."""
    size: int
    """Side of the pictures in pixels."""
    margin: float
    """Side of the square in sides of the object."""
    background: float
    own_norm: bool
    """Whether the tokens pass the network's last norm; else one without weights takes its place."""

    @staticmethod
    def load(
        folder: Path, registers: bool, size: int, margin: float, background: float, own_norm: bool
    ) -> "PhotoEncoder":
        """Load ``folder``. Raises :class:`InputError` where it holds another network, or a part of it."""
        from transformers import Dinov2Model, Dinov2WithRegistersModel

        network = _loaded(Dinov2WithRegistersModel if registers else Dinov2Model, folder)
        return PhotoEncoder(network, size, margin, background, own_norm)

    def to(self, device: torch.device) -> "PhotoEncoder":
        return PhotoEncoder(self.network.to(device), self.size, self.margin, self.background, self.own_norm)

    @torch.no_grad()
    def tokens(self, reference: ReferenceImage) -> Float[Tensor, "1 m e"]:
        """Class token, registers where there are any, patches."""
        picture = on_background(reference, self.margin, self.size, self.background).to(self.network.device)
        mean, deviation = (picture.new_tensor(value)[:, None, None] for value in (_MEAN, _DEVIATION))
        found = self.network(((picture - mean) / deviation)[None], output_hidden_states=not self.own_norm)
        if self.own_norm:
            return found.last_hidden_state
        last = found.hidden_states[-1]  # as it was before the last norm
        return nn.functional.layer_norm(last, last.shape[-1:])


def _loaded(kind: Any, folder: Path) -> Any:
    """A network of transformers with all of its weights; that library has other names for them than the files."""
    check_amount(kind, read_config(folder), folder)
    with reading_network(folder), without_bars():
        network, report = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    parts = ("missing_keys", "unexpected_keys", "mismatched_keys")
    wrong = sorted(str(name) for part in parts for name in report[part])
    if wrong:
        raise InputError(f"The weights in '{folder}' are not those of {kind.__name__}: {', '.join(wrong)} do not fit.")
    return network.eval().requires_grad_(False)
