"""The furnished room as hypotheses of the explorer: true surfaces, true voxels, all sizes known."""

from dataclasses import replace

import furnished_room
import numpy as np
import torch

from recon import Cameras, TexturedMesh
from recon.core.splats import Splats
from recon.report.explorer import Collider, SceneView
from recon.scenes.grid import SceneGrid

CELL = 0.1
#: A platform to step on, and one too high for that: low corner, high corner, color.
STEP = ((-1.5, -1.5, 0.6), (-0.5, -1.3, 1.6), (0.9, 0.5, 0.1))


def room_view(furniture=furnished_room.FURNITURE, **changes) -> SceneView:
    """The room in meters with its window, fog around it, the far half guessed and more uncertain to the right."""
    parts = [*map(_inwards, furnished_room._walls()), *(furnished_room._block(*item) for item in furniture)]
    starts = np.cumsum([0, *(len(vertices) for vertices, _, _ in parts)])
    mesh = TexturedMesh.from_arrays(
        np.concatenate([vertices for vertices, _, _ in parts]),
        np.concatenate([faces + start for (_, faces, _), start in zip(parts, starts, strict=False)]),
        np.concatenate([colors for _, _, colors in parts]),
    )
    z = mesh.vertices[:, 2]
    attributes = {"provenance": (z > -1).byte() + (z > 1).byte(), "uncertainty": mesh.vertices[:, 0] + 2}
    view = SceneView(replace(mesh, attributes=attributes), collider_of(mesh), weight=0.5)
    return replace(view, **changes)


def _inwards(part):
    """A wall whose fronts face the room."""
    vertices, faces, colors = part
    a, b, c = vertices[faces[0]]
    inside = (furnished_room.LOW + furnished_room.HIGH) / 2 - a
    return vertices, faces if np.cross(b - a, c - a) @ inside > 0 else faces[:, ::-1], colors


def collider_of(mesh: TexturedMesh) -> Collider:
    """Cells that the mesh passes, by dense points on its triangles; outside the room nothing is known."""
    low, high = torch.as_tensor(furnished_room.LOW).float(), torch.as_tensor(furnished_room.HIGH).float()
    # Surfaces lie in the middle of cells.
    grid = SceneGrid(low - 4.5 * CELL, CELL, tuple(int(n) for n in ((high - low) / CELL).round() + 9))
    a, b, c = mesh.triangles.unbind(1)
    occupied = torch.zeros(grid.shape, dtype=torch.bool)
    for u in torch.linspace(0, 1, 9):
        for v in torch.linspace(0, float(1 - u), 9):
            cells, inside = grid.locate(a + u * (b - a) + v * (c - a))
            occupied[tuple(cells[inside].T)] = True
    points = grid.points()
    return Collider(grid, occupied, ~((points >= low) & (points <= high)).all(-1) & ~occupied)


def splat_wall() -> Splats:
    """Round red splats side by side in the plane z = -2, two meters wide and high."""
    side = torch.arange(-1, 1.01, 0.05)
    x, y = torch.meshgrid(side, side, indexing="ij")
    position = torch.stack([x, y, torch.full_like(x, -2.0)], -1).reshape(-1, 3)
    count = len(position)
    return Splats(
        position,
        torch.tensor([[0.04, 0.04, 0.004]]).repeat(count, 1),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        torch.full((count,), 0.98),
        torch.tensor([[0.9, 0.1, 0.1]]).repeat(count, 1),
    )


def photo_camera(width: int, height: int, fov: float = 70.0) -> Cameras:
    """At the origin, level, along -Z; ``fov`` degrees from top to bottom."""
    focal = height / (2 * np.tan(np.deg2rad(fov) / 2))
    camera = Cameras.look_at(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, -1.0]]), fov, height)
    lens = torch.tensor([[[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]], dtype=torch.float32)
    return Cameras(camera.c2w, lens, width, height)
