"""transforms.json: the file's own world, our camera axes, and one clear sentence for what makes no sense."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.io.views import transforms_json

SIZE = 32


def _views(n: int = 1, v: int = 3) -> ViewSet:
    cameras = Cameras.orbit([0.0, 70.0, 200.0][:v], [10.0, -20.0, 45.0][:v], size=(SIZE, 24))
    alpha = (torch.rand(n, v, 1, 24, SIZE) > 0.5).float()
    rgb = (torch.rand(n, v, 3, 24, SIZE) * 255).round() / 255
    return ViewSet(rgb, alpha, cameras[None].expand(n, v))


def _blender(folder, frames: int = 2, **changes) -> dict:
    """A file as Blender's script writes it: z-up world, camera at (0, −4, 0) looking along +y, up is +z."""
    c2w = [[1.0, 0, 0, 0], [0, 0, -1.0, -4.0], [0, 1.0, 0, 0], [0, 0, 0, 1.0]]
    picture = np.zeros((SIZE, SIZE, 4), np.uint8)
    picture[8:24, 8:24] = 255
    listed = []
    for index in range(frames):
        Image.fromarray(picture).save(folder / f"r_{index}.png")
        listed.append({"file_path": f"./r_{index}", "transform_matrix": [list(row) for row in c2w]})
    document = {"camera_angle_x": math.radians(50), "frames": listed, **changes}
    (folder / "transforms.json").write_text(json.dumps(document))
    return document


def _rewrite(folder, document: dict) -> None:
    (folder / "transforms.json").write_text(json.dumps(document))


def test_round_trip(tmp_path):
    views = _views(n=2)
    path = transforms_json.save(views, tmp_path, hypothesis=1)
    loaded = transforms_json.load(path)
    assert (len(loaded), loaded.num_views) == (1, 3)
    assert torch.allclose(loaded.cameras.c2w[0], views.cameras.c2w[1], atol=1e-6)
    assert torch.allclose(loaded.cameras.intrinsics[0], views.cameras.intrinsics[1], atol=1e-4)
    assert torch.allclose(loaded.rgb[0] * loaded.alpha[0], views.rgb[1] * views.alpha[1], atol=1e-3)
    assert torch.equal(loaded.alpha[0], views.alpha[1])
    assert torch.equal(transforms_json.load(tmp_path).cameras.c2w, loaded.cameras.c2w)


def test_orthographic_cameras_come_back(tmp_path):
    views = _views()
    parallel = views.cameras.as_orthographic(0.6)
    for place, cameras in (("alone", parallel), ("mixed", Cameras.cat([views.cameras[:, :1], parallel[:, 1:]], 1))):
        transforms_json.save(ViewSet(views.rgb, views.alpha, cameras), tmp_path / place)
        loaded = transforms_json.load(tmp_path / place).cameras
        assert torch.equal(loaded.orthographic, cameras.orthographic)
        assert torch.allclose(loaded.c2w, cameras.c2w, atol=1e-6)
        assert torch.allclose(loaded.intrinsics, cameras.intrinsics, atol=1e-4)
    document = json.loads((tmp_path / "alone" / "transforms.json").read_text())
    assert document["camera_model"] == "ORTHOPHOTO"
    assert "camera_angle_x" not in document
    assert document["fl_x"] == pytest.approx(24 / 1.2)


