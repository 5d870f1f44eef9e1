"""Vision transformer (Dosovitskiy et al. 2021; weights of DINO, Caron et al. 2021) that knows its picture's camera."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mvdiff.models.attention import attend, split_heads

_EPS = 1e-12
#: Mean and deviation of ImageNet's colors, as DINO normalizes them.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Numbers that describe a camera: 3 x 4 of its pose, then its focal lengths and principal point.
CAMERA_NUMBERS = 16


class CameraBlock(nn.Module):
    """Pre-norm transformer block whose two norms are shifted and scaled by the camera (adaLN, Peebles and Xie 2023)."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.modulation = nn.Linear(width, 4 * width)
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width, eps=_EPS), nn.LayerNorm(width, eps=_EPS)
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "b l d"], camera: Float[Tensor, "b d"]) -> Float[Tensor, "b l d"]:
        shift, scale, shift_mlp, scale_mlp = self.modulation(nn.functional.silu(camera))[:, None].chunk(4, -1)
        h = self.norm_attention(x) * (1 + scale) + shift
        q, k, v = (split_heads(layer(h), self.heads) for layer in (self.query, self.key, self.value))
        x = x + self.out(attend(q, k, v))
        h = self.norm_mlp(x) * (1 + scale_mlp) + shift_mlp
        return x + self.down(nn.functional.gelu(self.up(h)))


class CameraViT(nn.Module):
    """Tokens of a picture, aware of its camera."""

    def __init__(self, width: int, depth: int, heads: int, hidden: int, patch: int, positions: int) -> None:
        super().__init__()
        self.camera = nn.Sequential(nn.Linear(CAMERA_NUMBERS, width), nn.SiLU(), nn.Linear(width, width))
        self.patch = nn.Conv2d(3, width, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + positions**2, width))
        self.blocks = nn.ModuleList(CameraBlock(width, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=_EPS)

    def forward(self, pictures: Float[Tensor, "b 3 h w"], cameras: Float[Tensor, "b 16"]) -> Float[Tensor, "b l d"]:
        """The class token and those of the patches, in row order; ``pictures`` are sRGB in [0, 1]."""
        mean, deviation = (pictures.new_tensor(value)[:, None, None] for value in (_MEAN, _DEVIATION))
        patches = self.patch((pictures - mean) / deviation)
        rows, columns = patches.shape[-2:]
        x = patches.flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1) + self._positions(rows, columns)
        camera = self.camera(cameras)
        for block in self.blocks:
            x = cast(CameraBlock, block)(x, camera)
        return self.norm(x)

    def _positions(self, rows: int, columns: int) -> Float[Tensor, "1 l d"]:
        """The learned table at another size: bicubic, by scale factors a tenth of a patch large, as DINO does it."""
        first, table = self.positions[:, :1], self.positions[:, 1:]
        side = round(table.shape[1] ** 0.5)
        if (rows, columns) == (side, side):
            return self.positions
        grid = table.unflatten(1, (side, side)).permute(0, 3, 1, 2)
        factors = ((rows + 0.1) / side, (columns + 0.1) / side)
        grid = nn.functional.interpolate(grid, scale_factor=factors, mode="bicubic", align_corners=False)
        return torch.cat([first, grid.flatten(2).transpose(1, 2)], 1)
