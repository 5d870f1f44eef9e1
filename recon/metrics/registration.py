"""Rigid registration of points on a surface."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from recon.metrics.shape import SurfacePoints

#: Directions in which the geometry holds this much less than in the best one are left as they are.
_DEGENERATE = 1e-3
_TRIM = 3.0  # median distances beyond which pairs do not count


@dataclass(frozen=True)
class RigidMotion:
    matrix: Float[Tensor, "4 4"]

    @property
    def degrees(self) -> float:
        """Angle of the rotation."""
        r = self.matrix[:3, :3].double()
        axis = torch.stack([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
        return float(torch.rad2deg(torch.atan2(axis.norm(), r.trace() - 1)))

    @property
    def distance(self) -> float:
        """Displacement of the origin."""
        return float(self.matrix[:3, 3].norm())


def register(points: Float[Tensor, "p 3"], surface: SurfacePoints, iterations: int = 15) -> RigidMotion:
    """Motion that brings ``points`` onto ``surface``: trimmed point-to-plane ICP (Chen & Medioni 1991).

    Motions that the geometry cannot tell, such as sliding along the only wall, are left out (Zhang et al. 2016).
    Both clouds need at least six points.
    """
    if min(len(points), len(surface)) < 6:
        raise ValueError("Registration needs at least six points on either side.")
    from scipy.spatial import cKDTree

    surface = SurfacePoints(surface.points.double().cpu(), surface.normals.double().cpu())
    tree = cKDTree(surface.points.numpy())
    own = points.double().cpu()
    scale = own.norm(dim=-1).median().clamp_min(1e-12)
    matrix = torch.eye(4, dtype=torch.float64)
    for _ in range(iterations):
        moved = own @ matrix[:3, :3].T + matrix[:3, 3]
        step = _step(moved, surface, tree, float(scale))
        matrix = step @ matrix
        if float((step - torch.eye(4, dtype=torch.float64)).abs().max()) < 1e-6:
            break
    return RigidMotion(matrix.float())


def _step(points: Float[Tensor, "p 3"], surface: SurfacePoints, tree: Any, scale: float) -> Float[Tensor, "4 4"]:
    distance, index = map(torch.as_tensor, tree.query(points.numpy()))
    kept = distance <= _TRIM * distance.median().clamp_min(1e-9)
    p, q, n = points[kept] / scale, surface.points[index][kept] / scale, surface.normals[index][kept]
    jacobian = torch.cat([torch.linalg.cross(p, n), n], -1)
    values, vectors = torch.linalg.eigh(jacobian.T @ jacobian)
    inverse = torch.where(values > _DEGENERATE * values[-1], 1 / values.clamp_min(1e-300), 0.0)
    x = -vectors @ (inverse * (vectors.T @ (jacobian.T @ ((p - q) * n).sum(-1))))
    twist = torch.zeros(4, 4, dtype=torch.float64)
    twist[0, 1], twist[0, 2], twist[1, 2] = -x[2], x[1], -x[0]
    twist[:3, :3] -= twist[:3, :3].T.clone()
    twist[:3, 3] = x[3:] * scale
    return torch.linalg.matrix_exp(twist)
