"""Light for photo-like references: sky and ground, one or two lamps, gloss, exposure."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.data.warp import Dice
from recon.cameras import Cameras
from recon.conventions import linear_to_srgb, srgb_to_linear
from recon.rendering.shade import SurfacePoints

_UNLIT = 0.2  # share of references whose albedo is seen as it is: scans with baked light, flat graphics


def light(points: SurfacePoints, cameras: Cameras, dice: Dice) -> Float[Tensor, "p 3"]:
    """sRGB in [0, 1]; each of the pictures gets its own light and material."""
    r, picture = points.shape[0], points.picture
    place = points.position

    def each(values: Tensor) -> Tensor:
        """One number or vector of each picture for each of its points."""
        return values.reshape(r, -1).to(place).index_select(0, picture)

    def directions(towards: Float[Tensor, "r 3"]) -> Tensor:
        return each(torch.nn.functional.normalize(towards + dice.normal(r, 3) * 0.7, dim=-1))

    normal = points.normal
    view = torch.nn.functional.normalize(cameras.position.index_select(0, picture) - place, dim=-1)
    to_camera = torch.nn.functional.normalize(cameras.position.cpu(), dim=-1)
    up = torch.tensor([0.0, 1.0, 0.0])
    albedo = srgb_to_linear(points.albedo)

    sky = (normal * directions(up.expand(r, 3))).sum(-1, keepdim=True) * 0.5 + 0.5
    sky_color, ground_color = (1 + 0.12 * dice.normal(2, r, 3)).unbind(0)
    ground = dice.uniform(0.1, 0.7, r, 1)
    ambient = each(dice.uniform(0.35, 0.9, r, 1)) * (sky * each(sky_color) + (1 - sky) * each(ground * ground_color))
    lamp1, lamp2 = directions(to_camera * 0.7 + up * 0.7), directions(to_camera * 0.3)
    power1, power2 = each(dice.uniform(0.0, 1.0, r, 1)), each(dice.uniform(-0.4, 0.4, r, 1).clamp_min(0))
    tint1 = each(1 + 0.08 * dice.normal(r, 3))
    lit1, lit2 = ((normal * lamp).sum(-1, keepdim=True).clamp_min(0) for lamp in (lamp1, lamp2))
    diffuse = ambient + power1 * tint1 * lit1 + power2 * lit2

    # Blinn 1977; half of all things are matte.
    gloss = each(dice.uniform(-0.5, 0.5, r, 1).clamp_min(0))
    shininess = each(torch.exp(dice.uniform(math.log(4.0), math.log(120.0), r, 1)))
    half = torch.nn.functional.normalize(lamp1 + view, dim=-1)
    highlight = (normal * half).sum(-1, keepdim=True).clamp_min(0) ** shininess
    fresnel = (1 - (normal * view).sum(-1, keepdim=True).clamp(0, 1)) ** 5
    specular = gloss * (highlight * power1 + fresnel * ambient)

    radiance = albedo * diffuse + specular
    exposure = each(torch.exp(dice.normal(r, 1) * 0.15))
    developed = linear_to_srgb((radiance * exposure).clamp(0, 1))
    unlit = each(dice.uniform(0, 1, r, 1)) < _UNLIT
    return torch.where(unlit, points.albedo, developed.clamp(0, 1))
