"""The cube of voxels in which hypotheses are compared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.mesh import TexturedMesh


@dataclass(frozen=True)
class VoxelGrid:
    """``resolution``^3 cells over the cube of half side ``extent`` around ``centre``; values live at cell centers."""

    center: Float[Tensor, "3"]
    extent: float
    resolution: int

    @property
    def spacing(self) -> float:
        return 2 * self.extent / self.resolution

    @property
    def cell_volume(self) -> float:
        return self.spacing**3

    def to(self, device: torch.device | str) -> "VoxelGrid":
        return replace(self, center=self.center.to(device))

    @staticmethod
    def around(meshes: Sequence[TexturedMesh], resolution: int) -> "VoxelGrid":
        """A cube that holds all ``meshes`` with two free cells on every side."""
        low = torch.stack([mesh.bounds[0] for mesh in meshes]).amin(0)
        high = torch.stack([mesh.bounds[1] for mesh in meshes]).amax(0)
        half = float((high - low).amax()) / 2
        return VoxelGrid((low + high) / 2, half * resolution / (resolution - 4), resolution)

    def points(self) -> Float[Tensor, "g g g 3"]:
        """Cell centers in world units, indexed x, y, z."""
        axis = (torch.arange(self.resolution, device=self.center.device) + 0.5) * self.spacing - self.extent
        return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1) + self.center

    def indices(self, points: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
        """World points in cells: cell centers are whole numbers."""
        return (points - self.center + self.extent) / self.spacing - 0.5

    def sampling(self, points: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
        """World points as grid_sample takes them: in -1…1 over the cube, the axes named last to first."""
        return ((points - self.center) / self.extent).flip(-1)

    def sample(self, fields: Float[Tensor, "n g g g"], points: Float[Tensor, "*shape 3"]) -> Float[Tensor, "n *shape"]:
        """Trilinear values at world ``points``; the border continues outwards."""
        where = self.sampling(points).reshape(1, -1, 1, 1, 3)
        values = torch.nn.functional.grid_sample(fields[None], where, padding_mode="border", align_corners=False)
        return values.reshape(len(fields), *points.shape[:-1])

    def surface(self, field: Float[Tensor, "g g g"]) -> TexturedMesh:
        """Zero level of a field that is negative inside (Lorensen & Cline 1987); no faces where nothing is inside."""
        from skimage.measure import marching_cubes

        # A level exactly at a cell's center would make triangles without area.
        least = 1e-3 * self.spacing
        inside = field <= -least
        if not bool(inside.any()) or bool(inside.all()):
            return TexturedMesh(field.new_zeros(0, 3), field.new_zeros(0, 3).long())
        # No further than behind the shape: no other thread works while cubes are marched through.
        across = inside.any(0)
        sides = inside.any(2).any(1), across.any(1), across.any(0)
        box = field[tuple(slice(int(side.nonzero()[-1]) + 2) for side in sides)]
        box = torch.where(box.abs() < least, least, box)
        # A positive rim closes shapes that touch the border.
        padded = torch.nn.functional.pad(box[None, None], (1,) * 6, value=self.spacing)[0, 0]
        vertices, faces, _, _ = marching_cubes(padded.cpu().numpy(), 0.0, gradient_direction="descent")
        world = (torch.as_tensor(vertices.copy()).to(self.center) - 0.5) * self.spacing - self.extent + self.center
        return TexturedMesh(world, torch.as_tensor(faces.copy()).long().to(world.device))


def inside_volume(inside: Bool[Tensor, "*n g g g"], grid: VoxelGrid) -> Float[Tensor, "*n"]:
    """Volume of the marked cells in cubic world units."""
    return inside.sum((-3, -2, -1)).float() * grid.cell_volume
