"""One small furnished room and its fused field for all tests of scenes."""

import pytest
from furnished_room import Room, room

from recon.scenes import SceneField, fuse_scene
from recon.scenes.scene import SceneConfig, scene_grid


@pytest.fixture(scope="session")
def small_room() -> Room:
    """The photo and a sphere of 8 views of 96 pixels."""
    return room(96)


@pytest.fixture(scope="session")
def small_field(small_room: Room) -> SceneField:
    return fuse_scene(small_room.views, scene_grid(small_room.views, SceneConfig(cells=300_000)))
