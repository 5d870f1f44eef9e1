"""Light of a scene, baked per vertex with shadow rays: sky and one bounce by occlusion, lamps, windows.

The sun is not baked: pixels ask for it themselves, so that its shadows are sharp.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvdiff.data.scenes.scene import Lamp, Soup, Sun

Rng = np.random.Generator

#: Rays of a vertex for occlusion: of architecture, of things.
_SHELL_RAYS, _THING_RAYS = 12, 4
_GLOW = 3.0
#: Faintest light of a lamp for which a shadow ray is cast.
_FAINT = 0.004


@dataclass(frozen=True)
class Lighting:
    """All that lights a scene, before exposure."""

    ambient: np.ndarray
    """Irradiance of an open surface that faces up, linear."""
    reach: float
    """Metres within which surfaces darken each other."""
    lamps: Sequence[Lamp] = ()
    sun: Sun | None = None
    exposed_before: float = np.inf
    """Only what lies at smaller z is measured for the exposure, so that hidden parts do not show in it."""
    brightness: float = 0.55


class LightBaker:
    """Casts shadow rays among the triangles of one soup."""

    def __init__(self, soup: Soup, casting: object) -> None:
        self.soup, self.casting = soup, casting

    def bake(self, lighting: Lighting) -> tuple[np.ndarray, Sun | None]:
        """Exposed irradiance per vertex [k 3] without the sun's, and the exposed sun."""
        soup = self.soup
        up = soup.normals[:, 1:2] * np.where(soup.solid, 1.0, 0.6)[:, None]
        occlusion = 0.35 + 0.65 * self._open(lighting.reach)
        light = lighting.ambient * (0.75 + 0.25 * up) * occlusion[:, None]
        for lamp in lighting.lamps:
            light += self._of_lamp(lamp)
        gain = self._exposure(light, lighting)
        light = (light * gain).astype(np.float32)
        light[soup.glowing] = _GLOW
        sun = lighting.sun
        return light, None if sun is None else Sun(sun.direction, sun.color * gain)

    def _exposure(self, light: np.ndarray, lighting: Lighting) -> float:
        """Factor that brings the mean of what is lit to a middling gray."""
        soup = self.soup
        measured = soup.solid & ~soup.glowing & (soup.vertices[:, 2] < lighting.exposed_before)
        lit = light[measured] * (0.35 + soup.albedo[measured])
        mean = lit.mean() if len(lit) else 0.3
        if lighting.sun is not None:
            facing = np.maximum(soup.normals[measured] @ lighting.sun.direction, 0)
            mean += 0.35 * (facing[:, None] * lighting.sun.color).mean() if len(lit) else 0.0
        return lighting.brightness / max(float(mean), 0.05)

    def _free(self, vertices: np.ndarray, towards: np.ndarray, reach: np.ndarray | float) -> np.ndarray:
        """Whether nothing is in the way from vertices along unit vectors, as far as ``reach``."""
        soup = self.soup
        lift = np.where(soup.solid[vertices, None], soup.normals[vertices] * 0.01 + towards * 0.01, towards * 0.035)
        origins = (soup.vertices[vertices] + lift).astype(np.float32)
        towards = np.ascontiguousarray(np.broadcast_to(towards, origins.shape), np.float32)
        reach = np.ascontiguousarray(np.broadcast_to(reach, len(origins)), np.float32)
        return np.asarray(self.casting.run(origins, towards, dists=reach, query="OCCLUDED")) != 0

    def _open(self, reach: float) -> np.ndarray:
        """Share [k] of directions that are free within ``reach``: above the surface, for things from above."""
        soup = self.soup
        total = np.zeros(len(soup.vertices))
        for chosen, count in ((soup.solid, _SHELL_RAYS), (~soup.solid, _THING_RAYS)):
            ids = np.flatnonzero(chosen)
            if not len(ids):
                continue
            axis = soup.normals[ids] if count == _SHELL_RAYS else np.broadcast_to(np.array([0, 1.0, 0]), (len(ids), 3))
            for towards in _cosine_directions(axis, count):
                total[ids] += self._free(ids, towards, reach) / count
        return total

    def _of_lamp(self, lamp: Lamp) -> np.ndarray:
        soup = self.soup
        way = lamp.position - soup.vertices
        distance = np.linalg.norm(way, axis=-1)
        way = way / np.maximum(distance, 1e-6)[:, None]
        cosine = (soup.normals * way).sum(-1)
        cosine = np.where(soup.solid, np.maximum(cosine, 0), np.abs(cosine) * 0.85 + 0.05)
        strength = cosine / np.maximum(distance**2, 0.25)
        if lamp.aim is not None:
            strength = strength * np.maximum(-(way @ lamp.aim), 0)
        low, high = lamp.zone
        strength[(soup.vertices[:, 2] < low) | (soup.vertices[:, 2] > high)] = 0
        ids = np.flatnonzero(strength * lamp.color.max() > _FAINT)
        strength[np.setdiff1d(np.arange(len(strength)), ids, assume_unique=True)] = 0
        if len(ids):
            strength[ids] *= self._free(ids, way[ids], np.maximum(distance[ids] - 0.12, 0.01))
        return strength[:, None] * lamp.color


def _cosine_directions(axis: np.ndarray, count: int) -> list[np.ndarray]:
    """``count`` directions [k 3] about each axis, denser near it as cosine weights ask for: the same turn for all."""
    helper = np.where(np.abs(axis[:, 1:2]) > 0.9, np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]]))
    first = np.cross(helper, axis)
    first /= np.maximum(np.linalg.norm(first, axis=-1, keepdims=True), 1e-9)
    second = np.cross(axis, first)
    directions = []
    for k in range(count):
        radius, angle = np.sqrt((k + 0.5) / count), k * np.pi * (3 - np.sqrt(5))
        flat = first * (radius * np.cos(angle)) + second * (radius * np.sin(angle))
        directions.append(axis * np.sqrt(1 - radius**2) + flat)
    return directions
