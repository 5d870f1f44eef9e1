"""Splats: 3D Gaussians of one color each (Kerbl et al. 2023), as one frozen noun."""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

#: The constant spherical harmonic, 1 / (2 sqrt(pi)): splat files store color divided by it.
SH_0 = 0.28209479177387814


@dataclass(frozen=True)
class Splats:
    """``p`` Gaussians in the +Y-up world."""

    position: Float[Tensor, "p 3"]
    scale: Float[Tensor, "p 3"]
    """Standard deviations along the Gaussian's own axes, world units."""
    rotation: Float[Tensor, "p 4"]
    """Unit quaternions w, x, y, z that turn the Gaussian's axes into the world's."""
    opacity: Float[Tensor, "p"]
    """In 0 to 1."""
    color: Float[Tensor, "p 3"]
    """sRGB in 0 to 1."""

    def __len__(self) -> int:
        return len(self.position)

    def __getitem__(self, index) -> "Splats":
        return Splats(*(getattr(self, f.name)[index] for f in fields(self)))

    def to(self, device: torch.device | str) -> "Splats":
        return Splats(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def harmonics(self) -> Float[Tensor, "p 3"]:
        """Coefficients of the constant spherical harmonic, as splat files store color."""
        return (self.color - 0.5) / SH_0

    @property
    def normal(self) -> Float[Tensor, "p 3"]:
        """The Gaussian's own z axis, across which a disc is thin."""
        return rotation_matrix(self.rotation)[..., 2]

    def transformed(self, matrix: Float[Tensor, "4 4"]) -> "Splats":
        """The splats moved by a similarity without mirroring."""
        matrix = matrix.to(self.position)
        factor = torch.linalg.det(matrix[:3, :3]) ** (1 / 3)
        turn = quaternion(matrix[None, :3, :3] / factor)
        position = self.position @ matrix[:3, :3].T + matrix[:3, 3]
        return replace(
            self,
            position=position,
            scale=self.scale * factor,
            rotation=product(turn.expand(len(self), 4), self.rotation),
        )

    @staticmethod
    def cat(parts: "list[Splats]") -> "Splats":
        return Splats(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Splats)))


def quaternion(rotation: Float[Tensor, "p 3 3"]) -> Float[Tensor, "p 4"]:
    """Unit quaternions w, x, y, z of rotation matrices, from the largest component (Shepperd 1978)."""
    m = rotation
    xx, yy, zz = m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]
    squares = torch.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], -1)
    x, y, z = m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]
    xy, xz, yz = m[:, 0, 1] + m[:, 1, 0], m[:, 0, 2] + m[:, 2, 0], m[:, 1, 2] + m[:, 2, 1]
    s = squares
    table = torch.stack([s[:, 0], x, y, z, x, s[:, 1], xy, xz, y, xy, s[:, 2], yz, z, xz, yz, s[:, 3]], -1)
    best = squares.argmax(-1)
    row = table.reshape(-1, 4, 4)[torch.arange(len(m), device=m.device), best]
    return torch.nn.functional.normalize(row, dim=-1)


def rotation_matrix(quaternion: Float[Tensor, "p 4"]) -> Float[Tensor, "p 3 3"]:
    """Rotation matrices of unit quaternions w, x, y, z."""
    w, x, y, z = quaternion.unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def product(first: Float[Tensor, "p 4"], second: Float[Tensor, "p 4"]) -> Float[Tensor, "p 4"]:
    """Hamilton products: the turn ``second``, then ``first``."""
    (w, x, y, z), (a, b, c, d) = first.unbind(-1), second.unbind(-1)
    parts = [w * a - x * b - y * c - z * d, w * b + x * a + y * d - z * c]
    parts += [w * c - x * d + y * a + z * b, w * d + x * c - y * b + z * a]
    return torch.stack(parts, -1)