def test_blenders_orthographic_camera_has_its_own_right_and_up(tmp_path):
    """Its scale is the longer side in world units, and its lens' angle means nothing."""
    _blender(tmp_path, camera_model="ORTHO", ortho_scale=2.0)
    camera = transforms_json.load(tmp_path).cameras[0, 0]
    pixels, depth = camera.project(torch.tensor([[0.0, 0.0, 0.0], [0.5, 3.0, 0.0], [0.0, -2.0, 0.5]]))
    middle, step = SIZE / 2, 0.5 * SIZE / 2
    expected = torch.tensor([[middle, middle], [middle + step, middle], [middle, middle - step]])
    assert torch.allclose(pixels, expected, atol=1e-4)
    assert depth.tolist() == pytest.approx([4.0, 7.0, 2.0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"camera_model": "ORTHOPHOTO"}, "needs its scale: give fl_x"),
        ({"ortho_scale": 0.0}, "needs its scale"),
        ({"ortho_scale": -2.0}, "needs its scale"),
        ({"orthographic": True, "fl_x": 20.0}, "orthographic without a scale: set camera_model to ORTHOPHOTO"),
        ({"camera_model": "ORTHO", "ortho_scale": 1.0, "k1": 0.1}, "no distortion: undistort"),
        ({"camera_model": "ORTHOPHOTO", "fl_x": -3.0}, "must be positive"),
    ],
)
def test_orthographic_cameras_that_make_no_sense_are_one_sentence(tmp_path, changes, said):
    _blender(tmp_path, **changes)
    with pytest.raises(InputError, match=said):
        transforms_json.load(tmp_path)


def test_lenses_that_differ_are_kept_per_frame(tmp_path):
    views = _views()
    intrinsics = views.cameras.intrinsics.clone()
    intrinsics[0, 1, 0, 0] += 5
    intrinsics[0, 2, 1, 2] -= 3
    views = ViewSet(views.rgb, views.alpha, Cameras(views.cameras.c2w, intrinsics, SIZE, 24))
    loaded = transforms_json.load(transforms_json.save(views, tmp_path))
    assert torch.allclose(loaded.cameras.intrinsics, intrinsics, atol=1e-4)


def test_blender_file_in_its_own_world(tmp_path):
    _blender(tmp_path)
    views = transforms_json.load(tmp_path)
    camera = views.cameras[0, 0]
    assert torch.allclose(camera.position, torch.tensor([0.0, -4.0, 0.0]))
    # In the file's world x is right and z is up: in the picture z must point up (smaller y).
    pixels, depth = camera.project(torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [0, 0, 0.5]]))
    focal = 0.5 * SIZE / math.tan(math.radians(25))
    assert torch.allclose(depth, torch.tensor([4.0, 4.0, 4.0]))
    expected = [[SIZE / 2, SIZE / 2], [SIZE / 2 + focal / 8, SIZE / 2], [SIZE / 2, SIZE / 2 - focal / 8]]
    assert torch.allclose(pixels, torch.tensor(expected), atol=1e-4)
    assert views.alpha[0, 0, 0, 16, 16] == 1
    assert views.alpha[0, 0, 0, 0, 0] == 0


def test_nerfstudio_intrinsics_of_a_larger_picture_are_scaled(tmp_path):
    _blender(tmp_path, fl_x=100.0, fl_y=104.0, cx=33.0, cy=30.0, w=2 * SIZE, h=2 * SIZE)
    k = transforms_json.load(tmp_path).cameras.intrinsics[0, 0]
    assert torch.allclose(k, torch.tensor([[50.0, 0, 16.5], [0, 52.0, 15.0], [0, 0, 1]]))
    small = transforms_json.load(tmp_path, max_side=16)
    assert small.rgb.shape[-2:] == (16, 16)
    assert torch.allclose(small.cameras.intrinsics[0, 0], torch.tensor([[25.0, 0, 8.25], [0, 26.0, 7.5], [0, 0, 1]]))


