"""Signed distance and color of a point from its features on three planes."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

#: Coordinates (column, row) of a point (x, y, z) on each plane.
_AXES = ((0, 1), (0, 2), (2, 1))
#: Colors reach this far beyond [0, 1], so that pure black and white have a finite code (Barron et al. 2021).
_MARGIN = 0.001


def plane_features(planes: Float[Tensor, "b 3 c h w"], points: Float[Tensor, "b p 3"]) -> Float[Tensor, "b p features"]:
    """Bilinear features of ``points`` on the planes of the cube [-1, 1]^3, plane after plane; zero outside."""
    found = [
        nn.functional.grid_sample(planes[:, i], points[:, None][..., axes], align_corners=False)[:, :, 0]
        for i, axes in enumerate(_AXES)
    ]
    return torch.cat(found, 1).transpose(1, 2)


def _mlp(inputs: int, hidden: int, depth: int, outputs: int) -> nn.Sequential:
    widths = [inputs, *[hidden] * (depth - 1), outputs]
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Linear(widths[i], widths[i + 1]), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class PointDecoder(nn.Module):
    """Two networks of one form."""

    def __init__(self, channels: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.distance = _mlp(3 * channels, hidden, depth, 1)
        self.color = _mlp(3 * channels, hidden, depth, 3)

    def distances(self, planes: Float[Tensor, "b 3 c h w"], points: Float[Tensor, "b p 3"]) -> Float[Tensor, "b p"]:
        """Values that vanish on the surface; which sign is inside, the corners of the cube tell."""
        return self.distance(plane_features(planes, points))[..., 0]

    def colors(self, planes: Float[Tensor, "b 3 c h w"], points: Float[Tensor, "b p 3"]) -> Float[Tensor, "b p 3"]:
        """sRGB in [0, 1] but for a margin."""
        return torch.sigmoid(self.color(plane_features(planes, points))) * (1 + 2 * _MARGIN) - _MARGIN
