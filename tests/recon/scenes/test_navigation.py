"""Walkable floors in worlds of blocks, whose reachable cells can be counted."""

import pytest
import torch

from recon.core.errors import InputError
from recon.scenes import Body, SceneGrid, walkable
from recon.scenes.field import FREE, OCCUPIED, UNKNOWN, SceneField

GRID = SceneGrid(torch.tensor([-2.0, -1.0, -2.0]), 0.1, (40, 25, 40))
BODY = Body(height=1.2, radius=0.15, step=0.2)


def world(*blocks: tuple[int, slice, slice, slice]) -> SceneField:
    """Free air over a floor two cells thick, and blocks of (state, x, y, z) set into it."""
    state = torch.full((1, *GRID.shape), FREE, dtype=torch.uint8)
    state[0, :, :2] = OCCUPIED
    for kind, x, y, z in blocks:
        state[0, x, y, z] = kind
    distance = torch.where(state == OCCUPIED, -0.05, 0.05)
    return SceneField(GRID, state, distance, (state != UNKNOWN).float())


ALL = slice(None)


def test_an_empty_floor_is_walkable_up_to_the_bodys_radius_from_the_border():
    floor = walkable(world(), BODY)
    assert floor.connected
    assert len(floor) == 38 * 38
    assert floor.spawn.tolist() == pytest.approx([0.0, -0.8, 0.0], abs=0.06)
    assert floor.area == pytest.approx(3.8 * 3.8)
    assert (floor.mesh.face_normals()[:, 1] > 0.999).all()
    assert len(floor.mesh) == 2 * len(floor)
    assert floor.mesh.vertices[:, 1].max() == pytest.approx(-0.8, abs=1e-4)


def test_a_wall_keeps_the_body_on_its_side_and_a_door_lets_it_through():
    wall = (OCCUPIED, slice(25, 27), ALL, ALL)
    closed = walkable(world(wall), BODY)
    assert closed.cells[:, 0].max() < 25 - 1
    wide = walkable(world(wall, (FREE, slice(25, 27), slice(2, None), slice(10, 16))), BODY)
    assert wide.cells[:, 0].max() > 30
    narrow = walkable(world(wall, (FREE, slice(25, 27), slice(2, None), slice(10, 12))), BODY)
    assert narrow.cells[:, 0].max() < 25  # narrower than the body
    low = walkable(world(wall, (FREE, slice(25, 27), slice(2, 10), slice(10, 16))), BODY)
    assert low.cells[:, 0].max() < 25  # lower than the body


def test_steps_are_climbed_up_to_the_bodys_own():
    stairs = [(OCCUPIED, slice(28 + 3 * i, None), slice(0, 2 + 2 * (i + 1)), ALL) for i in range(3)]
    assert walkable(world(*stairs), BODY).cells[:, 1].max() == 8
    ledge = (OCCUPIED, slice(28, None), slice(0, 5), ALL)
    assert walkable(world(ledge), BODY).cells[:, 1].max() == 2


def test_unknown_space_is_never_walked_through():
    fog = (UNKNOWN, slice(28, None), slice(2, None), ALL)
    assert walkable(world(fog), BODY).cells[:, 0].max() < 28
    pit = (UNKNOWN, slice(28, None), ALL, ALL)
    assert walkable(world(pit), BODY).cells[:, 0].max() < 28


def test_without_floor_under_the_photo_the_nearest_is_named_as_such():
    hole = (UNKNOWN, slice(0, 30), ALL, ALL)
    floor = walkable(world(hole), BODY)
    assert not floor.connected
    assert floor.cells[:, 0].min() > 29
    nothing = walkable(world((UNKNOWN, ALL, ALL, ALL)), BODY)
    assert len(nothing) == 0
    assert nothing.spawn is None


def test_a_table_top_is_not_where_the_walk_begins():
    table = (OCCUPIED, slice(18, 23), slice(8, 10), slice(18, 23))
    floor = walkable(world(table), Body(0.5, 0.1, 0.2))
    assert floor.spawn[1] == pytest.approx(-0.8, abs=1e-4)


def test_a_room_can_be_walked(small_room, small_field):
    floor = walkable(small_field, Body.person(small_room.metres))
    assert floor.connected
    assert float(floor.spawn[1]) * small_room.metres == pytest.approx(-1.5, abs=0.05)
    x, _, z = (floor.grid.origin + (floor.cells + 0.5) * floor.grid.cell).unbind(-1)
    x, z = x * small_room.metres, z * small_room.metres
    in_table = (x > -1.7) & (x < -0.6) & (z > -2.6) & (z < -1.8)
    in_cupboard = (x > 1.6) & (z < -2.6)
    assert not (in_table | in_cupboard).any()
    assert floor.area * small_room.metres**2 > 0.55 * 5 * 6


def test_a_body_needs_a_scale():
    assert Body.person(2.0).height == pytest.approx(0.85)
    with pytest.raises(InputError, match="positive number of metres"):
        Body.person(0.0)
