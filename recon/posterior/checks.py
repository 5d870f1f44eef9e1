"""Warnings about a posterior: hypotheses that do not belong together, or are too few."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.metrics.distances import iou_matrix
from recon.ops.parallel import in_threads
from recon.posterior.hypothesis import Hypothesis

_LARGER = 2.0
_AGREEMENT = 0.5
_GAIN = 0.25
#: Quarter turns that tools confuse: Y up against Z up, and front against side.
_TURNS = {"about X": (1, 2), "about Y": (2, 0), "about Z": (0, 1)}


def warnings_of(
    hypotheses: Sequence[Hypothesis], weights: Float[Tensor, "n"], inside: Bool[Tensor, "n g g g"]
) -> tuple[str, ...]:
    """``inside``: the hypotheses on their common grid."""
    found = []
    if len(hypotheses) == 1:
        found.append("One hypothesis says nothing about uncertainty: sample at least four.")
    elif float(1 / (weights**2).sum()) < 2:
        found.append("Nearly all weight lies on one hypothesis: the spread is understated.")
    empty = [index for index in range(len(inside)) if not bool(inside[index].any())]
    if empty:
        found.append(f"Hypotheses {empty} enclose no volume on the grid: open or very thin surfaces.")
    unclosed = [k for k, h in enumerate(hypotheses) if h.sdf is None and k not in empty and not is_closed(h.mesh)]
    if unclosed:
        found.append(f"Hypotheses {unclosed} are open surfaces: what is inside them is told by their winding number.")
    return (*found, *_frames(hypotheses, inside))


def is_closed(mesh: TexturedMesh) -> bool:
    """Whether every edge is passed as often in one direction as in the other (corners at one place are one corner)."""
    _, corner = (mesh.vertices * 1e6).round().long().unique(dim=0, return_inverse=True)
    faces = corner[mesh.faces]
    edges = torch.stack([faces, faces.roll(-1, 1)], -1).reshape(-1, 2)
    forward = edges[:, 0] < edges[:, 1]
    count = len(corner)
    key = edges.amin(1) * count + edges.amax(1)
    _, place = key.unique(return_inverse=True)
    sign = torch.where(edges[:, 0] == edges[:, 1], 0, torch.where(forward, 1, -1))
    return not bool(torch.zeros(int(place.max()) + 1, dtype=torch.long).index_add_(0, place, sign).any())


def _frames(hypotheses: Sequence[Hypothesis], inside: Bool[Tensor, "n g g g"]) -> list[str]:
    """Hypotheses whose size, place or axes are not the others'."""
    if len(hypotheses) < 2:
        return []
    bounds = torch.stack([torch.stack(h.mesh.bounds) for h in hypotheses])
    size, center = (bounds[:, 1] - bounds[:, 0]).norm(dim=-1), bounds.mean(1)
    usual = float(size.median())
    found = []
    strange = [k for k, s in enumerate(size.tolist()) if not 1 / _LARGER < s / usual < _LARGER]
    if strange:
        found.append(f"Hypotheses {strange} differ more than {_LARGER:g}-fold in size: are they in one unit?")
    apart = (center - center.median(0).values).norm(dim=-1) > 0.5 * usual
    moved = [k for k in range(len(hypotheses)) if bool(apart[k]) and k not in strange]
    if moved:
        found.append(f"Hypotheses {moved} stand elsewhere than the others: are they in one frame?")
    if len(hypotheses) >= 3 and not strange and not moved:
        found += _turned(inside[:, ::2, ::2, ::2])  # a quarter turn shows on a coarse grid
    return found


def _turned(inside: Bool[Tensor, "n g g g"]) -> list[str]:
    agreement = iou_matrix(inside)
    count = len(inside)
    solid = inside.float()
    turns = [(name, q) for name in _TURNS for q in ((1, 3) if name != "about Y" else (1, 2, 3))]

    def told(k: int) -> list[str]:
        others = [j for j in range(count) if j != k]
        among = agreement[others][:, others]
        if float((among.sum() - among.diagonal().sum()) / max((count - 1) * (count - 2), 1)) < _AGREEMENT:
            return []
        turned = torch.stack([torch.rot90(solid[k], quarter, _TURNS[name]) for name, quarter in turns])
        fits = iou_matrix(turned, solid)[:, others].mean(1).tolist()
        own = float(agreement[k, others].mean())
        found = []
        for (name, quarter), fit in zip(turns, fits, strict=True):
            if fit > own + _GAIN:
                found.append(
                    f"Hypothesis {k} fits the others when it is turned by {90 * quarter} degrees {name}: is it in "
                    f"another frame?"
                )
                own = fit
        return found

    return [text for each in in_threads(told, range(count)) for text in each]
