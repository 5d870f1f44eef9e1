"""Random variants of a mesh: a catalog of a few thousand objects must not be learned by heart."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.mesh import TexturedMesh


class SeededRandom:
    """Small random numbers from one seed, on the CPU, so that a variant is the same on every device."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def chance(self, probability: float) -> bool:
        return bool(torch.rand((), generator=self.generator) < probability)

    def number(self, low: float, high: float) -> float:
        return float(self.uniform(low, high))


def warp_mesh(mesh: TexturedMesh, dice: SeededRandom) -> TexturedMesh:
    """Another object of the same kind: stretched, bent, tilted and dyed, again of radius 0.5."""
    vertices = mesh.vertices
    if dice.chance(0.8):
        vertices = vertices * torch.exp(dice.uniform(-0.28, 0.28, 3)).to(vertices)
    if dice.chance(0.3):
        vertices = _deform(
            vertices, taper=dice.number(-0.5, 0.5), twist=dice.number(-0.6, 0.6), bend=dice.number(-0.5, 0.5)
        )
    tilt = dice.number(0, 1)
    # Seldom: a tilt towards the camera looks like another elevation, and what people photograph stands.
    if tilt < 0.04:  # lying on any side
        vertices = vertices @ _rotation(dice.normal(3), dice.number(0, 2 * math.pi)).T.to(vertices)
    elif tilt < 0.1:
        axis = torch.tensor([dice.number(-1, 1), 0.0, dice.number(-1, 1)])
        vertices = vertices @ _rotation(axis, math.radians(dice.number(-15, 15))).T.to(vertices)
    colors, texture = mesh.colors, mesh.texture
    if (colors is not None or texture is not None) and dice.chance(0.6):
        dye = _Dye.draw(dice)
        colors = None if colors is None else dye(colors)
        texture = None if texture is None else dye(texture.flatten(1).T).T.reshape(texture.shape)
    return replace(mesh, vertices=vertices, colors=colors, texture=texture).normalized()


def _deform(x: Float[Tensor, "k 3"], taper: float, twist: float, bend: float) -> Float[Tensor, "k 3"]:
    height = x[:, 1:2]
    angle = twist * height
    scale = 1 + taper * height
    x_new = (x[:, :1] * angle.cos() + x[:, 2:] * angle.sin()) * scale
    z_new = (-x[:, :1] * angle.sin() + x[:, 2:] * angle.cos()) * scale
    return torch.cat([x_new + bend * height.square(), height, z_new], 1)


def _rotation(axis: Float[Tensor, "3"], angle: float) -> Float[Tensor, "3 3"]:
    """Rodrigues' formula."""
    x, y, z = torch.nn.functional.normalize(axis + 1e-9, dim=0).tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return torch.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


@dataclass(frozen=True)
class _Dye:
    """Turns the hue about the gray axis, then saturation, contrast and brightness; sometimes swaps the channels."""

    channels: list[int]
    turn: Float[Tensor, "3 3"]
    saturation: float
    gamma: float

    @staticmethod
    def draw(dice: SeededRandom) -> "_Dye":
        channels = torch.randperm(3, generator=dice.generator).tolist() if dice.chance(0.2) else [0, 1, 2]
        angle = dice.number(-0.5, 0.5) * (4 if dice.chance(0.3) else 1)
        return _Dye(channels, _rotation(torch.ones(3), angle), dice.number(0.5, 1.5), math.exp(dice.number(-0.4, 0.4)))

    def __call__(self, colors: Float[Tensor, "k 3"]) -> Float[Tensor, "k 3"]:
        colors = colors[:, self.channels]
        gray = colors.mean(-1, keepdim=True)
        turned = (colors - gray) @ self.turn.T.to(colors) * self.saturation + gray
        return turned.clamp(0, 1) ** self.gamma


@dataclass(frozen=True)
class Pattern:
    """Stripes, checks, spots or blotches through space: detail that coarse meshes cannot hold in vertex colors."""

    kind: int
    frequency: float
    directions: Float[Tensor, "3 3"]
    phase: Float[Tensor, "3"]
    threshold: float
    band: float | None
    """Only beyond this height along the third direction."""
    strength: float
    paint: Float[Tensor, "3"]

    @staticmethod
    def draw(dice: SeededRandom) -> "Pattern":
        kind = int(dice.number(0, 4))
        frequency = math.exp(dice.number(math.log(8.0), math.log(60.0)))
        directions = torch.nn.functional.normalize(dice.normal(3, 3), dim=-1)
        phase = dice.uniform(0, 2 * math.pi, 3)
        ranges = {0: (-0.3, 0.6), 2: (0.1, 0.5), 3: (-0.5, 1.5)}
        threshold = dice.number(*ranges[kind]) if kind in ranges else 0.0
        band = dice.number(-0.2, 0.2) if dice.chance(0.5) else None
        return Pattern(
            kind, frequency, directions, phase, threshold, band, dice.number(0.3, 1.0), dice.uniform(0.02, 0.98, 3)
        )

    def __call__(
        self, position: Float[Tensor, "*batch 3"], albedo: Float[Tensor, "*batch 3"]
    ) -> Float[Tensor, "*batch 3"]:
        """``albedo`` with the pattern painted over it."""
        directions, phase = self.directions.to(position), self.phase.to(position)
        waves = torch.sin(position @ directions.T * self.frequency + phase)
        if self.kind == 0:
            mask = waves[..., :1] > self.threshold
        elif self.kind == 1:
            mask = waves[..., :1] * waves[..., 1:2] > 0
        elif self.kind == 2:
            mask = waves.prod(-1, keepdim=True) > self.threshold
        else:
            slow = torch.sin(position @ directions.roll(1, 0).T * self.frequency * 0.37 + phase.roll(1))
            mask = (waves + slow).sum(-1, keepdim=True) > self.threshold
        if self.band is not None:
            mask = mask & ((position @ directions[2])[..., None] > self.band)
        return torch.where(mask, albedo + self.strength * (self.paint.to(albedo) - albedo), albedo)
