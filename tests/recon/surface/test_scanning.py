"""Texels under flat triangles, against trying every texel with every triangle."""

import torch

from recon.surface.scanning import scan_convert


def test_a_triangle_has_the_centers_that_lie_in_it():
    triangles = torch.rand(40, 3, 2, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.2  # some reach outside
    scan = scan_convert(triangles, 24)
    axis = (torch.arange(24) + 0.5) / 24
    center = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2).double()
    a, b, c = (corner[:, None] for corner in triangles.double().unbind(1))

    def side(start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        across = torch.stack([start[..., 1] - end[..., 1], end[..., 0] - start[..., 0]], -1)
        return ((center - start) * across).sum(-1)

    sides = torch.stack([side(a, b), side(b, c), side(c, a)])
    within = (sides > 0).all(0) | (sides < 0).all(0)
    found = torch.zeros_like(within)
    found[scan.face, scan.texel] = True
    assert len(scan.face) == within.sum() > 500
    assert torch.equal(found, within)
    at = (triangles[scan.face] * scan.bary[..., None]).sum(1)
    assert torch.allclose(at.double(), center[scan.texel], atol=1e-5)


def test_neighbors_leave_no_gap():
    points = torch.rand(300, 2, generator=torch.Generator().manual_seed(1)).numpy()
    from scipy.spatial import Delaunay

    corners = [[0.0, 0], [1, 0], [0, 1], [1, 1]]
    points = torch.cat([torch.from_numpy(points), torch.tensor(corners)])
    scan = scan_convert(points[torch.from_numpy(Delaunay(points.numpy()).simplices).long()], 512)
    assert len(scan.texel.unique()) == 512**2


def test_a_triangle_without_area_gives_no_odd_numbers():
    line = torch.tensor([[[0.1, 0.5], [0.5, 0.5], [0.9, 0.5]], [[0.5, 0.1], [0.5, 0.1], [0.5, 0.9]]])
    scan = scan_convert(line + 0.5 / 16, 16)
    assert scan.bary.isfinite().all()
    assert torch.allclose(scan.bary.sum(-1), torch.ones(len(scan.bary)))
