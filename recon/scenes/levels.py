"""A second, coarser grid around the near one, for streets and landscapes."""

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.scenes.field import SceneField
from recon.scenes.grid import SceneGrid
from recon.scenes.mesh import SceneMeshConfig, backed, decimate_open, observed_surface, without_fragments

#: Share of the surface points that must lie beyond the near grid to make a far level worth its time.
_WORTH = 0.01


def far_grid(points: Float[Tensor, "p 3"], near: SceneGrid, cells: int, reach: float) -> SceneGrid | None:
    """A grid for what lies beyond ``near`` up to ``reach``, or None where next to nothing does."""
    beyond = ~near.locate(points)[1]
    if float(beyond.float().mean()) < _WORTH:
        return None
    grid = SceneGrid.fit(points, cells, reach)
    return grid if grid.cell > 1.2 * near.cell else None


def add_far_level(mesh: TexturedMesh, near: SceneGrid, far: SceneField, config: SceneMeshConfig) -> TexturedMesh:
    """The near mesh and, outside the near grid, the surface of the far field.

    Far cells inside the near box count as unobserved, except for one layer along its border: there the two surfaces
    overlap by a far cell, so that no gap opens between them.
    """
    points = far.grid.points()
    inset = 1.5 * far.grid.cell
    inner = ((points > near.origin + inset) & (points < near.origin + near.size - inset)).all(-1)
    observed = (far.weight[0] > 0) & ~inner
    shell = observed_surface(*backed(far.distance[0], observed, far.grid.cell), far.grid)
    shell = without_fragments(shell, config.least_area * far.grid.cell**2)
    shell = decimate_open(shell, config.faces)
    vertices = torch.cat([mesh.vertices, shell.vertices])
    both = TexturedMesh(vertices, torch.cat([mesh.faces, shell.faces + len(mesh.vertices)]))
    return decimate_open(both, config.faces)
