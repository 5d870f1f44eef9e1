"""Distances between surfaces and between solids."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.core.views import ViewSet

_CHUNK = 2**26  # distances held at a time on a GPU


@dataclass(frozen=True)
class SurfacePoints:
    """Points that stand for a surface, with its unit normals."""

    points: Float[Tensor, "p 3"]
    normals: Float[Tensor, "p 3"]

    def __len__(self) -> int:
        return len(self.points)

    def transformed(self, matrix: Float[Tensor, "4 4"]) -> "SurfacePoints":
        """Moved by a similarity."""
        matrix = matrix.to(self.points)
        linear = matrix[:3, :3]
        normals = torch.nn.functional.normalize(self.normals @ linear.T, dim=-1)
        return SurfacePoints(self.points @ linear.T + matrix[:3, 3], normals)


def visible_points(views: ViewSet, voxel: float) -> SurfacePoints:
    """Surface points seen by the cameras of ``views`` [1 v], averaged to one point per cell of ``voxel`` units.

    Insides that no camera sees do not count, and a point's share is its area's, not its vertex density's
    (SyncDreamer, Liu et al. 2023). The views need depth and normals; render them with ``supersample=1``, as depths of
    edge pixels that are means of front and back lie on no surface.
    """
    if views.depth is None or views.normal is None:
        raise ValueError("Visible points need views with depth and normals.")
    seen = views.alpha[0, :, 0] > 0.5
    points = views.cameras[0].unproject(views.depth[0, :, 0])[seen]
    return thin_points(SurfacePoints(points, views.normal[0].movedim(1, -1)[seen]), voxel)


def thin_points(surface: SurfacePoints, voxel: float) -> SurfacePoints:
    """One point for each occupied cell: the mean of those in it."""
    if len(surface) == 0:
        return surface
    place = (surface.points / voxel).floor().long()
    place = place - place.amin(0)
    size = place.amax(0) + 1  # one number for each cell: sorting rows is slow
    _, cell = torch.unique((place[:, 0] * size[1] + place[:, 1]) * size[2] + place[:, 2], return_inverse=True)
    values = torch.cat([surface.points, surface.normals, torch.ones_like(surface.points[:, :1])], -1)
    total = values.new_zeros(int(cell.max()) + 1, 7).index_add_(0, cell, values)
    normals = torch.nn.functional.normalize(total[:, 3:6], dim=-1)
    return SurfacePoints(total[:, :3] / total[:, 6:], normals)


def nearest(points: Float[Tensor, "p 3"], others: Float[Tensor, "q 3"]) -> tuple[Float[Tensor, "p"], Int[Tensor, "p"]]:
    """Distance to and index of the nearest of ``others``; a k-d tree on the CPU, all pairs on a GPU."""
    if points.device.type == "cpu":
        from scipy.spatial import cKDTree

        distance, index = cKDTree(others.double().numpy()).query(points.double().numpy())
        return torch.as_tensor(distance).float(), torch.as_tensor(index)
    step = max(1, _CHUNK // max(len(others), 1))
    parts = [
        torch.cdist(part, others, compute_mode="donot_use_mm_for_euclid_dist").min(-1) for part in points.split(step)
    ]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


@dataclass(frozen=True)
class SurfaceComparison:
    """Nearest neighbors both ways, from which all point metrics follow."""

    prediction: SurfacePoints
    truth: SurfacePoints
    to_truth: Float[Tensor, "p"]
    to_prediction: Float[Tensor, "q"]
    true_neighbor: Int[Tensor, "p"]
    """Nearest true point of each predicted point."""
    predicted_neighbor: Int[Tensor, "q"]

    @staticmethod
    def between(prediction: SurfacePoints, truth: SurfacePoints) -> "SurfaceComparison":
        """Both must have points."""
        if len(prediction) == 0 or len(truth) == 0:
            raise ValueError("A surface without points cannot be compared.")
        to_truth, true_neighbor = nearest(prediction.points, truth.points)
        to_prediction, predicted_neighbor = nearest(truth.points, prediction.points)
        return SurfaceComparison(prediction, truth, to_truth, to_prediction, true_neighbor, predicted_neighbor)

    @property
    def chamfer(self) -> float:
        """Mean nearest distance (not squared), averaged over both ways."""
        return float(self.to_truth.mean() + self.to_prediction.mean()) / 2

    def chamfer_of(self, selected: Bool[Tensor, "q"]) -> float | None:
        """Chamfer distance of a part of the true surface; predicted points belong to it by their nearest true point.

        None where the part is empty. A part that no predicted point is near counts one way only.
        """
        if not bool(selected.any()):
            return None
        from_truth = self.to_prediction[selected].mean()
        own = self.to_truth[selected[self.true_neighbor]]
        return float(from_truth + own.mean()) / 2 if len(own) else float(from_truth)

    def f_score(self, threshold: float) -> float:
        """Harmonic mean of the shares of points nearer than ``threshold`` (Knapitsch et al. 2017)."""
        precision = float((self.to_truth < threshold).float().mean())
        recall = float((self.to_prediction < threshold).float().mean())
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    @property
    def normal_consistency(self) -> float:
        """Mean |cosine| between the normals of nearest neighbors, both ways (Mescheder et al. 2019)."""
        there = (self.prediction.normals * self.truth.normals[self.true_neighbor]).sum(-1).abs().mean()
        back = (self.truth.normals * self.prediction.normals[self.predicted_neighbor]).sum(-1).abs().mean()
        return float(there + back) / 2


def volume_iou(a: Bool[Tensor, "g g g"], b: Bool[Tensor, "g g g"]) -> float:
    """Intersection over union of two solids on one grid; two empty ones agree."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def align_upright(
    prediction: Float[Tensor, "p 3"], truth: Float[Tensor, "q 3"], yaws: int = 24, iterations: int = 30
) -> Float[Tensor, "4 4"]:
    """Yaw about +Y, scale and translation that bring ``prediction`` onto ``truth``.

    Starts from each of ``yaws`` angles (centers and sizes made equal), then iterated nearest points with the
    least-squares similarity that keeps +Y (Umeyama 1991, restricted to one axis); for papers that align.
    """
    center, radius = truth.mean(0), (truth - truth.mean(0)).norm(dim=-1).mean()
    own, own_radius = prediction.mean(0), (prediction - prediction.mean(0)).norm(dim=-1).mean().clamp_min(1e-9)

    def error(matrix: Float[Tensor, "4 4"]) -> float:
        moved = prediction @ matrix[:3, :3].T + matrix[:3, 3]
        return float(nearest(moved, truth)[0].mean() + nearest(truth, moved)[0].mean())

    angles = torch.arange(yaws) * (2 * torch.pi / yaws)
    starts = [_upright(float(angle), float(radius / own_radius), own, center) for angle in angles]
    starts = sorted([torch.eye(4), *starts], key=error)[:3]
    return min((_refined(prediction, truth, start, iterations) for start in starts), key=error)


