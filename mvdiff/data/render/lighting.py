"""Light for photo-like references: sky and ground, one or two lamps, gloss, exposure."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.data.warp import SeededRandom
from recon.core.cameras import Cameras
from recon.core.conventions import linear_to_srgb, srgb_to_linear
from recon.rendering.shade import SurfacePoints

_UNLIT = 0.2  # share of references whose albedo is seen as it is: scans with baked light, flat graphics


@dataclass(frozen=True)
class Light:
    """Light and material, of each of ``r`` pictures its own."""

    sky: Float[Tensor, "r 3"]
    lamp1: Float[Tensor, "r 3"]
    lamp2: Float[Tensor, "r 3"]
    """Unit vectors towards them."""
    sky_color: Float[Tensor, "r 3"]
    ground_color: Float[Tensor, "r 3"]
    power1: Float[Tensor, "r 1"]
    power2: Float[Tensor, "r 1"]
    tint1: Float[Tensor, "r 3"]
    gloss: Float[Tensor, "r 1"]
    shininess: Float[Tensor, "r 1"]
    exposure: Float[Tensor, "r 1"]
    unlit: Bool[Tensor, "r 1"]
    """Whether the albedo is seen as it is."""

    @staticmethod
    def draw(cameras: Cameras, dice: SeededRandom) -> "Light":
        r = len(cameras)

        def directions(towards: Float[Tensor, "r 3"]) -> Tensor:
            return torch.nn.functional.normalize(towards + dice.normal(r, 3) * 0.7, dim=-1)

        to_camera, up = torch.nn.functional.normalize(cameras.position.cpu(), dim=-1), torch.tensor([0.0, 1.0, 0.0])
        sky = directions(up.expand(r, 3))
        sky_color, ground_color = (1 + 0.12 * dice.normal(2, r, 3)).unbind(0)
        ground, ambient = dice.uniform(0.1, 0.7, r, 1), dice.uniform(0.35, 0.9, r, 1)
        return Light(
            sky=sky,
            lamp1=directions(to_camera * 0.7 + up * 0.7),
            lamp2=directions(to_camera * 0.3),
            sky_color=ambient * sky_color,
            ground_color=ambient * ground * ground_color,
            power1=dice.uniform(0.0, 1.0, r, 1),
            power2=dice.uniform(-0.4, 0.4, r, 1).clamp_min(0),
            tint1=1 + 0.08 * dice.normal(r, 3),
            gloss=dice.uniform(-0.5, 0.5, r, 1).clamp_min(0),  # half of all things are matte
            shininess=torch.exp(dice.uniform(math.log(4.0), math.log(120.0), r, 1)),
            exposure=torch.exp(dice.normal(r, 1) * 0.15),
            unlit=dice.uniform(0, 1, r, 1) < _UNLIT,
        )

    def __getitem__(self, pictures: slice) -> "Light":
        return Light(**{name: value[pictures] for name, value in vars(self).items()})

    def __call__(self, points: SurfacePoints, cameras: Cameras) -> Float[Tensor, "p 3"]:
        """sRGB in [0, 1] of the points that the pictures of ``cameras`` see."""
        normal, one = points.normal, len(cameras) == 1

        def each(values: Tensor) -> Tensor:
            """Light of each image at each of its points."""
            values = values.to(normal.device)
            return values if one else values.index_select(0, points.picture)

        def cosine(towards: Tensor) -> Float[Tensor, "p 1"]:
            return (normal * towards).sum(-1, keepdim=True)

        lamp1, power1 = each(self.lamp1), each(self.power1)
        view = torch.nn.functional.normalize(each(cameras.position) - points.position, dim=-1)
        ambient = torch.lerp(each(self.ground_color), each(self.sky_color), cosine(each(self.sky)) * 0.5 + 0.5)
        diffuse = ambient + power1 * each(self.tint1) * cosine(lamp1).clamp_min(0)
        diffuse = diffuse + each(self.power2) * cosine(each(self.lamp2)).clamp_min(0)

        half = torch.nn.functional.normalize(lamp1 + view, dim=-1)  # Blinn 1977
        highlight = cosine(half).clamp_min(0) ** each(self.shininess)
        fresnel = (1 - cosine(view).clamp(0, 1)) ** 5
        specular = each(self.gloss) * (highlight * power1 + fresnel * ambient)

        radiance = srgb_to_linear(points.albedo) * diffuse + specular
        developed = linear_to_srgb((radiance * each(self.exposure)).clamp(0, 1))
        return torch.where(each(self.unlit), points.albedo, developed.clamp(0, 1))
