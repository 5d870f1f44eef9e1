"""Optional losses on predicted views: do they agree with each other, and do they look right?

All are off by default. They act on the predicted clean views, less the noisier these were: at high noise the best
prediction is a mean of many objects, which need not be consistent.
"""

import functools
import importlib.util

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.models.encoding import RADIUS
from recon.core.cameras import Cameras
from recon.core.errors import InputError

_DEPTH, _NORMAL = slice(7, 8), slice(4, 7)
#: In world units: how far apart true surfaces may be that two views are said to share.
_SAME_SURFACE = 0.02


def normals_from_depth(depth: Float[Tensor, "b v h w"], cameras: Cameras) -> Float[Tensor, "b v 3 h w"]:
    """Unit normals of z-depth maps in world axes, towards the camera, by central differences."""
    points = cameras.unproject(depth)  # [b v h w 3]
    padded = torch.nn.functional.pad(points.flatten(0, 1).permute(0, 3, 1, 2), (1, 1, 1, 1), mode="replicate")
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    # x right, y down: down x across looks back at the camera.
    normal = torch.nn.functional.normalize(torch.linalg.cross(down, across, dim=1), dim=1, eps=1e-8)
    return normal.unflatten(0, depth.shape[:2])


def depth_normal_loss(
    prediction: Float[Tensor, "b v 8 h w"],
    clean: Float[Tensor, "b v 8 h w"],
    cameras: Cameras,
    weight: Float[Tensor, "b v"],
) -> Float[Tensor, ""]:
    """1 - cosine between predicted normals and those of the predicted depth, where the true surface is smooth."""
    predicted, true = (_depth(views, cameras) for views in (prediction, clean))
    from_depth = normals_from_depth(predicted, cameras)
    normal = torch.nn.functional.normalize(prediction[:, :, _NORMAL], dim=2, eps=1e-6)
    smooth = (normals_from_depth(true, cameras) * clean[:, :, _NORMAL]).sum(2) > 0.9
    inside = -torch.nn.functional.max_pool2d(-_inside(clean).float(), 3, 1, 1)  # no differences over the silhouette
    return _mean(1 - (from_depth * normal).sum(2), (smooth * inside) * weight[:, :, None, None])


def reprojection_loss(
    prediction: Float[Tensor, "b v 8 h w"],
    clean: Float[Tensor, "b v 8 h w"],
    cameras: Cameras,
    weight: Float[Tensor, "b v"],
) -> Float[Tensor, ""]:
    """Distance along the next view's axis between its predicted depth and the predicted surface of each view.

    Pixels count whose true surface both views see; in units of the bounding sphere's radius.
    """
    predicted, true = (_depth(views, cameras) for views in (prediction, clean))
    following = torch.arange(predicted.shape[1], device=predicted.device).roll(-1)
    others = cameras[:, following]
    seen, expected = _looked_up(true[:, following], _inside(clean)[:, following], cameras.unproject(true), others)
    shared = _inside(clean) & seen & (expected.abs() < _SAME_SURFACE)
    _, gap = _looked_up(predicted[:, following], _inside(clean)[:, following], cameras.unproject(predicted), others)
    pair = torch.minimum(weight, weight[:, following])[:, :, None, None]
    return _mean(gap.abs().clamp_max(0.2) / RADIUS, shared * pair)


def perceptual_loss(
    prediction: Float[Tensor, "b v 8 h w"], clean: Float[Tensor, "b v 8 h w"], weight: Float[Tensor, "b v"]
) -> Float[Tensor, ""]:
    """LPIPS (Zhang et al. 2018) of the colors over white."""
    pictures = []
    for views in (prediction, clean):
        alpha = (views[:, :, 3:4] * 0.5 + 0.5).clamp(0, 1)
        pictures.append((views[:, :, :3] * alpha + 1 - alpha).clamp(-1, 1).flatten(0, 1))
    distance = _lpips(str(prediction.device))(*pictures).flatten()
    return _mean(distance, weight.flatten())


@functools.lru_cache(maxsize=4)
def _lpips(device: str) -> torch.nn.Module:
    if importlib.util.find_spec("lpips") is None:
        raise InputError("The perceptual loss needs LPIPS: pip install 'mvdiff[lpips]', or set its weight to 0.")
    import lpips

    return lpips.LPIPS(net="vgg", verbose=False).eval().requires_grad_(False).to(device)


def certainty(sigma: Float[Tensor, "b v"], known: Bool[Tensor, "b"]) -> Float[Tensor, "b v"]:
    """Weight of each view: less the noisier it was, none where its channels are not known or it was given clean."""
    return (1 - sigma).square() * (sigma > 0) * known[:, None]


def _depth(views: Float[Tensor, "b v 8 h w"], cameras: Cameras) -> Float[Tensor, "b v h w"]:
    distance = cameras.position.norm(dim=-1)[..., None, None]
    return views[:, :, _DEPTH].squeeze(2) * RADIUS + distance


def _inside(views: Float[Tensor, "b v 8 h w"]) -> Bool[Tensor, "b v h w"]:
    return views[:, :, 3] > 0.9


def _looked_up(
    depth: Float[Tensor, "b v h w"], solid: Bool[Tensor, "b v h w"], points: Float[Tensor, "b v h w 3"], into: Cameras
) -> tuple[Bool[Tensor, "b v h w"], Float[Tensor, "b v h w"]]:
    """Whether ``points`` fall on the object in the other views, and how far behind its surface there."""
    h, w = depth.shape[-2:]
    pixels, z = into.project(points.flatten(2, 3))
    grid = (pixels / pixels.new_tensor([w, h]) * 2 - 1).unflatten(2, (h, w)).flatten(0, 1)
    sources = torch.stack([depth, solid.float()], 2).flatten(0, 1)
    found = torch.nn.functional.grid_sample(sources, grid, align_corners=False).unflatten(0, depth.shape[:2])
    return found[:, :, 1] > 0.99, z.unflatten(2, (h, w)) - found[:, :, 0]


def _mean(values: Tensor, weight: Tensor) -> Float[Tensor, ""]:
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)
