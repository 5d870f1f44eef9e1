"""Cameras as the network sees them: Pluecker rays of patches and relative projective positions (PRoPE)."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras


def camera_tensors(cameras: Cameras) -> tuple[Float[Tensor, "*b 4 4"], Float[Tensor, "*b 4"]]:
    """``c2w`` and the lens (fx, fy, cx, cy) on a picture that spans [-1, 1]: what the networks take."""
    cameras.require_pinholes("The embedded model")
    horizontal = cameras.intrinsics[..., 0, :] / (cameras.width / 2)
    vertical = cameras.intrinsics[..., 1, :] / (cameras.height / 2)
    lens = [horizontal[..., 0], vertical[..., 1], horizontal[..., 2] - 1, vertical[..., 2] - 1]
    return cameras.c2w, torch.stack(lens, -1)


def patch_centers(count: int, device: torch.device) -> Float[Tensor, "{count}*{count} 2"]:
    """(x, y) of a ``count`` x ``count`` grid of patches on the picture that spans [-1, 1]."""
    steps = (torch.arange(count, device=device, dtype=torch.float32) + 0.5) * (2 / count) - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


def pluecker_rays(
    c2w: Float[Tensor, "b v 4 4"], lens: Float[Tensor, "b v 4"], points: Float[Tensor, "p 2"]
) -> Float[Tensor, "b v p 6"]:
    """Moment and unit direction of the rays through ``points`` (Pluecker coordinates)."""
    c2w, lens, points = _wide(c2w), _wide(lens), _wide(points)
    local = (points - lens[:, :, None, 2:]) / lens[:, :, None, :2]
    local = torch.cat([local, torch.ones_like(local[..., :1])], -1)
    direction = _matmul(local, c2w[..., :3, :3].transpose(-1, -2))
    direction = torch.nn.functional.normalize(direction, dim=-1)
    moment = torch.linalg.cross(c2w[:, :, None, :3, 3].expand_as(direction), direction)
    return torch.cat([moment, direction], -1)


def harmonics(values: Float[Tensor, "*b c"], count: int) -> Float[Tensor, "*b c*(2*{count}+1)"]:
    """The values and their sines and cosines at ``count`` octaves."""
    frequency = torch.pi / 2 * 2.0 ** torch.arange(count, device=values.device)
    angle = (values[..., None] * frequency).flatten(-2)
    return torch.cat([values, angle.sin(), angle.cos()], -1)


def projections(
    c2w: Float[Tensor, "b v 4 4"], lens: Float[Tensor, "b v 4"]
) -> tuple[Float[Tensor, "b v 4 4"], Float[Tensor, "b v 4 4"]]:
    """World-to-picture matrices lifted to 4x4, and their inverses, in closed form: no solver inside a graph."""
    c2w, lens = _wide(c2w), _wide(lens)
    rotation = c2w[..., :3, :3].transpose(-1, -2)
    fx, fy, cx, cy = lens.unbind(-1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    k = torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one], -1).unflatten(-1, (3, 3))
    k_inverse = torch.stack([1 / fx, zero, -cx / fx, zero, 1 / fy, -cy / fy, zero, zero, one], -1).unflatten(-1, (3, 3))
    bottom = torch.stack([zero, zero, zero, one], -1)[..., None, :]
    turned = _matmul(k, rotation)
    world_to_image = torch.cat([turned, -_matmul(turned, c2w[..., :3, 3:])], -1)
    image_to_world = torch.cat([_matmul(c2w[..., :3, :3], k_inverse), c2w[..., :3, 3:]], -1)
    return torch.cat([world_to_image, bottom], -2), torch.cat([image_to_world, bottom], -2)


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """Camera arithmetic stays in full precision also under autocast."""
    with torch.autocast(a.device.type, enabled=False):
        return a @ b


def _wide(values: Tensor) -> Tensor:
    """Cameras that a model in 16 bits was given, in 32."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class ProjectivePositions:
    """PRoPE (Li et al. 2025, "Cameras as relative positional encoding"), for one forward pass.

    Half of each head's channels see the relative projective transform between two tokens' cameras, the other half
    rotary positions of the patches in their own pictures.
    """

    def __init__(
        self,
        projection: Float[Tensor, "b n 4 4"],
        inverse: Float[Tensor, "b n 4 4"],
        points: Float[Tensor, "n 2"],
        head_dim: int,
        dtype: torch.dtype,
    ) -> None:
        self.projection, self.inverse = projection.to(dtype), inverse.to(dtype)
        # Eight units across a picture half: neighboring reference patches are one unit apart.
        pairs = head_dim // 8
        frequency = 100.0 ** (-torch.arange(pairs, device=points.device) / pairs)
        angle = points[:, :, None] * 8 * frequency  # [n 2 pairs]
        self.cos, self.sin = angle.cos().flatten(1).to(dtype), angle.sin().flatten(1).to(dtype)

    def query(self, x: Float[Tensor, "b n h d"]) -> Float[Tensor, "b n h d"]:
        return self._apply(x, self.projection.transpose(-1, -2), 1.0)

    def key(self, x: Float[Tensor, "b n h d"]) -> Float[Tensor, "b n h d"]:
        return self._apply(x, self.inverse, 1.0)

    def output(self, x: Float[Tensor, "b n h d"]) -> Float[Tensor, "b n h d"]:
        return self._apply(x, self.projection, -1.0)

    value = key

    def _apply(
        self, x: Float[Tensor, "b n h d"], matrix: Float[Tensor, "b n 4 4"], turn: float
    ) -> Float[Tensor, "b n h d"]:
        projective, rotary = x.chunk(2, -1)
        groups = rearrange(projective, "b n h (g i) -> b n h g i", i=4)
        if x.is_cuda:
            # Written out: a 4x4 product on the last axis fuses into one elementwise kernel, a batched matmul does not.
            moved = groups[..., 0, None] * matrix[:, :, None, None, :, 0]
            for j in range(1, 4):
                moved = torch.addcmul(moved, groups[..., j, None], matrix[:, :, None, None, :, j])
        else:  # where one product is several times faster than sixteen
            moved = (groups.flatten(2, 3) @ matrix.transpose(-1, -2)).unflatten(2, groups.shape[2:4])
        first, second = rotary.chunk(2, -1)
        cos, sin = self.cos[None, :, None], self.sin[None, :, None] * turn
        turned = torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
        return torch.cat([moved.flatten(-2), turned], -1).to(x.dtype)
