"""Volume rendering of signed-distance fields in pure torch (NeuS, Wang et al. 2021)."""

import torch
from jaxtyping import Float
from torch import Tensor


def neus_weights(sdf: Float[Tensor, "*r s"], sharpness: float) -> Float[Tensor, "*r t"]:
    """Weight of each interval between neighbouring samples of a ray; they sum to the ray's opacity."""
    outside = torch.sigmoid(sdf * sharpness)
    alpha = ((outside[..., :-1] - outside[..., 1:]) / (outside[..., :-1] + 1e-5)).clamp(0, 1)
    through = torch.cumprod(torch.cat([torch.ones_like(alpha[..., :1]), 1 - alpha + 1e-7], -1), -1)
    return alpha * through[..., :-1]


def trilinear(field: Float[Tensor, "n g g g"], points: Float[Tensor, "n p 3"], extent: float) -> Float[Tensor, "n p"]:
    """Values of each field at its own points; cell centres as in :class:`recon.grid.VoxelGrid`."""
    g = field.shape[-1]
    index = ((points / extent + 1) * (g / 2) - 0.5).clamp(0, g - 1 - 1e-4)
    low = index.floor()
    fraction = index - low
    x, y, z = low.long().unbind(-1)
    base = (x * g + y) * g + z
    flat = field.flatten(1)
    fx, fy, fz = fraction.unbind(-1)
    # Written as gathers: grid_sample's backward pass in 3D is several times slower on a CPU.
    corner = [flat.gather(1, base + (i * g + j) * g + k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    along_z = [torch.lerp(corner[i], corner[i + 1], fz) for i in (0, 2, 4, 6)]
    along_y = [torch.lerp(along_z[i], along_z[i + 1], fy) for i in (0, 2)]
    return torch.lerp(along_y[0], along_y[1], fx)
