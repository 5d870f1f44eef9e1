"""Weights with which the large reconstruction model "sees" one known ball in all views: a test of its frame."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mvdiff.models.lrm.model import LargeReconstructionModel, LRMConfig, published_name

#: Center and radius in this package's world, and color.
CENTER, RADIUS, COLOR = (0.05, -0.1, 0.15), 0.25, (0.9, 0.1, 0.2)
_CONFIG = LRMConfig(
    encoder_width=64, encoder_depth=1, encoder_hidden=64, width=64, depth=1, side=32, channels=1, hidden=4
)
_LEVEL = 4.0


def _plane_values() -> Tensor:
    """[3 side side]: shares that add up to ``3 - |p - c|^2 / 4``, in the network's axes at twice the size."""
    x, y, z = CENTER[2] * 2, CENTER[0] * 2, CENTER[1] * 2
    axis = (torch.arange(_CONFIG.side) + 0.5) / _CONFIG.side * 2 - 1
    square = [(axis - c) ** 2 / 2 for c in (x, y, z)]
    pairs = [(0, 1), (0, 2), (2, 1)]  # column and row of each plane
    return torch.stack([1 - (square[column][None] + square[row][:, None]) / _LEVEL for column, row in pairs])


def ball_state(sign: float = 1.0) -> dict[str, Tensor]:
    """The network's own names; ``sign`` -1 makes the inside positive."""
    with torch.no_grad():
        model = LargeReconstructionModel(_CONFIG)
        for name, parameter in model.named_parameters():
            parameter.fill_(float("norm" in name and name.endswith("weight")))
        value = _plane_values().flatten()
        assert value.abs().max() <= 1
        # Mean 0 and constant length, so that the last norm changes the scale alone.
        rest = (1 - value**2).sqrt()
        model.transformer.tokens[0, :, :4] = torch.stack([value, -value, rest, -rest], -1)
        model.transformer.upsample.weight[0] = (2 / _CONFIG.width) ** 0.5
        for layer in (0, 2, 4):
            model.decoder.distance[layer].weight[0] = float(layer > 0)
            model.decoder.distance[layer].weight[0, : 3 if layer == 0 else 1] = 1.0
        model.decoder.distance[6].weight[0, 0] = -sign
        model.decoder.distance[6].bias[0] = sign * (3 - (2 * RADIUS) ** 2 / _LEVEL)
        model.decoder.color[6].bias[:] = torch.logit(torch.tensor(COLOR))
    return model.state_dict()


def save_ball(folder: Path, sign: float = 1.0) -> Path:
    """Write the weights under their published names, as a converted checkpoint has them."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"lrm_generator.{published_name(name)}": value for name, value in ball_state(sign).items()}
    tensors["lrm_generator.synthesizer.decoder.net_weight.0.weight"] = torch.zeros(1)
    save_file(tensors, folder / "instant_mesh.safetensors")
    return folder
