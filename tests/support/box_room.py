"""A room whose pictures are known in closed form: boxes and the rays of cameras."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.evaluation.protocols.scene_case import SceneCase
from recon.core.cameras import Cameras, pinhole
from recon.core.views import ViewSet

#: Room from corner to corner, seen from inside, and a box that stands in it; the photo's camera is the origin.
ROOM = ((-2.0, -1.2, -3.0), (2.0, 1.3, 2.0))
BOX = ((-1.2, -1.2, -2.2), (-0.4, 0.1, -1.4))


def box_room(cameras: Cameras, room=ROOM, box=BOX, open_top: bool = False) -> ViewSet:
    """Views [1 v] of cameras [v]: exact depth and normals, each side of its own color with a smooth pattern.

    ``open_top``: no ceiling, sky above.
    """
    origin, direction = cameras.rays()
    distance, normal, side = _inner(origin, direction, *(origin.new_tensor(c) for c in room))
    sky = open_top & (side == 3)
    near, near_normal, near_side = _outer(origin, direction, *(origin.new_tensor(c) for c in box))
    first = near < distance
    distance = torch.where(first, near, distance)
    normal = torch.where(first[..., None], near_normal, normal)
    side, sky = torch.where(first, near_side + 6, side), sky & ~first
    points = origin + direction * distance[..., None]
    z = (points - cameras.position[:, None] @ torch.eye(3)) @ cameras.c2w[..., :3, 2:3]
    hue = torch.stack([torch.sin(side * k + 1.0) for k in (1.3, 2.1, 3.7)], -1) * 0.25 + 0.5
    rgb = (hue + 0.15 * torch.sin(3 * points)).clamp(0, 1)
    rgb = torch.where(sky[..., None], rgb.new_tensor([0.5, 0.7, 0.9]), rgb)
    shape = (1, len(cameras), cameras.height, cameras.width)
    alpha = (~sky).float().reshape(*shape, 1)
    image = lambda x: x.reshape(*shape, -1).permute(0, 1, 4, 2, 3)  # noqa: E731
    depth = image(z) * image(alpha)
    return ViewSet(image(rgb), image(alpha), cameras.reshape(1, -1), image(normal) * image(alpha), depth)


def _inner(origin: Tensor, direction: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distance, normal and side number (axis + 3 where its sign is positive... as 2 axis + sign) seen from inside."""
    safe = torch.where(direction.abs() < 1e-9, 1e-9, direction)
    distance = torch.where(safe > 0, high - origin, low - origin) / safe
    nearest, axis = distance.min(-1)
    sign = torch.gather(safe, -1, axis[..., None])[..., 0] > 0
    normal = torch.nn.functional.one_hot(axis, 3).float() * torch.where(sign, -1.0, 1.0)[..., None]
    return nearest, normal, 2 * axis + sign


def _outer(origin: Tensor, direction: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    safe = torch.where(direction.abs() < 1e-9, 1e-9, direction)
    a, b = (low - origin) / safe, (high - origin) / safe
    enter, axis = torch.minimum(a, b).max(-1)
    hit = (enter < torch.maximum(a, b).amin(-1)) & (enter > 0)
    sign = torch.gather(safe, -1, axis[..., None])[..., 0] > 0
    normal = torch.nn.functional.one_hot(axis, 3).float() * torch.where(sign, -1.0, 1.0)[..., None]
    return torch.where(hit, enter, torch.inf), normal, 2 * axis + sign


def looking(positions: list[tuple[float, float, float]], yaws: list[float], size: int = 48, fov=70.0) -> Cameras:
    """Level cameras; yaw 0 looks along -Z, degrees towards +X."""
    p = torch.tensor(positions)
    a = torch.deg2rad(torch.tensor(yaws))
    ahead = torch.stack([a.sin(), torch.zeros_like(a), -a.cos()], -1)
    cameras = Cameras.look_at(p, p + ahead, size=size)
    return Cameras(cameras.c2w, pinhole(fov, size, size).expand(len(p), 3, 3), size, size)


def room_case(size: int = 48, **room) -> SceneCase:
    """The photo along -Z, four more directions from its place, two views further on, and the photo's camera again."""
    places = [(0.0, 0.0, 0.0)] * 5 + [(0.3, 0.1, -0.8), (0.9, 0.0, -0.5), (0.0, 0.0, 0.0)]
    cameras = looking(places, [0.0, 25.0, 90.0, 180.0, 270.0, 10.0, -60.0, 0.0], size)
    truth = box_room(cameras, **room)
    roles = ("photo", *["sphere"] * 4, "path", "path", "revisit")
    return SceneCase("room/0", "room", truth, truth.rgb[0, 0], roles, (0, 0, 0, 0, 0, 1, 1, 2))


@dataclass(frozen=True)
class RoomJob:
    """A case to be made, as the evaluation takes it; the kind is the first part of the name."""

    name: str
    size: int = 32

    def make(self) -> SceneCase:
        kind, _, seed = self.name.partition("/")
        return replace(room_case(self.size), name=self.name, kind=kind, seed=int(seed))


def room_solid(points: Float[Tensor, "*s 3"], room=ROOM, box=BOX) -> Tensor:
    """Whether points are free: in the room and not in the box."""
    inside = lambda c: ((points > points.new_tensor(c[0])) & (points < points.new_tensor(c[1]))).all(-1)  # noqa: E731
    return inside(room) & ~inside(box)


def gaussian_crps(mean: float, std: float, truth: float) -> float:
    """Closed form (Gneiting & Raftery 2007, eq. 5 of the Gaussian)."""
    z = (truth - mean) / std
    cdf = 0.5 * (1 + math.erf(z / math.sqrt(2)))
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return std * (z * (2 * cdf - 1) + 2 * density - 1 / math.sqrt(math.pi))
