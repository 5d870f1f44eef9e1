"""Empty rooms by analytic ray casting: records of scenes with an exact truth, in milliseconds."""

import torch
from torch import Tensor

from mvdiff.data.scenes.record import SceneConfig
from mvdiff.data.scenes.stream import SceneStore, SceneStream, SceneStreamConfig
from recon.core.cameras import Cameras
from recon.core.views import ViewSet

HALF = torch.tensor([2.5, 1.4, 3.0])
"""Half the room's size; the floor is at -1.4."""


def box_views(cameras: Cameras) -> ViewSet:
    """What cameras [n v] see of a room whose wall at x = 2.5 has a window into a blue sky."""
    origin, direction = cameras.rays()  # [n v p 3]
    to_walls = (torch.sign(direction) * HALF - origin) / torch.where(direction.abs() < 1e-9, 1e-9, direction)
    distance, axis = to_walls.min(-1)
    place = origin + distance[..., None] * direction
    side = torch.gather(torch.sign(direction), -1, axis[..., None])[..., 0]
    window = (axis == 0) & (side > 0) & (place[..., 1].abs() < 0.7) & (place[..., 2].abs() < 1.2)
    normal = -torch.nn.functional.one_hot(axis, 3) * side[..., None]
    paint = 0.5 + 0.35 * torch.sin(3 * place + torch.tensor([0.0, 1.0, 2.0])) * (1 - normal.abs() * 0.5)
    sky = torch.tensor([0.4, 0.6, 0.9])
    depth = distance * (direction * cameras.c2w[..., None, :3, 2]).sum(-1)

    def picture(values: Tensor) -> Tensor:
        return values.transpose(-1, -2).unflatten(-1, (cameras.height, cameras.width))

    alpha = picture((~window)[..., None].float())
    rgb = picture(torch.where(window[..., None], sky, paint))
    return ViewSet(rgb, alpha, cameras, picture(normal) * alpha, picture(depth[..., None]) * alpha)


def place_cameras(generator: torch.Generator, size: int) -> tuple[Tensor, Tensor, list[int]]:
    """A photo, a sphere of eight views and five views of a walk from one place: c2w, intrinsics, roles."""
    position = (torch.rand(3, generator=generator) - 0.5) * torch.tensor([3.0, 0.6, 3.5])
    yaw = float(torch.rand((), generator=generator)) * 6.28
    views, roles = [], [0] + [1] * 8 + [2] * 5
    for k, role in enumerate(roles):
        angle, pitch, fov = yaw, -0.05, 75.0
        if role == 1:
            angle, pitch, fov = (yaw + (k - 1) * 1.047, 0.0, 90.0) if k < 7 else (yaw, (1.55, -1.55)[k - 7], 100.0)
        elif role == 2:
            angle = yaw + float(torch.rand((), generator=generator)) * 6.28
        step = 0.4 * torch.randn(3, generator=generator) * (role == 2)
        ahead = torch.tensor([_sin(angle) * _cos(pitch), _sin(pitch), -_cos(angle) * _cos(pitch)])
        at = (position + step).clamp(-HALF + 0.3, HALF - 0.3)
        views.append(Cameras.look_at(at[None], (at + ahead)[None], fov=fov, size=size))
    cameras = Cameras.cat(views)
    return cameras.c2w, cameras.intrinsics, roles


def box_stream(scenes: int, size: int) -> SceneStream:
    """A pool that holds box rooms."""
    stream = SceneStream(SceneStreamConfig(capacity=scenes, record=SceneConfig(size=size)))
    for name, value in vars(box_store(scenes, size)).items():
        if isinstance(value, Tensor):
            getattr(stream.store, name).copy_(value)
    stream.store.kinds[:] = ["room"] * scenes
    stream.count = scenes
    return stream


def box_store(scenes: int, size: int = 128, seed: int = 0) -> SceneStore:
    """Records of box rooms: two places, each with a photo, a sphere of eight views and five of a walk."""
    generator = torch.Generator().manual_seed(seed)
    c2w, intrinsics, place, role = [], [], [], []
    for _ in range(scenes):
        parts = [place_cameras(generator, size) for _ in range(2)]
        c2w.append(torch.cat([p[0] for p in parts]))
        intrinsics.append(torch.cat([p[1] for p in parts]))
        role.append([r for p in parts for r in p[2]])
        place.append([k for k, p in enumerate(parts) for _ in p[2]])
    c2w, intrinsics = torch.stack(c2w), torch.stack(intrinsics)
    views = box_views(Cameras(c2w, intrinsics, size, size))
    rgba = (torch.cat([views.rgb, views.alpha], 2) * 255).round().to(torch.uint8)
    return SceneStore(
        rgba,
        (views.normal * 127).round().to(torch.int8),
        views.depth[:, :, 0].half(),
        c2w,
        intrinsics,
        torch.tensor(place),
        torch.tensor(role, dtype=torch.uint8),
        ["room"] * scenes,
        [{} for _ in range(scenes)],
    )


def _sin(angle: float) -> float:
    return float(torch.sin(torch.tensor(angle)))


def _cos(angle: float) -> float:
    return float(torch.cos(torch.tensor(angle)))