def test_masks_and_empty_views(tmp_path):
    document = _blender(tmp_path)
    Image.new("RGB", (SIZE, SIZE), (9, 8, 7)).save(tmp_path / "photo.jpg")
    mask = Image.new("L", (SIZE, SIZE), 0)
    mask.paste(255, (0, 0, SIZE // 2, SIZE))
    mask.save(tmp_path / "mask.png")
    Image.new("RGBA", (SIZE, SIZE)).save(tmp_path / "r_1.png")  # the object may be out of one view
    document["frames"][0] |= {"file_path": "photo", "mask_path": "mask.png"}
    _rewrite(tmp_path, document)
    alpha = transforms_json.load(tmp_path).alpha[0, :, 0]
    assert alpha[0, :, : SIZE // 2].min() == 1
    assert alpha[0, :, SIZE // 2 :].max() == 0
    assert alpha[1].max() == 0


def test_opaque_pictures_are_cut_out_with_a_warning(tmp_path):
    _blender(tmp_path)
    picture = Image.new("RGB", (SIZE, SIZE), (240, 240, 240))
    picture.paste((200, 30, 30), (8, 8, 24, 24))
    picture.save(tmp_path / "r_1.png")
    with pytest.warns(UserWarning, match="1 of 2 pictures"):
        views = transforms_json.load(tmp_path)
    assert torch.equal(views.alpha[0, 1] > 0.5, views.alpha[0, 0] > 0.5)


def test_small_rounding_is_made_a_rotation(tmp_path):
    document = _blender(tmp_path)
    document["frames"][0]["transform_matrix"][0][0] = 1.002
    _rewrite(tmp_path, document)
    rotation = transforms_json.load(tmp_path).cameras.c2w[0, 0, :3, :3]
    assert torch.allclose(rotation @ rotation.T, torch.eye(3), atol=1e-6)


def _set(value, *keys):
    def change(document):
        target = document
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = value

    return change


def _scaled(document):
    document["frames"][1]["transform_matrix"][0][0] = 2.0


def _mirrored(document):
    document["frames"][1]["transform_matrix"][0][0] = -1.0


def _transposed(document):
    document["frames"][1]["transform_matrix"] = np.array(document["frames"][1]["transform_matrix"]).T.tolist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_scaled, "frame 1.*no rotation"),
        (_mirrored, "frame 1.*left-handed"),
        (_transposed, "frame 1.*last row"),
        (_set(float("nan"), "frames", 1, "transform_matrix", 0, 3), "no readable JSON"),
        (_set([[1, 2]], "frames", 0, "transform_matrix"), "frame 0.*4 x 4"),
        (_set("x", "frames", 0, "transform_matrix"), "frame 0.*transform_matrix"),
        (_set(None, "frames", 0, "transform_matrix"), "frame 0.*transform_matrix"),
        (_set([[10**400] * 4] * 4, "frames", 0, "transform_matrix"), "frame 0.*out of range.*transform_matrix"),
        (_set("gone", "frames", 1, "file_path"), "frame 1.*'gone'.*not there"),
        (_set(None, "frames", 1, "file_path"), "frame 1.*file_path"),
        (_set(3, "frames", 1), "frame 1"),
        (_set([], "frames"), "no list of frames"),
        (_set(None, "camera_angle_x"), "no focal length"),
        (_set(4.0, "camera_angle_x"), "between 0 and pi"),
        (_set("wide", "camera_angle_x"), "frame 0.*camera_angle_x"),
        (_set(-5, "fl_x"), "positive"),
        (_set(999, "w"), "speaks of 999 x 32"),
        (_set("EQUIRECTANGULAR", "camera_model"), "undistort"),
    ],
)
def test_bad_files(tmp_path, change, words):
    document = _blender(tmp_path)
    change(document)
    _rewrite(tmp_path, document)
    with pytest.raises(InputError, match=words):
        transforms_json.load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "3", "", "[" * 100_000, '{"frames": 3}'])
def test_malformed_json(tmp_path, text):
    (tmp_path / "transforms.json").write_text(text)
    with pytest.raises(InputError, match=r"transforms\.json"):
        transforms_json.load(tmp_path)


def test_missing_file_and_empty_folder(tmp_path):
    with pytest.raises(InputError, match=r"holds no transforms\.json"):
        transforms_json.load(tmp_path)
    with pytest.raises(InputError, match="no file"):
        transforms_json.load(tmp_path / "cameras.json")
