"""What is done to fields before and beside meshing: crumbs blurred away, truncated distances carried on."""

import torch
from scipy.ndimage import gaussian_filter

from recon.core.grid import VoxelGrid
from recon.ops.sdf import reinitialize
from recon.surface.smoothing import smooth_fields

GRID = VoxelGrid(torch.zeros(3), 0.55, 48)


def test_every_field_has_its_own_gaussian_and_the_border_continues():
    fields, widths = torch.randn(3, 20, 20, 20), torch.tensor([0.8, 0.0, 0.5])
    made = smooth_fields(fields, widths, 0.8)
    assert torch.allclose(made[1], fields[1], atol=1e-6)
    for k in (0, 2):
        expected = gaussian_filter(fields[k].numpy(), float(widths[k]), mode="nearest", radius=3)
        assert torch.allclose(made[k], torch.from_numpy(expected), atol=1e-5)
    assert torch.equal(made[2], smooth_fields(fields[2:], widths[2:], 0.8)[0])
    assert torch.equal(smooth_fields(fields, torch.zeros(3), 0.8), fields)


def test_truncated_distances_become_true_ones():
    points = GRID.points() - torch.tensor([0.05, 0.0, -0.1])
    ball = points.norm(dim=-1) - 0.25
    outside = (points.abs() - torch.tensor([0.3, 0.2, 0.15])).clamp_min(0).norm(dim=-1)
    box = outside + (points.abs() - torch.tensor([0.3, 0.2, 0.15])).amax(-1).clamp_max(0)
    for truth in (ball, box):
        made = reinitialize(truth.clamp(-0.04, 0.04), GRID.spacing)
        assert torch.equal(made < 0, truth < 0)
        assert (made - truth).abs().mean() < 0.3 * GRID.spacing
        near = truth.abs() < 0.06
        assert (made - truth)[near].abs().mean() < 0.1 * GRID.spacing
        beside = truth.abs() < 0.5 * GRID.spacing
        assert torch.equal(made[beside], truth[beside])


def test_a_field_without_a_surface_stays_as_it_is():
    for sign in (1, -1):
        field = torch.full((8, 8, 8), 0.04 * sign)
        assert torch.equal(reinitialize(field, 0.1), field)
