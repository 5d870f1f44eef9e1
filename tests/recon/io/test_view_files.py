"""Views in other programs' files: COLMAP's text models and turntable pictures, and what is wrong with bad ones."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from recon import Cameras
from recon.core.errors import InputError
from recon.io.views import colmap
from recon.io.views.files import load_views
from recon.io.views.turntable import Turntable, angles_in_name

CAMERA_LINE = "1 PINHOLE 40 30 50 52 20.5 14.5"


def picture(path: Path, size=(40, 30), box=(10, 5, 30, 25)) -> Path:
    image = Image.new("RGBA", size)
    image.paste((200, 100, 50, 255), box)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in ("a.png", "b c.png"):
        picture(tmp_path / "images" / name)
    write(tmp_path, images=["# comment", "7 1 0 0 0 0.5 0 2 1 b c.png", "1 2 -1", "3 0 1 0 0 0 0 3 1 a.png", ""])
    return tmp_path


def write(folder: Path, images: list[str] | None = None, cameras: list[str] | None = None) -> None:
    if images is not None:
        (folder / "images.txt").write_text("\n".join(images) + "\n")
    (folder / "cameras.txt").write_text("\n".join(["# cameras", *(cameras or [CAMERA_LINE])]) + "\n")


def test_colmap_text_in_its_own_world(model):
    views = load_views(model)
    assert views.rgb.shape == (1, 2, 3, 30, 40)
    assert views.alpha[0, :, 0].sum((-1, -2)).tolist() == [400, 400]
    # In the order of the names: a turned by half a turn about x, b straight on.
    first, second = views.cameras.c2w[0]
    assert torch.allclose(first, torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 3], [0, 0, 0, 1]]), atol=1e-6)
    assert torch.allclose(second[:3, 3], torch.tensor([-0.5, 0, -2]), atol=1e-6)
    assert torch.equal(views.cameras.intrinsics[0, 0], torch.tensor([[50.0, 0, 20.5], [0, 52, 14.5], [0, 0, 1]]))
    for path in (model / "images.txt", model / "cameras.txt"):
        assert torch.equal(load_views(path).cameras.c2w, views.cameras.c2w)


def test_colmap_folders_masks_and_smaller_pictures(model):
    deep = model / "sparse/0"
    deep.mkdir(parents=True)
    for name in ("images.txt", "cameras.txt"):
        (model / name).rename(deep / name)
    Image.new("RGB", (20, 15), (90, 90, 90)).save(model / "images/a.png")
    Image.new("RGB", (20, 15), (90, 90, 90)).save(model / "images/b c.png")
    for name in ("a.png", "b c.png"):
        picture(model / "masks" / f"{name}.png", (20, 15), (0, 0, 5, 15))
    views = load_views(model)
    assert (views.alpha[..., 5:] == 0).all()
    assert (views.alpha[..., :5] == 1).all()  # of two values, all but black is the object
    assert torch.allclose(views.cameras.intrinsics[0, 0, :2, 2], torch.tensor([10.25, 7.25]))
    assert float(views.cameras.intrinsics[0, 0, 0, 0]) == 25


@pytest.mark.parametrize(
    ("images", "cameras", "words"),
    [
        (None, ["1 FOV 40 30 50 50 20 15 0.1"], "line 2 uses the camera model FOV.*undistort"),
        (None, ["1 RADIAL 40 30 50 20 15 0.1"], "RADIAL has 5 parameters, not 4"),
        (None, ["1 PINHOLE 40 30 50 20 15"], "PINHOLE has 4 parameters, not 3"),
        (None, ["1 PINHOLE 40"], "is no camera"),
        (None, ["1 PINHOLE 40 30 50 x 20 15"], "numbers belong"),
        (None, ["1 PINHOLE 40 30 nan 50 20 15"], "NaN or infinity"),
        (None, ["1 PINHOLE 40 30 -50 50 20 15"], "must be positive"),
        (None, ["1 PINHOLE 40 40 50 50 20 15"], "speaks of 40 x 40 pixels"),
        (["1 1 0 0 0 0 0 2 5 a.png", ""], None, "camera 5, which"),
        (["1 1 0 0 0 0 0 2 1 none.png", ""], None, "picture 'none.png', which is not"),
        (["1 0 0 0 0 0 0 2 1 a.png", ""], None, "unit quaternion"),
        (["1 1 0 0 0 0 0 2 1", ""], None, "is no picture"),
        (["1 1 0 0 0 0 0 2 1 a.png", "1 2 3", "1 2 3"], None, "line 3 is no picture"),
        (["# nothing"], None, "lists no pictures"),
    ],
)
def test_bad_models_are_named(model, images, cameras, words):
    write(model, images, cameras)
    with pytest.raises(InputError, match=words) as caught:
        load_views(model)
    assert str(caught.value).endswith(".")


def test_half_models_are_named(model):
    (model / "cameras.txt").unlink()
    with pytest.raises(InputError, match=r"cameras\.txt' is missing"):
        load_views(model)
    (model / "cameras.txt").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(InputError, match="no readable text"):
        load_views(model)
    with pytest.raises(InputError, match=r"holds no cameras\.txt"):
        colmap.load(model / "images")


def test_turntable_cameras_stand_around_the_object(tmp_path):
    for name in ("x1.png", "x2.png", "x3.png"):
        picture(tmp_path / name)
    views = load_views(tmp_path, Turntable((0.0, 90.0, 180.0), elevation=30.0, fov=35.0, distance=4.0))
    expected = Cameras.orbit([0.0, 90.0, 180.0], 30.0, 4.0, 35.0, (40, 30))
    assert torch.allclose(views.cameras.c2w[0], expected.c2w, atol=1e-6)
    assert torch.allclose(views.cameras.intrinsics[0], expected.intrinsics)
    assert views.cameras.position[0, 1, 0] > 3  # +X


def test_angles_in_names():
    assert angles_in_name("az030_el20.png") == (30.0, 20.0)
    assert angles_in_name("cup-azimuth_-12.5-elevation=-5.JPG") == (-12.5, -5.0)
    assert angles_in_name("az7.png") == (7.0, None)
    assert angles_in_name("topaz30.png") is None
    assert angles_in_name("030.png") is None


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (Turntable(), "'x1.png' .* has no azimuth: call it az030.png, or give --azimuths"),
        (Turntable((0.0, 90.0)), "holds 1 pictures for 2 azimuths"),
        (Turntable((0.0,), elevation=100.0), "between -90 and 90"),
        (Turntable((0.0,), fov=190.0), "field of view"),
        (Turntable((float("nan"),)), "finite"),
        (Turntable((0.0,), distance=0.0), "distance above 0"),
    ],
)
def test_bad_turntables_are_named(tmp_path, table, words):
    picture(tmp_path / "x1.png")
    with pytest.raises(InputError, match=words):
        load_views(tmp_path, table)


def test_folders_without_views_are_named(tmp_path):
    with pytest.raises(InputError, match="check the path"):
        load_views(tmp_path / "none")
    with pytest.raises(InputError, match="holds no views: it needs"):
        load_views(tmp_path)
    (tmp_path / "az000.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"az000\.png"):
        load_views(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        load_views(tmp_path / "az000.png", Turntable((0.0,)))
