"""Walkable ground of a scene."""

from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from mvdiff.data.scenes.scene import Ground

#: Least connected ground for cameras, in square meters.
_LEAST_AREA = 1.2


class Walkable:
    """The largest connected part of a ground."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.free: Bool[np.ndarray, "nz nx"] = _largest_part(ground.free)
        self.cells: Int[np.ndarray, "c 2"] = np.argwhere(self.free)

    def points(self, cells: Int[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """x and z of cells (row, column)."""
        return np.stack([cells[..., 1] + 0.5, cells[..., 0] + 0.5], -1) * self.ground.cell + self.ground.origin

    def inside(self, points: Float[np.ndarray, "*n 2"]) -> Bool[np.ndarray, "*n"]:
        """Whether one can stand at x, z."""
        row, column, within = self._cells_of(points)
        return np.asarray(within & self.free[row, column])

    def height(self, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n"]:
        """Height of the floor at x, z."""
        row, column, _ = self._cells_of(points)
        return np.asarray(self.ground.height[row, column], np.float64)

    def _cells_of(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cell = np.floor((np.asarray(points) - self.ground.origin) / self.ground.cell).astype(int)[..., ::-1]
        inside = cell.clip(0, np.array(self.free.shape) - 1)
        within = (cell == inside).all(-1)
        return np.asarray(inside[..., 0]), np.asarray(inside[..., 1]), np.asarray(within)

    @cached_property
    def everywhere(self) -> Float[np.ndarray, "c 2"]:
        return self.points(self.cells)

    def anywhere(self, rng: np.random.Generator) -> Float[np.ndarray, "2"]:
        """A random free point."""
        return self.everywhere[rng.integers(len(self.cells))]

    def between(
        self, rng: np.random.Generator, center: Float[np.ndarray, "2"], near: float, far: float
    ) -> Float[np.ndarray, "2"]:
        """A random free point ``near`` to ``far`` from ``centre``, or the one that comes closest to that."""
        distance = np.linalg.norm(self.everywhere - center, axis=-1)
        inside = np.flatnonzero((distance >= near) & (distance <= far))
        if len(inside):
            return self.everywhere[inside[rng.integers(len(inside))]]
        return self.everywhere[np.abs(distance - (near + far) / 2).argmin()]


def has_room(ground: Ground) -> bool:
    """Whether enough of the ground hangs together."""
    return bool(_largest_part(ground.free).sum() * ground.cell**2 >= _LEAST_AREA)


def _largest_part(free: Bool[np.ndarray, "nz nx"]) -> Bool[np.ndarray, "nz nx"]:
    from scipy import ndimage

    label, count = ndimage.label(free)
    return free if count == 0 else label == 1 + np.bincount(label.ravel())[1:].argmax()
