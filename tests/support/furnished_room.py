"""A furnished box room with a window, without symmetry: its meshes, its cameras and its true renders."""

from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from trimesh.transformations import translation_matrix

from recon import Cameras, TexturedMesh, ViewSet
from recon.core.cameras import pinhole
from recon.rendering import render_mesh

#: Meters: the room's extent, seen from the photo's place at the origin.
LOW, HIGH = np.array([-2.0, -1.5, -3.5]), np.array([3.0, 1.1, 2.5])
#: Furniture as (low corner, high corner, color): a red cupboard on the right (+X), a green table on the left, a blue
#: block behind the photo (+Z), a yellow lamp above.
FURNITURE = (
    ((1.6, -1.5, -3.4), (2.9, 0.3, -2.6), (0.8, 0.2, 0.15)),
    ((-1.7, -1.5, -2.6), (-0.6, -0.8, -1.8), (0.2, 0.65, 0.25)),
    ((0.4, -1.5, 1.2), (1.2, -0.9, 2.0), (0.2, 0.3, 0.8)),
    ((-0.6, 0.7, -2.0), (-0.2, 0.9, -1.6), (0.9, 0.8, 0.2)),
)
#: Opening in the wall on the left: y and z from, to.
WINDOW = ((-0.4, 0.6), (-1.2, 0.0))


@dataclass(frozen=True)
class Room:
    mesh: TexturedMesh
    """In scene units."""
    metres: float
    """Metres in one scene unit."""
    views: ViewSet
    """[1 v]: the photo first, then the sphere and the stations."""

    @property
    def photo(self) -> ViewSet:
        return self.views.select_views([0])


def room(size: int = 128, stations: int = 0, supersample: int = 2) -> Room:
    """True renders of the photo (75 degrees), a sphere of 8 views at its place and 8 for each further station."""
    mesh = _mesh()
    photo = Cameras.look_at(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, -1.0]]), 75.0, size)
    median = float(render_mesh(mesh, photo).depth.flatten().median())
    scale = 1.5 / median
    mesh = TexturedMesh(mesh.vertices * scale, mesh.faces, mesh.colors)
    places = torch.tensor([[0.0, 0.0, 0.0], [1.5, -0.2, -1.6], [-1.2, 0.1, 1.4], [1.8, 0.0, 1.2]])[: stations + 1]
    cameras = Cameras.cat([photo, *(sphere(place * scale, size) for place in places)])
    return Room(mesh, 1 / scale, render_mesh(mesh, cameras, supersample))


def sphere(place: torch.Tensor, size: int) -> Cameras:
    """Six views around at 90 degrees, one up and one down at 100 degrees."""
    yaw = torch.deg2rad(torch.arange(6) * 60.0)
    around = torch.stack([yaw.sin(), torch.zeros(6), -yaw.cos()], -1)
    poles = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    targets = place + torch.cat([around, poles])
    cameras = Cameras.look_at(place.expand(8, 3), targets, 90.0, size)
    lenses = torch.stack([pinhole(90.0, size, size)] * 6 + [pinhole(100.0, size, size)] * 2)
    return Cameras(cameras.c2w, lenses, size, size)


def _mesh() -> TexturedMesh:
    parts = [*_walls(), *(_block(*item) for item in FURNITURE)]
    vertices, faces, colors = zip(*parts, strict=True)
    starts = np.cumsum([0, *(len(v) for v in vertices[:-1])])
    joined = np.concatenate([f + start for f, start in zip(faces, starts, strict=True)])
    return TexturedMesh.from_arrays(np.concatenate(vertices), joined, np.concatenate(colors))


def _walls():
    """The shell, tessellated, with a smooth pattern, and without the window."""
    step = 0.1
    for axis in range(3):
        first, second = [a for a in range(3) if a != axis]
        for side in (LOW, HIGH):
            a = np.linspace(LOW[first], HIGH[first], round((HIGH - LOW)[first] / step) + 1)
            b = np.linspace(LOW[second], HIGH[second], round((HIGH - LOW)[second] / step) + 1)
            grid = np.stack(np.meshgrid(a, b, indexing="ij"), -1).reshape(-1, 2)
            vertices = np.empty((len(grid), 3))
            vertices[:, axis], vertices[:, [first, second]] = side[axis], grid
            i, j = np.meshgrid(np.arange(len(a) - 1), np.arange(len(b) - 1), indexing="ij")
            corner = (i * len(b) + j).reshape(-1)
            quads = np.stack([corner, corner + len(b), corner + len(b) + 1, corner + 1], -1)
            if axis == 0 and side is LOW:
                middle = vertices[quads].mean(1)
                (low_y, high_y), (low_z, high_z) = WINDOW
                inside = (middle[:, 1] > low_y) & (middle[:, 1] < high_y)
                quads = quads[~(inside & (middle[:, 2] > low_z) & (middle[:, 2] < high_z))]
            faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
            yield vertices, faces, _pattern(vertices, axis)


def _pattern(vertices: np.ndarray, axis: int) -> np.ndarray:
    base = np.array([[0.75, 0.7, 0.6], [0.5, 0.4, 0.3], [0.6, 0.65, 0.75]])[axis]
    wave = 0.12 * np.sin(vertices @ np.array([2.1, 3.3, 2.7]))[:, None] * np.array([1.0, 0.6, -0.8])
    return np.clip(base + wave, 0, 1)


def _block(low, high, color):
    size, middle = np.subtract(high, low), np.add(high, low) / 2
    box = trimesh.creation.box(size, translation_matrix(middle)).subdivide_to_size(0.3)
    return box.vertices, box.faces, np.clip(np.array(color) + 0.05 * np.sin(9 * box.vertices), 0, 1)
