"""Hypotheses whose volumes and distances are known."""

import numpy as np
import torch
import trimesh

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.posterior import Hypothesis, PosteriorConfig, VoxelGrid

SMALL = PosteriorConfig(grid=40, samples=1024)


def ball(radius: float = 0.3, center=(0.0, 0.0, 0.0), color=(0.8, 0.3, 0.2), level: int = 3, **known) -> Hypothesis:
    mesh = trimesh.creation.icosphere(level, radius)
    mesh.apply_translation(center)
    return Hypothesis(
        TexturedMesh.from_arrays(mesh.vertices, mesh.faces, np.tile(color, (len(mesh.vertices), 1))), **known
    )


def box(size=(0.6, 0.4, 0.2), angle: float = 0.0, center=(0.0, 0.0, 0.0)) -> TexturedMesh:
    mesh = trimesh.creation.box(size)
    mesh.apply_transform(trimesh.transformations.rotation_matrix(angle, [0, 1, 0]))
    mesh.apply_translation(center)
    return TexturedMesh.from_arrays(mesh.vertices, mesh.faces)


def field_ball(radius: float, grid: int = 48, extent: float = 0.55) -> torch.Tensor:
    return VoxelGrid(torch.zeros(3), extent, grid).points().norm(dim=-1) - radius


def views(alpha: float, depth: float, azimuth: float = 0.0) -> ViewSet:
    cameras = Cameras.orbit(torch.tensor([[azimuth, azimuth + 90]]), size=8)
    shape = (1, 2, 1, 8, 8)
    return ViewSet(torch.full((1, 2, 3, 8, 8), 0.5), torch.full(shape, alpha), cameras, depth=torch.full(shape, depth))
