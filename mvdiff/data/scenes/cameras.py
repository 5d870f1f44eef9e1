"""Cameras in scenes: photos, spheres around a place, views along a way."""

from enum import IntEnum

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.data.scenes.ground import Walkable
from mvdiff.data.scenes.scene import Scene
from mvdiff.sampling.scene_rig import SPHERE_VIEWS, Pose, cameras_of, sphere_rig

__all__ = ["SPHERE_VIEWS", "Director", "Pose", "Role", "cameras_of", "good_photo", "sphere_rig"]

Rng = np.random.Generator


class Role(IntEnum):
    """Purpose of a view in a record."""

    PHOTO = 0
    SPHERE = 1
    PATH = 2


class Director:
    """Chooses where the cameras of one scene stand and look."""

    def __init__(self, scene: Scene, rng: Rng) -> None:
        self.scene, self.rng, self.walkable = scene, rng, Walkable(scene.ground)

    def place(self, spot: Float[np.ndarray, "2"]) -> tuple[float, float, float]:
        """A camera's position .8 to 2 m above the ground."""
        eye = self.rng.uniform(1.3, 1.75) if self.rng.uniform() < 0.7 else self.rng.uniform(0.8, 2.0)
        return float(spot[0]), float(self.walkable.height(spot) + eye), float(spot[1])

    def first_place(self) -> tuple[float, float, float]:
        """Anywhere, or where the hidden attribute asks for."""
        view = self.scene.viewpoint
        if view is None:
            return self.place(self.walkable.anywhere(self.rng))
        # Not a cell of the ground: what is hidden may shift the grid, and the photo would tell.
        return self.place(self.rng.uniform(view.low, view.high))

    def next_place(self, center: tuple[float, float, float], median: float) -> tuple[float, float, float]:
        """.3 to 1.5 median depths from ``centre``."""
        return self.place(self._near(center, median))

    def photo(self, position: tuple[float, float, float], first: bool = False) -> Pose:
        """A photo as people take them: nearly level, towards where there is something to see."""
        rng, view = self.rng, self.scene.viewpoint if first else None
        fov = rng.uniform(55, 75) if rng.uniform() < 0.7 else rng.uniform(50, 80)
        pitch, roll = float(np.clip(rng.normal(-6, 7), -28, 16)), float(np.clip(rng.normal(0, 1.5), -5, 5))
        if view is not None:
            return Pose(position, rng.uniform(-view.yaw, view.yaw), pitch, roll, fov)
        return Pose(position, self._open_yaw(position), pitch, roll, fov)

    def path(self, center: tuple[float, float, float], yaw: float, median: float, count: int) -> list[Pose]:
        """Views from points .3 to 1.5 median depths away, looking anywhere; half of them turn on from ``yaw``."""
        poses = []
        turn = self.rng.choice([-1, 1]) * self.rng.uniform(20, 90)
        for k in range(count):
            position = self.place(self._near(center, median))
            heading = yaw + turn * k if self.rng.uniform() < 0.5 else self._open_yaw(position)
            pitch = float(np.clip(self.rng.normal(-6, 9), -35, 20))
            poses.append(Pose(position, heading % 360, pitch, 0.0, self.rng.uniform(55, 90)))
        return poses

    def _near(self, center: tuple[float, float, float], median: float) -> Float[np.ndarray, "2"]:
        middle = np.array([center[0], center[2]])
        return self.walkable.between(self.rng, middle, 0.3 * median, 1.5 * median)

    def _open_yaw(self, position: tuple[float, float, float]) -> float:
        """Draw one of twelve random directions, preferring distant surfaces over near ones and over plain sky."""
        yaw = self.rng.uniform(0, 2 * np.pi, 12)
        fan = (yaw[:, None] + np.radians([-22, 0, 22])).ravel()
        ways = np.stack([np.sin(fan), np.full(len(fan), -0.08), -np.cos(fan)], -1).astype(np.float32)
        origins = np.broadcast_to(np.array(position, np.float32), ways.shape).copy()
        reach = np.asarray(self.scene.casting.run(origins, ways, query="DISTANCE"), float)
        reach = np.where(reach < 1e3, np.clip(reach, 0.05, 12.0), 6.0 if self.scene.outdoors else 1.5)
        weight = reach.reshape(12, 3).mean(-1) ** 3
        return float(np.degrees(self.rng.choice(yaw, p=weight / weight.sum())))


def good_photo(depth: Float[Tensor, "h w"]) -> bool:
    """Whether a photo shows a place: some surface, not right before the lens, and more than one bare wall."""
    seen = depth > 0
    if seen.float().mean() < 0.35 or ((depth < 0.35) & seen).float().mean() > 0.04:
        return False
    near, middle, far = torch.quantile(depth[seen], torch.tensor([0.1, 0.5, 0.9]))
    return bool(middle > 0.7) and bool(far > 1.3 * near)
