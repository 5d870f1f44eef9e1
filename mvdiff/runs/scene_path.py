"""A camera path that is filmed in every scene of a run."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.io.views import transforms_json
from recon.scenes import Scene
from recon.scenes.files.video import save_fly_through
from recon.scenes.path import walk_along

#: Limits that keep a path's film within memory.
_MOST_CAMERAS, _LARGEST_SIDE = 2000, 2048


@dataclass(frozen=True)
class ScenePath:
    """Cameras in meters: +Y up, the photo's camera at the origin, looking along -Z."""

    cameras: Cameras
    """[v]"""
    collision: bool = True
    """Whether the film ends at walls and where nothing is known."""
    name: str = ""

    @staticmethod
    def load(path: str | os.PathLike, collision: bool = True) -> "ScenePath":
        """Read a ``transforms.json``; its pictures need not exist.

        Raises:
            InputError: the file cannot be used, or holds too many cameras or too large ones.
        """
        cameras = transforms_json.load_cameras(path)
        if len(cameras) > _MOST_CAMERAS or max(cameras.width, cameras.height) > _LARGEST_SIDE:
            raise InputError(
                f"A path has up to {_MOST_CAMERAS} cameras of up to {_LARGEST_SIDE} pixels a side, "
                f"'{path}' has {len(cameras)} of {cameras.width} x {cameras.height}: take fewer, or smaller ones."
            )
        return ScenePath(cameras, collision, Path(path).name)

    @property
    def record(self) -> dict[str, Any]:
        """Identity of the path for a manifest."""
        content = self.cameras.c2w.numpy().tobytes() + self.cameras.intrinsics.numpy().tobytes()
        size = [self.cameras.width, self.cameras.height]
        return {"sha256": hashlib.sha256(content).hexdigest(), "size": size, "collision": self.collision}

    def film(self, scene: Scene, file: Path) -> str | None:
        """Write the film of one scene, and return why it ends early; without a single camera nothing is written."""
        walk = walk_along(scene, self.cameras, self.collision)
        if len(walk.cameras):
            save_fly_through(scene, walk.cameras, file)
        return walk.obstacle
