"""Camera paths through a scene: where they end, and their files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.io.views import transforms_json
from recon.scenes.path import walk_along
from recon.scenes.scene import Scene, SceneConfig, build_scene


@pytest.fixture(scope="module")
def scene(small_room) -> Scene:
    """The room with a unit of two meters."""
    return build_scene(small_room.views, metres=2.0, config=SceneConfig(cells=200_000, sky_height=64))


def straight(far: float, steps: int = 5, heading: tuple[float, float, float] = (0.0, 0.0, -1.0)) -> Cameras:
    """Cameras on a line of ``far`` meters from the photo's place."""
    ahead = torch.tensor(heading)
    places = torch.linspace(0, far, steps)[:, None] * ahead
    return Cameras.look_at(places, places + torch.tensor([0.0, 0.0, -1.0]), 60.0, 16)


def test_meters_become_units_and_free_space_is_crossed(scene: Scene) -> None:
    walk = walk_along(scene, straight(0.4))
    assert walk.obstacle is None
    assert torch.allclose(walk.cameras.position[-1], torch.tensor([0.0, 0.0, -0.2]), atol=1e-6)


def test_a_wall_ends_the_path(scene: Scene) -> None:
    depth = scene.views.depth[0, 0, 0]
    wall = float(depth[depth.shape[0] // 2, depth.shape[1] // 2])
    walk = walk_along(scene, straight(2.0 * 2 * wall, steps=9))
    assert 0 < len(walk.cameras) < 9
    assert float(-walk.cameras.position[-1, 2]) < wall
    assert "a surface in the way" in walk.obstacle
    assert f"camera {len(walk.cameras) + 1} of 9" in walk.obstacle
    assert len(walk_along(scene, straight(2.0 * 2 * wall, steps=9), collision=False).cameras) == 9


def test_two_cameras_on_either_side_of_a_wall_do_not_step_over_it(scene: Scene) -> None:
    walk = walk_along(scene, straight(100.0, steps=2))
    assert len(walk.cameras) == 1
    assert "a surface in the way" in walk.obstacle


def test_beyond_what_is_known_it_ends(scene: Scene) -> None:
    jump = straight(0.1, steps=2)
    c2w = jump.c2w.clone()
    c2w[:, 1, 3] = 1e4
    walk = walk_along(scene, replace(jump, c2w=c2w))
    assert len(walk.cameras) == 0
    assert "no view shows what is there" in walk.obstacle


def test_cameras_without_pictures_are_read(tmp_path: Path) -> None:
    made = straight(3.0, steps=3)
    document = {"w": 20, "h": 16, "fl_x": 15.0, "frames": []}
    for matrix in made.c2w @ torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0])):
        document["frames"].append({"transform_matrix": matrix.tolist()})
    (tmp_path / "path.json").write_text(json.dumps(document), "utf-8")
    read = transforms_json.load_cameras(tmp_path / "path.json")
    assert torch.allclose(read.c2w, made.c2w, atol=1e-6)
    assert (read.width, read.height) == (20, 16)
    assert read.intrinsics[0, 0, 2] == 10


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"w": None}, "has no size"),
        ({"fl_x": None}, "no focal length"),
        ({"k1": 0.1}, "needs pinhole cameras"),
        ({"frames": [{"transform_matrix": [[1, 0], [0, 1]]}]}, "4 x 4"),
        ({"frames": [{}]}, "cannot be used"),
        ({"frames": []}, "no list of frames"),
    ],
)
def test_bad_paths_are_named(tmp_path: Path, change: dict, reason: str) -> None:
    identity = torch.eye(4).tolist()
    document = {"w": 20, "h": 16, "fl_x": 15.0, "frames": [{"transform_matrix": identity}]} | change
    (tmp_path / "path.json").write_text(json.dumps(document), "utf-8")
    with pytest.raises(InputError, match=reason):
        transforms_json.load_cameras(tmp_path / "path.json")
