"""For every cell of a grid, or pixel of a picture, the nearest one that is marked."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

#: Distances between cells that are held at a time.
_TRIED = 1 << 26


def distance_transform(marked: Bool[Tensor, "n *s"]) -> tuple[Float[Tensor, "n *s"], Int[Tensor, "n *s"]]:
    """Distance in cells, infinite where a grid has no mark, and the nearest marked cell, counted through its grid."""
    index = by_axes(marked) if marked.is_cuda else torch.stack([_by_scipy(one) for one in marked.numpy()])
    squared, cell = torch.zeros((), device=marked.device), torch.zeros((), dtype=torch.int32, device=marked.device)
    for axis, size in enumerate(marked.shape[1:]):
        own = torch.arange(size, dtype=torch.int32, device=marked.device)
        own = own.reshape(size, *[1] * (marked.ndim - axis - 2))
        apart = index[:, axis] - own
        squared, cell = squared + apart * apart, cell * size + index[:, axis]
    nowhere = ~marked.flatten(1).any(1)
    return torch.where(nowhere.reshape(-1, *[1] * (marked.ndim - 1)), torch.inf, squared.sqrt()), cell


def at_cells(values: Shaped[Tensor, "*s"], cell: Int[Tensor, "*s"]) -> Shaped[Tensor, "*s"]:
    """The values at those cells of a grid."""
    return values.flatten().index_select(0, cell.flatten()).reshape(cell.shape)


def _by_scipy(marked: Bool[np.ndarray, "*s"]) -> Int[Tensor, "d *s"]:
    from scipy.ndimage import distance_transform_edt

    index = np.indices(marked.shape, np.int32)
    if not marked.all():
        # What is nearest to the others lies among them or beside them.
        box = tuple(_range(~marked.all(axis=tuple(set(range(marked.ndim)) - {axis}))) for axis in range(marked.ndim))
        found = distance_transform_edt(~marked[box], return_distances=False, return_indices=True)
        for axis, part in enumerate(box):
            index[(axis, *box)] = found[axis] + part.start
    return torch.from_numpy(index)


def _range(used: Bool[np.ndarray, "s"]) -> slice:
    """From one before the first that is used to one behind the last."""
    first, last = np.flatnonzero(used)[[0, -1]]
    return slice(max(int(first) - 1, 0), int(last) + 2)


def by_axes(marked: Bool[Tensor, "n *s"]) -> Int[Tensor, "n d *s"]:
    """By trying all cells of each row, then of each column, and so on: as wasteful as it is fast on a GPU."""
    squared = torch.where(marked, 0.0, torch.inf)
    index: list[Tensor] = []
    for axis in range(marked.ndim - 1, 0, -1):
        place = torch.arange(marked.shape[axis], device=marked.device)
        apart = (place[:, None] - place).square().float()
        lines = squared.movedim(axis, -1)
        rows = lines.reshape(-1, len(place))
        block = max(1, _TRIED // len(place) ** 2)
        least = [(part[:, None] + apart).min(-1) for part in rows.split(block)]
        squared = torch.cat([each.values for each in least]).reshape(lines.shape).movedim(-1, axis)
        step = torch.cat([each.indices for each in least]).reshape(lines.shape).movedim(-1, axis)
        index = [step, *(known.gather(axis, step) for known in index)]
    return torch.stack(index, 1).int()
