"""A place from a seed, as one triangle soup with its light."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from mvdiff.data.procedural.hidden import HiddenAttribute
from mvdiff.data.scenes.textures import Atlas

Split = Literal["train", "validation", "held_out"]


@dataclass(frozen=True)
class Soup:
    """Triangles of a scene; a vertex belongs to faces of one material alone."""

    vertices: Float[np.ndarray, "k 3"]
    faces: Int[np.ndarray, "f 3"]
    normals: Float[np.ndarray, "k 3"]
    """Unit normals for shading."""
    albedo: Float[np.ndarray, "k 3"]
    """Linear reflectance, multiplied with the texture."""
    uv: Float[np.ndarray, "k 2"]
    """In periods of the texture."""
    material: Int[np.ndarray, "f"]
    """Number of the texture; 0 is white."""
    solid: Bool[np.ndarray, "k"]
    """Architecture, whose faces turn outwards; the faces of things may turn either way."""
    glowing: Bool[np.ndarray, "k"]


@dataclass(frozen=True)
class Sun:
    direction: Float[np.ndarray, "3"]
    """Unit vector towards the sun."""
    color: Float[np.ndarray, "3"]
    """Irradiance of a surface that faces it, linear."""


@dataclass(frozen=True)
class Lamp:
    position: Float[np.ndarray, "3"]
    color: Float[np.ndarray, "3"]
    """Radiant intensity, linear."""
    aim: Float[np.ndarray, "3"] | None = None
    """Direction of a lamp that shines into a half space, such as a window."""
    zone: tuple[float, float] = (-np.inf, np.inf)
    """Range of z that it may light, so that what is hidden from a photo does not show by its light."""


@dataclass(frozen=True)
class Ground:
    """Places where a camera may stand: a grid of cells over x (columns) and z (rows)."""

    free: Bool[np.ndarray, "nz nx"]
    height: Float[np.ndarray, "nz nx"]
    """Height of the walking surface."""
    origin: tuple[float, float]
    """x and z of the grid's corner."""
    cell: float


@dataclass(frozen=True)
class Viewpoint:
    """Camera of the photo of a scene with a hidden attribute, placed so that it cannot show it."""

    low: tuple[float, float]
    """Least x and z."""
    high: tuple[float, float]
    yaw: float
    """Largest turn to either side of -Z, in degrees."""


@dataclass(frozen=True)
class Scene:
    """A lit place, in meters, +Y up."""

    kind: str
    seed: int
    split: Split
    soup: Soup
    light: Float[np.ndarray, "k 3"]
    """Baked irradiance per vertex without the sun's, linear, exposed so that white under 1 is bright."""
    atlas: Atlas
    sky: Float[np.ndarray, "h w 3"]
    """Equirectangular sRGB in [0, 1]; the top row is straight up, the middle column along -Z, +X to the right."""
    ground: Ground
    outdoors: bool
    sun: Sun | None = None
    viewpoint: Viewpoint | None = None
    hidden: HiddenAttribute | None = None
    casting: Any = field(default=None, repr=False, compare=False)
    """Embree's structure over the triangles."""

    @cached_property
    def name(self) -> str:
        return f"scene/{self.kind}/{self.split}/{self.seed}"