def _upright(angle: float, scale: float, own: Float[Tensor, "3"], center: Float[Tensor, "3"]) -> Float[Tensor, "4 4"]:
    cos, sin = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
    matrix = torch.eye(4)
    matrix[0, 0], matrix[0, 2], matrix[2, 0], matrix[2, 2] = cos, sin, -sin, cos
    matrix[:3, :3] *= scale
    matrix[:3, 3] = center - matrix[:3, :3] @ own
    return matrix


def _refined(
    prediction: Float[Tensor, "p 3"], truth: Float[Tensor, "q 3"], matrix: Float[Tensor, "4 4"], iterations: int
) -> Float[Tensor, "4 4"]:
    for _ in range(iterations):
        moved = prediction @ matrix[:3, :3].T + matrix[:3, 3]
        # Pairs both ways: one way alone lets the scale collapse.
        there, back = nearest(moved, truth)[1], nearest(truth, moved)[1]
        source, target = torch.cat([prediction, prediction[back]]), torch.cat([truth[there], truth])
        own, center = source.mean(0), target.mean(0)
        s, t = source - own, target - center
        angle = torch.atan2((t[:, 0] * s[:, 2] - t[:, 2] * s[:, 0]).sum(), (t * s)[:, [0, 2]].sum())
        turned = _upright(float(angle), 1.0, torch.zeros(3), torch.zeros(3))[:3, :3]
        scale = float((t * (s @ turned.T)).sum() / (s**2).sum().clamp_min(1e-12))
        if scale <= 0:
            break
        matrix = _upright(float(angle), scale, own, center)
    return matrix
