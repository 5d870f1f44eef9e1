"""A given camera path through a scene: how far it stays in space that is known to be free."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.scenes.scene import Scene


@dataclass(frozen=True)
class Walk:
    """The part of a path that a camera can follow."""

    cameras: Cameras
    """[k], in scene units."""
    obstacle: str | None = None
    """Reason why the path ends early; None if it does not."""


def walk_along(scene: Scene, path: Cameras, collision: bool = True) -> Walk:
    """Follow a path in meters (+Y up, the photo's camera at the origin, looking along -Z) until it meets an obstacle.

    Places between two cameras are checked at every half cell of the scene's grid. Beyond the grid nothing is known.

    Args:
        scene: one hypothesis.
        path: cameras [v].
        collision: stop at walls and at the end of what is known; False follows the path through them.
    """
    c2w = path.c2w.clone()
    c2w[:, :3, 3] /= scene.metres
    cameras = replace(path, c2w=c2w)
    if not collision:
        return Walk(cameras)
    places = cameras.position
    for index in range(len(cameras)):
        found = _obstacle(scene, places[max(index - 1, 0)], places[index])
        if found is not None:
            where = f"camera {index + 1} of {len(cameras)}"
            return Walk(cameras[slice(0, index)], f"The path ends before {where}: {found}.")
    return Walk(cameras)


def _obstacle(scene: Scene, start: Float[Tensor, "3"], end: Float[Tensor, "3"]) -> str | None:
    grid = scene.field.grid
    count = int((end - start).norm() / (0.5 * grid.cell)) + 2
    points = start + torch.linspace(0, 1, count)[:, None] * (end - start)
    cell, inside = grid.locate(points)
    x, y, z = cell.unbind(-1)
    occupied = scene.field.occupied[0, x, y, z] & inside
    unknown = scene.field.unknown[0, x, y, z] | ~inside
    if bool(occupied.any()) and int(occupied.int().argmax()) <= int(unknown.int().argmax() if unknown.any() else count):
        return "there is a surface in the way"
    return "no view shows what is there" if bool(unknown.any()) else None
