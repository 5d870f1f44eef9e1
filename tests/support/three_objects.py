"""A photo of three procedural objects on a table, with their true masks and poses."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.data.procedural import make
from mvdiff.data.render.pictures import photo_like
from mvdiff.data.warp import SeededRandom
from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.rendering import render_mesh

#: Family, seed, scale and place (x, z) of each object on the table y = 0.
OBJECTS = (("mug", 3, 0.9, (-0.75, 0.1)), ("chair", 8, 1.3, (0.05, -0.6)), ("teddy", 2, 0.7, (0.75, 0.35)))
ELEVATION, DISTANCE, FOV = 28.0, 3.6, 40.0


@dataclass(frozen=True)
class ThreeObjects:
    rgb: np.ndarray
    """[h w 3] bytes."""
    masks: Bool[Tensor, "3 h w"]
    """Visible pixels of each."""
    meshes: tuple[TexturedMesh, ...]
    """In the world of the table."""
    scales: tuple[float, ...]
    centers: Float[Tensor, "3 3"]
    """Centers of their bounding boxes."""
    camera: Cameras
    """[1]"""

    @property
    def points(self) -> list[tuple[float, float]]:
        """A pixel well inside each mask."""
        import cv2

        found = []
        for mask in self.masks.numpy():
            depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
            y, x = np.unravel_index(depth.argmax(), depth.shape)
            found.append((float(x) + 0.5, float(y) + 0.5))
        return found


@cache
def three_objects(plain: bool = False, size: tuple[int, int] = (384, 288)) -> ThreeObjects:
    """The photo; on a patterned table unless ``plain``."""
    camera = Cameras.orbit([0.0], ELEVATION, DISTANCE, fov=FOV, size=size)
    camera = camera.transformed(_shift(0.0, 0.25, 0.0))
    meshes = tuple(_placed(*each) for each in OBJECTS)
    depths = [render_mesh(mesh, camera, 1).depth[0, 0, 0] for mesh in meshes]
    nearest = torch.stack([torch.where(depth > 0, depth, torch.inf) for depth in depths])
    masks = (nearest == nearest.amin(0)) & nearest.isfinite()
    joined = _joined([*meshes] if plain else [*meshes, _table()])
    torch.manual_seed(0)
    rgba = photo_like(joined, camera, SeededRandom(4), 2)
    alpha, y = rgba[3:], torch.linspace(0, 1, size[1])[None, :, None]
    backdrop = torch.tensor([0.8, 0.82, 0.86])[:, None, None] * (0.85 + 0.1 * y)
    rgb = rgba[:3] * alpha + backdrop * (1 - alpha)
    centers = torch.stack([(mesh.bounds[0] + mesh.bounds[1]) / 2 for mesh in meshes])
    pixels = (rgb.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return ThreeObjects(np.ascontiguousarray(pixels), masks, meshes, tuple(o[2] for o in OBJECTS), centers, camera)


def _placed(family: str, seed: int, scale: float, place: tuple[float, float]) -> TexturedMesh:
    mesh = make(seed, family).mesh.transformed(torch.diag(torch.tensor([scale, scale, scale, 1.0])))
    return mesh.transformed(_shift(place[0], -float(mesh.vertices[:, 1].min()), place[1]))


def _shift(x: float, y: float, z: float) -> Float[Tensor, "4 4"]:
    matrix = torch.eye(4)
    matrix[:3, 3] = torch.tensor([x, y, z])
    return matrix


def _table(cells: int = 60, half: float = 6.0) -> TexturedMesh:
    """A patterned plane."""
    rng = np.random.default_rng(1)
    line = np.linspace(-half, half, cells + 1)
    x, z = np.meshgrid(line, line, indexing="ij")
    corners = np.stack([x, np.zeros_like(x), z], -1).reshape(-1, 3)
    index = np.arange(len(corners)).reshape(cells + 1, -1)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    colors = np.array([0.62, 0.5, 0.36]) * rng.uniform(0.8, 1.15, (len(corners), 1))
    return TexturedMesh.from_arrays(corners, faces, colors.clip(0, 1))


def _joined(meshes: list[TexturedMesh]) -> TexturedMesh:
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    colors = [torch.full_like(m.vertices, 0.7) if m.colors is None else m.colors for m in meshes]
    faces = [mesh.faces + int(offset) for mesh, offset in zip(meshes, offsets, strict=False)]
    return TexturedMesh(torch.cat([m.vertices for m in meshes]), torch.cat(faces), torch.cat(colors))
