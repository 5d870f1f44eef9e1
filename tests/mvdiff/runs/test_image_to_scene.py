"""Scenes from one photo: seeds, resuming, files, and the command with bad input; on a tiny network."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_scene_network import tiny_scene_network

from mvdiff.cli.main import main
from mvdiff.runs.image_to_scene import ImageToScene
from mvdiff.runs.scene_folder import SceneFolder
from mvdiff.runs.scene_path import ScenePath
from mvdiff.runs.scene_result import SceneSample
from mvdiff.sampling.scene_camera import SceneCamera, sphere_cameras
from mvdiff.sampling.scene_photo import ScenePhoto
from mvdiff.sampling.scene_settings import SceneGenerationConfig
from mvdiff.weights.packing import save_packed
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet

QUICK = {"num_inference_steps": 2, "preset": "fast"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scene_weights")
    save_packed({"transformer": tiny_scene_network()}, folder, {})
    return folder


@pytest.fixture(scope="module")
def model(weights: Path) -> ImageToScene:
    return ImageToScene.from_pretrained(weights, "cpu")


def picture(width: int = 96, height: int = 96) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x + y) % 200], -1).astype(np.uint8))


def test_a_hypothesis_is_the_same_for_any_number(model):
    three = model.generate(picture(), num_hypotheses=3, **QUICK)
    one = model.generate(picture(), num_hypotheses=1, **QUICK)
    assert one.samples[0].camera == three.samples[0].camera
    assert torch.equal(one.samples[0].views.depth, three.samples[0].views.depth)
    assert not torch.equal(three.samples[0].views.depth, three.samples[1].views.depth)
    assert len({sample.camera.fov for sample in three.samples}) == 3
    assert three.views.rgb.shape == (3, 9, 3, 32, 32)
    assert torch.equal(three.views.cameras.c2w[0, 1:], sphere_cameras(32).c2w)


def test_what_is_stated_is_not_drawn_and_changes_no_other_draw():
    def camera(**known):
        return SceneCamera.draw(SceneGenerationConfig(**known), None, torch.Generator().manual_seed(3))

    free, stated = camera(), camera(pitch=-10.0, camera_height=2.0)
    assert (stated.pitch, stated.height) == (-10.0, 2.0)
    assert (stated.fov, stated.roll) == (free.fov, free.roll)
    # Looking down by 10 degrees, +Y up.
    assert stated.cameras(8).c2w[0, 1, 2] == pytest.approx(-0.1736, abs=1e-3)


def test_a_unit_is_as_long_as_the_camera_is_high_above_the_floor():
    cameras = sphere_cameras(16)
    everything = torch.ones(1, 9, 1, 16, 16)
    rig = cameras[[0, *range(8)]].reshape(1, 9)
    views = ViewSet(everything.expand(-1, -1, 3, -1, -1), everything, rig, depth=2 * everything)
    assert SceneSample(views, SceneCamera(60.0, 0.0, 0.0, 1.6)).metres == pytest.approx(0.8)


@pytest.fixture(scope="module")
def finished(model, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "out"
    model.generate(picture(), out, num_hypotheses=2, **QUICK)
    return out


def test_every_file_is_listed_and_readable(finished):
    folder = SceneFolder.open(finished)
    files = set(folder.output.manifest["files"])
    there = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    assert files | {"manifest.json"} == there
    for name in ("scene.glb", "splats.ply", "splats.spz", "panorama.png", "transforms.json", "fly_through.webp"):
        assert f"hypotheses/001/{name}" in files
    summary = folder.summary
    assert summary["num_hypotheses"] == 2
    assert summary["depth_spread"]["guessed"] > 0
    assert "Not calibrated" in summary["calibration"]["statement"]
    assert any("lens" in warning for warning in summary["warnings"])
    assert Image.open(finished / "sheet.png").size == (9 * 32, 4 * 32)
    assert "<canvas" in (finished / "explorer.html").read_text("utf-8")


def test_an_interrupted_run_goes_on(model, finished, tmp_path, monkeypatch):
    write = SceneFolder.save_scene

    def interrupted(self, index, scene, preset):
        if index == 1:
            raise KeyboardInterrupt
        write(self, index, scene, preset)

    monkeypatch.setattr(SceneFolder, "save_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.generate(picture(), tmp_path / "out", num_hypotheses=2, **QUICK)
    monkeypatch.undo()
    with pytest.raises(InputError, match="not complete"):
        SceneFolder.open(tmp_path / "out")
    monkeypatch.setattr(ImageToScene, "draw", None)  # nothing is sampled again
    written = (tmp_path / "out/hypotheses/000/scene.glb").stat().st_mtime_ns
    model.generate(picture(), tmp_path / "out", num_hypotheses=2, **QUICK)
    assert (tmp_path / "out/hypotheses/000/scene.glb").stat().st_mtime_ns == written
    for name in ("views/001/views.safetensors", "hypotheses/001/scene.glb", "hypotheses/001/splats.spz"):
        assert (tmp_path / "out" / name).read_bytes() == (finished / name).read_bytes()


def test_a_folder_of_other_inputs_is_kept(model, finished):
    with pytest.raises(InputError, match="other inputs"):
        model.generate(picture(), finished, num_hypotheses=2, seed=9, **QUICK)
    assert SceneFolder.open(finished).complete


# Photos


def test_the_lens_comes_from_the_file_or_the_user(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26
    picture(400, 300).save(tmp_path / "phone.jpg", exif=exif)
    phone = ScenePhoto.load(tmp_path / "phone.jpg")
    assert phone.fov == pytest.approx(53.1, abs=0.2)  # 26 mm refer to the diagonal; the middle square sees 53 degrees
    assert phone.rgb.shape == (3, 300, 300)
    assert "middle 300 x 300" in phone.notes[0]
    assert ScenePhoto.load(tmp_path / "phone.jpg", 90.0).fov == pytest.approx(73.7, abs=0.1)
    assert ScenePhoto.load(picture()).fov is None


@pytest.mark.parametrize(
    ("image", "fov", "reason"),
    [
        (Image.new("RGB", (128, 128), (3, 3, 3)), None, "almost black"),
        (Image.new("RGB", (128, 128), (255, 255, 255)), None, "almost white"),
        (Image.new("RGB", (128, 128), (90, 90, 90)), None, "one flat color"),
        (Image.new("RGBA", (128, 128), (90, 80, 10, 0)), None, "mvdiff generate"),
        (picture(1024, 512), None, "360° panorama"),
        (picture(512, 128), None, "too narrow"),
        (picture(32, 32), None, "at least 64"),
        (picture(), 12.0, "check --fov"),
    ],
)
def test_photos_that_show_no_place_are_refused(image, fov, reason):
    with pytest.raises(InputError, match=reason):
        ScenePhoto.load(image, fov)


# The command


def test_the_command_writes_scenes_and_says_what_is_guessed(weights, tmp_path, capsys):
    picture().save(tmp_path / "room.png")
    arguments = ["scene", str(tmp_path / "room.png"), "--output-dir", str(tmp_path / "out"), "--num-hypotheses", "1"]
    more = ["--weights", str(weights), "--device", "cpu", "--preset", "fast", "--num-inference-steps", "1", "--json"]
    assert main([*arguments, *more]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["summary"]["num_hypotheses"] == 1
    assert all((tmp_path / "out" / name).is_file() for name in record["files"])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--fov", "200"], "field of view lies between"),
        (["--num-hypotheses", "0"], "num hypotheses"),
        (["--camera-height", "0"], "camera height"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_bad_options_leave_nothing_behind(weights, tmp_path, capsys, options, reason):
    picture().save(tmp_path / "room.png")
    out = tmp_path / "out"
    code = main(["scene", str(tmp_path / "room.png"), "--output-dir", str(out), "--weights", str(weights), *options])
    assert code == 2
    assert reason in capsys.readouterr().err
    assert not out.exists()


def test_weights_of_objects_are_refused(tmp_path):
    with pytest.raises(InputError, match="of objects"):
        ImageToScene.from_pretrained("embedded", "cpu")


def test_a_path_is_filmed_in_every_scene(model, tmp_path):
    places = torch.tensor([[0.0, 0, 0], [0, 0, 1e5]])
    cameras = Cameras.look_at(places, places - torch.tensor([0.0, 0, 1]), 60.0, 16)
    run = {"num_hypotheses": 1, **QUICK}
    model.generate(picture(), tmp_path / "through", path=ScenePath(cameras, collision=False), **run)
    folder = SceneFolder.open(tmp_path / "through")
    assert "hypotheses/000/path.webp" in folder.output.manifest["files"]
    assert Image.open(tmp_path / "through/hypotheses/000/path.webp").size == (16, 16)
    model.generate(picture(), tmp_path / "walk", path=ScenePath(cameras), **run)
    assert any(
        "The path ends before camera" in warning for warning in SceneFolder.open(tmp_path / "walk").summary["warnings"]
    )
    with pytest.raises(InputError, match="other inputs"):  # the path is one of the run's inputs
        model.generate(picture(), tmp_path / "walk", **run)
