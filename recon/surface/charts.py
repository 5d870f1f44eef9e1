"""Cutting a surface into charts that can be laid flat: connected patches that face one of a few directions."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from recon.core.mesh import TexturedMesh

#: The axes suffice: a patch loses at most a factor of three in one direction, and few charts mean few seams.
DIRECTIONS = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
#: Faces that are turned further away from a chart's direction than this cosine would be squeezed.
_LEAST_COSINE = 0.35
#: The same for faces of tiny charts that join a neighbor.
_LEAST_JOINED = 0.12
#: How much a face follows its neighbors rather than its own normal.
_FOLLOWING = 0.6
_SWEEPS = 8
#: Charts of less than this share of the whole area join a neighbor.
_TINY = 0.002


@dataclass(frozen=True)
class Charts:
    chart: Int[np.ndarray, "f"]
    """Number of each face's chart, 0 … count-1."""
    direction: Int[np.ndarray, "f"]
    """Row of :data:`DIRECTIONS` that the face's chart is looked at from."""
    neighbor: Int[np.ndarray, "f 3"]
    """See :func:`neighbours`."""

    @property
    def count(self) -> int:
        return int(self.chart.max(initial=-1)) + 1

    @cached_property
    def in_order(self) -> tuple[Int[np.ndarray, "f"], Int[np.ndarray, "c"]]:
        """Faces in the order of their charts, and where each chart begins among them."""
        order = np.argsort(self.chart, kind="stable")
        return order, np.searchsorted(self.chart[order], np.arange(self.count))


def cut(mesh: TexturedMesh) -> Charts:
    """Patches within which every face looks towards the patch's direction."""
    vertices, faces = mesh.vertices.detach().cpu().numpy(), mesh.faces.cpu().numpy()
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=-1) / 2
    cosine = (normal / np.maximum(2 * area, 1e-30)[:, None]) @ DIRECTIONS.T
    neighbor = neighbors(faces)
    length = np.linalg.norm(np.roll(corners, -1, 1) - corners, axis=-1) * (neighbor >= 0)
    direction = _smoothed(cosine, neighbor, length)
    chart = components(neighbor, direction)
    for _ in range(2):
        direction = _joined(chart, direction, cosine, area, neighbor, length)
        chart = components(neighbor, direction)
    return Charts(chart, direction, neighbor)


def neighbors(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "f 3"]:
    """The face across each edge (corner i to corner i + 1), -1 at borders and where more than two faces meet."""
    start, end = faces.reshape(-1).astype(np.int64), np.roll(faces, -1, 1).reshape(-1)
    edge = np.minimum(start, end) * (int(faces.max(initial=0)) + 1) + np.maximum(start, end)
    order = np.argsort(edge, kind="stable")
    ordered = edge[order]
    same = ordered[1:] == ordered[:-1]
    before, after = np.append(False, same), np.append(same, False)
    pair = same & ~before[:-1] & ~after[1:]
    one, two = order[:-1][pair], order[1:][pair]
    across = np.full(len(edge), -1, np.int64)
    across[one], across[two] = two // 3, one // 3
    return across.reshape(-1, 3)


def components(neighbor: Int[np.ndarray, "f 3"], label: Int[np.ndarray, "f"]) -> Int[np.ndarray, "f"]:
    """Number of the connected region of equal labels that each face belongs to."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    linked = (neighbor >= 0) & (label[neighbor] == label[:, None])
    to, start = neighbor[linked], np.append(0, np.count_nonzero(linked, 1).cumsum())
    links = csr_array((np.ones(len(to)), to.astype(np.int32), start.astype(np.int32)), shape=(len(label), len(label)))
    return connected_components(links, directed=False)[1].astype(np.int64)


def _smoothed(
    cosine: Float[np.ndarray, "f d"], neighbor: Int[np.ndarray, "f 3"], length: Float[np.ndarray, "f 3"]
) -> Int[np.ndarray, "f"]:
    """A direction for each face near its normal and equal to its neighbours' (iterated conditional modes, Besag 1986).

    Every other face moves at a time: neighbors that change together could swap for ever.
    """
    share = length / np.maximum(length.sum(1, keepdims=True), 1e-30)
    admissible = np.where(cosine >= _LEAST_COSINE, cosine, -np.inf)
    direction = cosine.argmax(1)
    for sweep in range(_SWEEPS):
        rows = np.arange(sweep % 2, len(cosine), 2)
        votes = np.zeros((len(rows), cosine.shape[1]), np.float32)
        for side in range(3):
            votes[np.arange(len(rows)), direction[neighbor[rows, side]]] += share[rows, side]
        best = (admissible[rows] + _FOLLOWING * votes).argmax(1)
        possible = np.isfinite(admissible[rows, best])
        direction[rows[possible]] = best[possible]
    return direction


def _joined(
    chart: Int[np.ndarray, "f"],
    direction: Int[np.ndarray, "f"],
    cosine: Float[np.ndarray, "f d"],
    area: Float[np.ndarray, "f"],
    neighbor: Int[np.ndarray, "f 3"],
    length: Float[np.ndarray, "f 3"],
) -> Int[np.ndarray, "f"]:
    """Tiny charts take the direction of the neighbor with the longest common border that their faces can bear."""
    count = int(chart.max(initial=-1)) + 1
    tiny = np.bincount(chart, area, count) < _TINY * area.sum()
    steepest = np.full((count, cosine.shape[1]), np.inf, np.float32)
    np.minimum.at(steepest, chart, cosine)
    face, side = np.nonzero((neighbor >= 0) & tiny[chart][:, None] & (chart[neighbor] != chart[:, None]))
    border = np.zeros((count, cosine.shape[1]))
    # Two tiny charts must not swap places: only the smaller number moves to the other.
    other = neighbor[face, side]
    moves = ~tiny[chart[other]] | (chart[other] > chart[face])
    np.add.at(border, (chart[face[moves]], direction[other[moves]]), length[face[moves], side[moves]])
    border[steepest < _LEAST_JOINED] = 0
    target = border.argmax(1)
    joins = tiny & (border.max(1) > 0)
    return np.where(joins[chart], target[chart], direction)
