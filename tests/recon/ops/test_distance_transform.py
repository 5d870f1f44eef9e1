"""The nearest marked cell: by transform as by trying all, and never a farther one than there is."""

import pytest
import torch

from recon.ops import distance_transform as nearest_cells
from recon.ops.distance_transform import at_cells, distance_transform


def grids(*shape: int) -> torch.Tensor:
    """Half marked, hardly marked, marked in one corner, not at all, all over."""
    made = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    made[2] = 0
    made[2, :3, :3] = 1
    return made > torch.tensor([0.5, 0.97, 0.5, 2, -1]).reshape(-1, *[1] * len(shape))


@pytest.mark.parametrize("shape", [(24, 17), (9, 12, 7)])
def test_no_marked_cell_is_nearer(shape):
    marked = grids(*shape)
    distance, cell = distance_transform(marked)
    places = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij"), -1).reshape(-1, len(shape)).float()
    for k, one in enumerate(marked):
        if not one.any():
            assert distance[k].isinf().all()
            continue
        true = torch.cdist(places, places[one.flatten()]).amin(1).reshape(shape)
        assert torch.allclose(distance[k], true, atol=1e-5)
        assert at_cells(one, cell[k]).all()
        found = (places - places[cell[k].flatten().long()]).norm(dim=1).reshape(shape)
        assert torch.allclose(found, true, atol=1e-5)


@pytest.mark.parametrize("tried", [1, 1 << 26])
@pytest.mark.parametrize("shape", [(24, 17), (9, 12, 7)])
def test_tried_by_axes_they_are_as_near(monkeypatch, tried, shape):
    """What a GPU does, row by row or all at once, against scipy."""
    monkeypatch.setattr(nearest_cells, "_TRIED", tried)
    marked = grids(*shape)
    distance, _ = distance_transform(marked)
    index = nearest_cells.by_axes(marked)
    own = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij"))
    apart = (index - own).square().sum(1).sqrt()
    some = marked.flatten(1).any(1)
    assert torch.allclose(apart[some], distance[some], atol=1e-5)
