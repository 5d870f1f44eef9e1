"""Fusion of boxes, on planes whose states are known and on true renders of a room."""

import math

import numpy as np
import pytest
import torch
from plane_views import facing
from scipy.spatial import cKDTree

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.scenes import SceneField, SceneGrid, fuse_scene, photo_strata, scene_mesh
from recon.scenes.depth_maps import DepthMaps
from recon.scenes.field import FREE, OCCUPIED, UNKNOWN

GRID = SceneGrid(torch.tensor([-1.0, -1.0, -3.0]), 0.05, (40, 40, 60))


def inside_frustum(points: torch.Tensor, degrees: float = 60.0, margin: float = 0.08) -> torch.Tensor:
    half = math.tan(math.radians(degrees / 2))
    x, y, z = points.unbind(-1)
    return (torch.maximum(x.abs(), y.abs()) + margin < -z * half) & (z < -0.1)


def outside_frustum(points: torch.Tensor, degrees: float = 60.0, margin: float = 0.08) -> torch.Tensor:
    half = math.tan(math.radians(degrees / 2))
    x, y, z = points.unbind(-1)
    return torch.maximum(x.abs(), y.abs()) - margin > -z * half


def test_before_a_plane_is_free_on_it_occupied_and_behind_it_unknown():
    field = fuse_scene(facing(torch.full((48, 48), 1.52)), GRID)
    points, state = GRID.points(), field.state[0]
    z, inside = points[..., 2], inside_frustum(points)
    cell = GRID.cell
    assert (state[inside & (z > -1.52 + 0.51 * cell)] == FREE).all()
    assert (state[inside & (z < -1.52 + 0.49 * cell) & (z > -1.52 - 1.9 * cell)] == OCCUPIED).all()
    assert (state[z < -1.52 - 2.01 * cell] == UNKNOWN).all()
    assert (state[outside_frustum(points)] == UNKNOWN).all()
    near = inside & ((z + 1.52).abs() < 1.9 * cell)
    torch.testing.assert_close(field.distance[0][near], (z + 1.52)[near], atol=1e-5, rtol=0)


def test_a_tilted_plane_is_measured_along_its_normal():
    """Inverse depth is linear in the image of a plane: distances are exact, not only projective."""
    size, normal = 64, torch.nn.functional.normalize(torch.tensor([0.5, 0.2, 1.0]), dim=0)
    flat = facing(torch.ones(size, size), size=size)
    rays = flat.cameras[0].rays()[1].reshape(size, size, 3)
    depth = (-1.5 * normal[2]) / (rays @ normal) * (-rays[..., 2])  # of the plane through (0, 0, -1.5)
    views = ViewSet(
        flat.rgb, flat.alpha, flat.cameras, normal[:, None, None].expand(1, 1, 3, size, size), depth[None, None, None]
    )
    field, points = fuse_scene(views, GRID), GRID.points()
    truth = (points - torch.tensor([0.0, 0.0, -1.5])) @ normal
    near = inside_frustum(points) & (truth.abs() < 0.09)
    assert near.sum() > 500
    torch.testing.assert_close(field.distance[0][near], truth[near], atol=2e-3, rtol=0)


def test_rays_to_the_sky_carve_to_the_end_of_the_box():
    alpha = torch.ones(48, 48)
    alpha[:24] = 0.0
    field = fuse_scene(facing(torch.full((48, 48), 1.5) * alpha, alpha), GRID)
    points, state = GRID.points(), field.state[0]
    above = inside_frustum(points) & (points[..., 1] > 0.1)
    assert (state[above] == FREE).all()
    assert (state == OCCUPIED).any()
    assert (points[state == OCCUPIED][:, 1] < 0.05).all()


