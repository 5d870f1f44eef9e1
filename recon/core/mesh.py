"""A triangle mesh with color, as one frozen noun."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class TexturedMesh:
    """Triangles in the +Y-up world; faces turn counter-clockwise seen from outside.

    Texture coordinates belong to face corners, so that seams never split the (watertight) surface in memory; writers
    split vertices where a format asks for it.
    """

    vertices: Float[Tensor, "k 3"]
    faces: Int[Tensor, "f 3"]
    colors: Float[Tensor, "k 3"] | None = None
    """sRGB in [0, 1] per vertex."""
    uv: Float[Tensor, "f 3 2"] | None = None
    """glTF texture coordinates per corner: (0, 0) is the upper left of ``texture``."""
    texture: Float[Tensor, "3 h w"] | None = None
    """sRGB base color in [0, 1]."""
    attributes: dict[str, Tensor] = field(default_factory=dict)
    """Further per-vertex values [k] or [k, c], such as ``uncertainty``."""

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def device(self) -> torch.device:
        return self.vertices.device

    @property
    def triangles(self) -> Float[Tensor, "f 3 3"]:
        return self.vertices[self.faces]

    @property
    def bounds(self) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
        return self.vertices.amin(0), self.vertices.amax(0)

    def to(self, device: torch.device | str) -> "TexturedMesh":
        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device)

        return TexturedMesh(
            self.vertices.to(device),
            self.faces.to(device),
            move(self.colors),
            move(self.uv),
            move(self.texture),
            {name: value.to(device) for name, value in self.attributes.items()},
        )

    def transformed(self, matrix: Float[Tensor, "4 4"]) -> "TexturedMesh":
        """The mesh moved by a similarity; a mirroring matrix also turns the faces round."""
        matrix = matrix.to(self.vertices)
        vertices = self.vertices @ matrix[:3, :3].T + matrix[:3, 3]
        if torch.linalg.det(matrix[:3, :3]) >= 0:
            return replace(self, vertices=vertices)
        uv = None if self.uv is None else self.uv.flip(1)
        return replace(self, vertices=vertices, faces=self.faces.flip(1), uv=uv)

    def normalized(self, radius: float = 0.5) -> "TexturedMesh":
        """Centred on its bounding box and scaled so that the farthest vertex lies at ``radius``."""
        low, high = self.bounds
        centered = self.vertices - (low + high) / 2
        return replace(self, vertices=centered * (radius / centered.norm(dim=-1).amax().clamp_min(1e-12)))

    def face_normals(self) -> Float[Tensor, "f 3"]:
        a, b, c = self.triangles.unbind(1)
        return torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)

    def vertex_normals(self) -> Float[Tensor, "k 3"]:
        """Area-weighted unit normals."""
        a, b, c = self.triangles.unbind(1)
        normal = torch.linalg.cross(b - a, c - a)
        total = torch.zeros_like(self.vertices).index_add_(
            0, self.faces.reshape(-1).long(), normal.repeat_interleave(3, 0)
        )
        return torch.nn.functional.normalize(total, dim=-1)

    def sample_surface(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "{count} 3"]:
        """Points uniform by area."""
        a, b, c = self.triangles.unbind(1)
        area = torch.linalg.cross(b - a, c - a).norm(dim=-1)
        face = torch.multinomial(area.double().cpu(), count, replacement=True, generator=generator).to(self.device)
        r = torch.rand(count, 2, generator=generator).to(self.vertices)
        root = r[:, :1].sqrt()
        return (1 - root) * a[face] + root * (1 - r[:, 1:]) * b[face] + root * r[:, 1:] * c[face]

    def to_trimesh(self):
        """A ``trimesh.Trimesh`` with vertex colors (geometry as it is, never re-merged)."""
        import trimesh

        colors = None if self.colors is None else (self.colors.clamp(0, 1) * 255).round().byte().cpu().numpy()
        return trimesh.Trimesh(
            self.vertices.cpu().numpy(), self.faces.cpu().numpy(), vertex_colors=colors, process=False
        )

    @staticmethod
    def from_arrays(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray | None = None) -> "TexturedMesh":
        return TexturedMesh(
            torch.from_numpy(np.array(vertices, np.float32, order="C")),
            torch.from_numpy(np.array(faces, np.int64, order="C")),
            None if colors is None else torch.from_numpy(np.array(colors, np.float32, order="C")),
        )
