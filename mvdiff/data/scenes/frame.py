"""Convention of scenes: which world a network, an evaluation and an exporter speak of.

A scene's own world has +Y up against gravity and meters; a record keeps its cameras and depths in it. Every view of a
record can be the photo. The *photo's world* is that scene moved and scaled so that

- the photo's camera stands at the origin,
- gravity is still along -Y: pitch and roll stay in the photo's camera,
- the photo looks along -Z where its viewing direction is laid flat (a glTF camera looks along -Z, too),
- the photo's median depth over all its pixels with a surface is :data:`PHOTO_DEPTH`.

Cameras keep OpenCV axes (x right, y down, z forward) in both. With one rigid matrix ``W`` and a scale ``s``, points go
from the scene to the photo's world by ``s * (W @ p)``, z-depths by ``s``, normals by ``W[:3, :3]``.
"""

import torch
from jaxtyping import Float
from torch import Tensor

#: Median depth of the photo: the distance from which the object model's cameras look.
PHOTO_DEPTH = 1.5


def photo_frame(c2w: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """Rigid matrix from the scene's world into that of the photo taken by ``c2w``, without the scale.

    A camera that looks straight up or down has no horizontal direction; what is up in its picture then counts.
    """
    forward, down = c2w[..., :3, 2], c2w[..., :3, 1]
    # Looking up, the top of the picture lies behind; looking down, it lies ahead.
    steep = (forward[..., 1:2].abs() > 0.999).to(c2w)
    ahead = forward * (1 - steep) + down * torch.sign(forward[..., 1:2]) * steep
    length = torch.linalg.vector_norm(ahead[..., [0, 2]], dim=-1, keepdim=True).clamp_min(1e-9)
    sin, cos = (ahead[..., [0]] / length)[..., 0], (-ahead[..., [2]] / length)[..., 0]  # yaw from -Z towards +X
    zero, one = torch.zeros_like(sin), torch.ones_like(sin)
    rows = [torch.stack(r, -1) for r in ((cos, zero, sin), (zero, one, zero), (-sin, zero, cos))]
    turn = torch.stack(rows, -2)
    matrix = torch.zeros_like(c2w)
    matrix[..., :3, :3] = turn
    matrix[..., :3, 3] = -(turn @ c2w[..., :3, 3:])[..., 0]
    matrix[..., 3, 3] = 1
    return matrix


def photo_median(depth: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch"]:
    """Median z-depth of the pixels with a surface (depth above 0), in the depth's unit; 1 where there is none."""
    flat = depth.flatten(-2).float()
    median = torch.where(flat > 0, flat, torch.nan).nanmedian(-1).values
    return torch.nan_to_num(median, nan=1.0)


def to_photo_frame(
    c2w: Float[Tensor, "*batch v 4 4"], photo: Float[Tensor, "*batch 4 4"], median: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch v 4 4"]:
    """Cameras of the scene's world in the photo's world, unit included."""
    moved = photo_frame(photo)[..., None, :, :] @ c2w
    scale = torch.ones_like(moved)
    scale[..., :3, 3] = (PHOTO_DEPTH / median)[..., None, None]
    return moved * scale