def test_pixels_between_two_surfaces_do_not_measure_and_their_neighbors_do():
    depth = torch.full((48, 48), 1.0)
    depth[:, 25:] = 2.5
    depth[:, 24] = 1.4  # what anti-aliasing leaves
    maps = DepthMaps.of(facing(depth))
    assert not maps.measures[0, :, 24].any()
    assert maps.measures[0, :, :24].all()
    assert maps.measures[0, :, 25:].all()
    field = fuse_scene(facing(depth), GRID)
    between = (GRID.points()[..., 2] < -1.2) & (GRID.points()[..., 2] > -2.2)
    assert not (field.occupied[0] & between).any()
    smeared = depth.clone()
    smeared[:, 23], smeared[:, 24], smeared[:, 25] = 1 / 0.85, 1 / 0.7, 1 / 0.55  # blurred over three pixels
    assert not DepthMaps.of(facing(smeared)).measures[0, :, 23:26].any()


def test_a_thin_wall_keeps_its_two_sides():
    """A wall of 1.6 cells, seen from both sides: neither side's truncation wipes out the other."""
    front = facing(torch.full((48, 48), 1.5))
    back = Cameras.look_at(torch.tensor([[0.0, 0.0, -3.0]]), torch.zeros(1, 3), 60.0, 48)
    cameras = Cameras.cat([front.cameras[0], back]).reshape(1, 2)
    depth = torch.cat([front.depth, torch.full_like(front.depth, 1.42)], 1)
    normal = torch.cat([front.normal, -front.normal], 1)
    both = ViewSet(front.rgb.expand(1, 2, 3, 48, 48), front.alpha.expand(1, 2, 1, 48, 48), cameras, normal, depth)
    mesh = scene_mesh(fuse_scene(both, GRID))
    middle = mesh.triangles.mean(1)
    middle = mesh.face_normals()[(middle[:, :2].abs() < 0.4).all(-1)], middle[(middle[:, :2].abs() < 0.4).all(-1)]
    towards_front = middle[0][:, 2] > 0.9
    assert towards_front.any()
    assert (~towards_front).any()
    assert middle[1][towards_front][:, 2].mean() == pytest.approx(-1.5, abs=0.01)
    assert middle[1][~towards_front][:, 2].mean() == pytest.approx(-1.58, abs=0.01)


def test_a_room_is_fused_where_it_is(small_room, small_field):
    """F1 at 5 % of the photo's median depth, and precision at a cell, against the true triangles."""
    mesh = scene_mesh(small_field)
    views, cell = small_room.views, small_field.grid.cell
    shown = views.alpha[0, :, 0] > 0.999
    seen = cKDTree(views.cameras[0].unproject(views.depth[0, :, 0])[shown].numpy())
    truth = small_room.mesh.sample_surface(60_000).numpy()
    visible = truth[seen.query(truth, distance_upper_bound=0.06)[0] < 0.06]
    found = mesh.sample_surface(40_000).numpy()
    to_truth, to_found = cKDTree(truth).query(found)[0], cKDTree(found).query(visible)[0]
    precision, recall = (to_truth < 0.075).mean(), (to_found < 0.075).mean()
    assert 2 * precision * recall / (precision + recall) > 0.97
    # The jambs of the window are as deep as the two layers that close holes behind the wall.
    assert (to_truth < cell).mean() > 0.95
    # Nothing flies: at most the jambs, and a pixel of 96 that sees a table at a grazing angle, reach beyond edges.
    assert np.quantile(to_truth, 0.98) < 2 * cell
    assert to_truth.max() < 8 * cell


def test_cells_called_free_are_free(small_room, small_field):
    """No cell called free holds a part of the true surface, but for those beside silhouettes."""
    truth = small_room.mesh.sample_surface(100_000)
    index, inside = small_field.grid.locate(truth)
    state = small_field.state[0][tuple(index[inside].unbind(-1))]
    known = state != UNKNOWN
    assert known.float().mean() > 0.8  # all but what stands against walls and on the floor
    distance = small_field.distance[0][tuple(index[inside].unbind(-1))]
    deep = known & (distance > 1.5 * small_field.grid.cell)
    assert deep.float().mean() < 0.005


def test_hypotheses_do_not_depend_on_each_other_nor_on_threads(small_room):
    views = small_room.views.select_views([0, 2, 5])
    grid = SceneGrid(torch.tensor([-1.2, -0.9, -2.0]), 0.08, (36, 20, 43))
    near = ViewSet(views.rgb, views.alpha, views.cameras, views.normal, views.depth * 0.9)
    one, two = fuse_scene(views, grid), fuse_scene(ViewSet.cat([near, views]), grid)
    assert torch.equal(one.state[0], two.state[1])
    assert torch.equal(one.distance[0], two.distance[1])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        several = fuse_scene(views, grid)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one.state, several.state)
    torch.testing.assert_close(one.distance, several.distance)


def test_views_without_trust_do_not_vote():
    views = facing(torch.full((48, 48), 1.5))
    wrong = facing(torch.full((48, 48), 0.8))
    pair = ViewSet(
        *(torch.cat([getattr(views, n), getattr(wrong, n)], 1) for n in ("rgb", "alpha")),
        views.cameras.expand(1, 2),
        *(torch.cat([getattr(views, n), getattr(wrong, n)], 1) for n in ("normal", "depth")),
    )
    alone, trusted = fuse_scene(views, GRID), fuse_scene(pair, GRID, trust=torch.tensor([[1.0, 0.0]]))
    assert torch.equal(alone.state, trusted.state)


def test_strata_of_a_photo():
    depth = torch.full((48, 48), 1.5)
    depth[:, 30:] = 0.0  # sky
    camera = facing(depth).cameras[0]
    strata, points = photo_strata(GRID, camera, depth), GRID.points()
    inside, x, z = inside_frustum(points), points[..., 0], points[..., 2]
    left = x < 0.1 * z.abs()
    assert (strata[inside & left & (z > -1.5)] == 0).all()
    assert (strata[inside & left & (z < -1.55)] == 1).all()
    assert (strata[inside & (x > 0.3 * z.abs())] == 0).all()  # through sky everything is seen
    assert (strata[outside_frustum(points)] == 2).all()


def test_fields_are_saved_and_what_is_wrong_is_said(tmp_path, small_field):
    back = SceneField.load(small_field.save(tmp_path).parent)
    assert torch.equal(back.state, small_field.state)
    assert back.grid.shape == small_field.grid.shape
    assert back.grid.cell == small_field.grid.cell
    assert (back.distance - small_field.distance).abs().max() < 1e-3
    with pytest.raises(InputError, match="There is no scene field"):
        SceneField.load(tmp_path / "none")
    views = facing(torch.full((48, 48), 1.5))
    with pytest.raises(InputError, match="depth and normals"):
        fuse_scene(ViewSet(views.rgb, views.alpha, views.cameras), GRID)
    with pytest.raises(InputError, match="Trust is one number for each view"):
        fuse_scene(views, GRID, trust=torch.ones(1, 2))
    with pytest.raises(InputError, match="No view shows a surface"):
        SceneGrid.fit(torch.full((5, 3), torch.nan))


def test_grids_place_their_cells():
    grid = SceneGrid.fit(torch.randn(5000, 3) * torch.tensor([1.0, 0.3, 2.0]), 50_000)
    assert 40_000 < grid.num_cells < 60_000
    points = grid.points()
    index, inside = grid.locate(points)
    assert inside.all()
    torch.testing.assert_close(grid.indices(points), index.float(), atol=1e-3, rtol=0)
    linear = points @ torch.tensor([0.3, -1.0, 2.0])
    where = grid.origin + torch.rand(100, 3) * (grid.size - 4 * grid.cell) + 2 * grid.cell
    torch.testing.assert_close(
        grid.sample(linear[None], where)[0], where @ torch.tensor([0.3, -1.0, 2.0]), atol=1e-4, rtol=1e-4
    )
    assert not grid.locate(grid.origin - 1e-3)[1]
