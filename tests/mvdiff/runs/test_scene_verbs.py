"""The verbs on finished runs of scenes: next photo, second photo, judgment, stations, a painted view."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from box_rooms import box_views
from PIL import Image
from tiny_scene_network import tiny_scene_network

from mvdiff.cli.main import main
from mvdiff.runs import scene_result
from mvdiff.runs.image_to_scene import ImageToScene
from mvdiff.runs.scene_edit import EditedSceneView, painted_surfaces
from mvdiff.runs.scene_folder import SceneFolder
from mvdiff.runs.scene_next_view import YAWS, plan_photos
from mvdiff.runs.scene_photo_pose import SecondPhoto
from mvdiff.runs.scene_refine import change_station, feedback_scene, refine_scene
from mvdiff.runs.scene_result import SceneResult, SceneSample
from mvdiff.sampling.scene_camera import SceneCamera, sphere_cameras
from mvdiff.sampling.scene_photo import ScenePhoto
from mvdiff.sampling.scene_rig import Pose, cameras_of
from mvdiff.sampling.scene_settings import SceneGenerationConfig
from mvdiff.weights.packing import save_packed
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.posterior.scene_evidence import photo_log_likelihood

QUICK = {"num_inference_steps": 2, "station_steps": 1, "preset": "fast"}
CAMERA = SceneCamera(70.0, 0.0, 0.0, 1.4)


@pytest.fixture(scope="module", autouse=True)
def small_grids():
    """Grids of meshes that nobody looks at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene_result, "_CELLS", {"fast": 120_000, "default": 120_000})
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_packed({"transformer": tiny_scene_network()}, folder, {})
    return folder


@pytest.fixture(scope="module")
def model(weights: Path) -> ImageToScene:
    return ImageToScene.from_pretrained(weights, "cpu")


def picture(shift: int = 0) -> Image.Image:
    y, x = np.mgrid[:96, :96]
    return Image.fromarray(np.stack([(x + shift) * 2 % 255, y * 2, (x + y) % 200], -1).astype(np.uint8))


@pytest.fixture(scope="module")
def finished(model, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "out"
    model.generate(picture(), out, num_hypotheses=2, **QUICK)
    return out


def room(size: int = 48, tint: float = 0.0) -> ViewSet:
    views = box_views(Cameras.cat([CAMERA.cameras(size), sphere_cameras(size)]).reshape(1, -1))
    views.rgb[:, 1:].add_(tint).clamp_(0, 1)
    return views


def result_of(*views: ViewSet) -> SceneResult:
    config = SceneGenerationConfig(num_hypotheses=len(views))
    return SceneResult(ScenePhoto(views[0].rgb[0, 0]), config, tuple(SceneSample(v, CAMERA) for v in views))


# A second photo


def test_a_second_photo_is_found_and_prefers_the_right_scene():
    """A photo of the box room to the right and behind: its direction is found, and a room of other colors loses."""
    truth, pose = room(), Pose((0.0, 0.0, 0.0), 135.0, 0.0, 0.0, 70.0)
    taken = box_views(cameras_of([pose], 48).reshape(1, 1)).rgb[0, 0]
    result = result_of(truth, room(tint=0.35))
    located = SecondPhoto(ScenePhoto(taken, 70.0)).located(result)
    assert abs(located.best[0].yaw - 135.0) <= 12
    assert float(torch.tensor(located.best[0].position).norm()) < 0.8
    assert located.evidence[0] > located.evidence[1] + 3
    record = located.record()
    assert record["estimated"]
    assert 0 < record["cameras"][0]["likelihood_share"] <= 1
    assert "hardly overlaps" in record["warning"]  # taken behind the first photo's camera


def test_a_stated_camera_is_in_meters():
    truth = room()
    second = SecondPhoto(ScenePhoto(truth.rgb[0, 3], 90.0), yaw=120.0, position=(0.7, 0.0, -0.7))
    located = second.located(result_of(truth))
    unit = result_of(truth).samples[0].metres
    assert located.best[0].position == pytest.approx((0.7 / unit, 0.0, -0.7 / unit))
    assert located.views([0, 0], 32).rgb.shape == (2, 1, 3, 32, 32)
    assert located.record()["warning"] is None


def test_the_likelihood_is_highest_at_the_true_camera():
    cameras = cameras_of([Pose((0.0, 0.0, 0.0), float(yaw), 0.0, 0.0, 70.0) for yaw in range(0, 360, 30)], 48)
    photo = box_views(cameras[4:5].reshape(1, 1)).rgb[0, 0]
    found = photo_log_likelihood(room(), 0.8 * photo, cameras.reshape(1, -1))  # another exposure
    assert int(found.argmax()) == 4


def test_refining_by_a_photo_makes_a_run_of_its_own(model, finished, tmp_path):
    second = SecondPhoto(ScenePhoto.load(picture(40), 70.0), yaw=60.0)
    change = refine_scene(model, finished, second, tmp_path / "new", num_hypotheses=2)
    folder = SceneFolder.open(tmp_path / "new")
    assert folder.manifest["inputs"]["parents"][0]["folder"] == "out"
    sample = folder.load_sample(0)
    assert sample.further_photos == 1
    assert sample.views.num_views == 10
    shown = torch.nn.functional.interpolate(second.photo.rgb[None], (32, 32), mode="bilinear", antialias=True)[0]
    assert torch.allclose(sample.views.rgb[0, 9], shown.clamp(0, 1), atol=2e-3)
    assert torch.equal(sample.views.cameras.c2w[0, 1:9], sphere_cameras(32).c2w)
    assert set(change.record) == {"before", "reweighted", "after", "photo_camera"}
    assert "not measured" in folder.summary["calibration"]["statement"]
    again = refine_scene(model, finished, second, tmp_path / "new", num_hypotheses=2)
    assert torch.equal(again.result.samples[1].views.depth, change.result.samples[1].views.depth)


def test_reweighting_alone_keeps_the_scenes(model, finished, tmp_path):
    second = SecondPhoto(ScenePhoto.load(picture(40), 70.0), yaw=0.0)
    change = refine_scene(model, finished, second, tmp_path / "new", resample=False)
    old, new = SceneFolder.open(finished).load_result(), SceneFolder.open(tmp_path / "new").load_result()
    assert torch.equal(old.samples[1].views.depth, new.samples[1].views.depth)
    assert new.weights == pytest.approx(change.record["reweighted"]["weights"])
    assert [h["weight"] for h in SceneFolder.open(tmp_path / "new").summary["hypotheses"]] == pytest.approx(
        new.weights, abs=1e-3
    )


# Judgment


def test_feedback_keeps_what_was_kept_and_starts_from_it(model, finished, tmp_path):
    old = SceneFolder.open(finished).load_result()
    near = feedback_scene(model, finished, tmp_path / "near", keep=[1], strength=0.2, num_hypotheses=2)
    far = feedback_scene(model, finished, tmp_path / "far", keep=[1], strength=1.0, num_hypotheses=2)
    kept = old.samples[1].views
    assert torch.equal(near.result.samples[0].views.depth, kept.depth)

    assert not torch.equal(near.result.samples[1].views.rgb, far.result.samples[1].views.rgb)
    assert near.result.samples[1].camera == old.samples[1].camera


@pytest.mark.parametrize(("keep", "reject", "reason"), [([7], [], "no hypothesis 7"), ([0], [0], "both kept")])
def test_judgments_that_cannot_be_leave_nothing_behind(model, finished, tmp_path, keep, reject, reason):
    with pytest.raises(InputError, match=reason):
        feedback_scene(model, finished, tmp_path / "new", keep=keep, reject=reject)
    assert not (tmp_path / "new").exists()


# Stations


@pytest.fixture(scope="module")
def stationed(model, tmp_path_factory) -> Path:
    """A run of two box rooms with two stations each, sampled by hand: the tiny network finds no floor."""
    out = tmp_path_factory.mktemp("stations") / "out"
    config = SceneGenerationConfig(num_hypotheses=2, stations=2, **QUICK)
    photo = ScenePhoto(room(32).rgb[0, 0])
    more = [sphere_cameras(32, (x, 0.0, 0.2)) for x in (0.5, -0.6)]
    views = box_views(Cameras.cat([CAMERA.cameras(32), sphere_cameras(32), *more]).reshape(1, -1))
    folder = SceneFolder.create(out, model.inputs(photo, config))
    folder.save_photo(photo)
    model.run(photo, config, folder, draw=lambda own: {k: SceneSample(views.rounded(), CAMERA) for k in own})
    return out


def test_a_station_is_taken_back(model, stationed, tmp_path):
    old = SceneFolder.open(stationed).load_result()
    change = change_station(model, stationed, tmp_path / "new", station=2, again=False)
    assert [sample.stations for sample in change.result.samples] == [1, 1]
    assert torch.equal(change.result.samples[0].views.depth, old.samples[0].views.depth[:, :17])
    assert change.result.config.stations == 1
    one = change_station(model, stationed, tmp_path / "one", station=1, again=False, hypothesis=1)
    assert [sample.stations for sample in one.result.samples] == [2, 0]


def test_a_station_is_sampled_again(model, stationed, tmp_path):
    old = SceneFolder.open(stationed).load_result()
    change = change_station(model, stationed, tmp_path / "new", station=2, again=True, hypothesis=0)
    new = change.result.samples[0]
    assert torch.equal(new.views.depth[:, :17], old.samples[0].views.depth[:, :17])
    assert new.stations == 2 or new.notes
    assert new.notes or not torch.equal(new.views.rgb[:, 17:], old.samples[0].views.rgb[:, 17:])
    assert torch.equal(change.result.samples[1].views.rgb, old.samples[1].views.rgb)
    with pytest.raises(InputError, match="2 stations"):
        change_station(model, stationed, tmp_path / "no", station=3, again=True)


# A painted view


def test_paint_reaches_the_same_places_in_other_views():
    views = room()
    painted = torch.zeros(48, 48, dtype=torch.bool)
    painted[16:32, 30:46] = True  # to the right: view 2 turns there
    gone = painted_surfaces(views, 1, painted)
    assert torch.equal(gone[1], painted)
    assert gone[2].any()
    assert not gone[[0, 4]].any()  # the photo stays, and nothing lies behind the camera
    columns = gone[2].nonzero()[:, 1].float()
    assert columns.mean() < 24  # on the left side of the view that turned right


def test_a_painted_view_changes_what_it_covers_alone(model, finished, tmp_path):
    path = finished / "hypotheses/001/images/002.png"
    before = path.read_bytes()
    pixels = np.array(Image.open(path))
    pixels[8:20, 8:20, :3] = (250, 10, 10)
    pixels[8:20, 8:20, 3:] = 255
    try:
        Image.fromarray(pixels).save(path)
        edit = EditedSceneView.load(path, finished, SceneFolder.open(finished).load_result())
    finally:
        path.write_bytes(before)
    assert (edit.hypothesis, edit.view) == (1, 2)
    change = refine_scene(model, finished, edit, tmp_path / "new", num_hypotheses=2)
    old = SceneFolder.open(finished).load_result().samples[1].views
    first, second = (sample.views for sample in change.result.samples)
    red = first.rgb[0, 2, :, 10:18, 10:18]
    assert float((red - torch.tensor([0.98, 0.04, 0.04])[:, None, None]).abs().max()) < 0.01
    untouched = ~painted_surfaces(old, 2, edit.painted)
    for views in (first, second):
        assert torch.equal(views.depth[0, :, 0][untouched], old.depth[0, :, 0][untouched])
    assert not torch.equal(first.depth, second.depth)  # the paint's geometry is sampled


def test_paintings_that_cannot_be_used_are_refused(finished, tmp_path):
    result = SceneFolder.open(finished).load_result()
    same = finished / "hypotheses/000/images/003.png"
    with pytest.raises(InputError, match="paint over it first"):
        EditedSceneView.load(same, finished, result)
    with pytest.raises(InputError, match="names no sampled view"):
        EditedSceneView.load(tmp_path / "003.png", finished, result)
    with pytest.raises(InputError, match="views 1 to 8"):
        EditedSceneView.load(finished / "hypotheses/000/images/000.png", finished, result)


# The next photo


def test_the_next_photo_looks_where_the_scenes_differ():
    """Two rooms that differ behind the camera alone, by color."""
    one, other = room(), room()
    other.rgb[:, 3:6].sub_(0.4).clamp_(0, 1)  # views at 120, 180 and 240 degrees
    plan = plan_photos(result_of(one, other))
    bits = plan.photo.information.reshape(-1, YAWS)
    assert 3 <= int(bits[0].argmax()) <= 9  # 90 to 270 degrees
    assert bits[0, 6] > 0.2
    assert bits[0, 0] < 0.05
    record = plan.to_dict()
    assert record["views"][0]["expected_entropy_left_bits"] < record["left_after_random_bits"]
    # The room is 5 x 6 m in units of the photo's height; a body keeps its radius from the walls.
    assert 5 < plan.safe_area < 30
    assert torch.linalg.norm(plan.safe, dim=-1).min() < 0.4
    with pytest.raises(InputError, match="nothing open"):
        plan_photos(result_of(one))


def test_a_step_costs_bits():
    plan = plan_photos(result_of(room(), room(tint=0.4)))
    told = plan.photo.information
    far = plan.places[plan.next_step // YAWS].norm()
    assert float(told[plan.next_step]) >= float(told[:YAWS].max()) - 1e-6 + 0.05 * float(far) - 1e-3


# Commands


def test_the_next_photo_is_planned_and_drawn(finished, capsys):
    assert main(["next-view", str(finished), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["entropy_bits"] == pytest.approx(1.0)
    lefts = [view["expected_entropy_left_bits"] for view in record["views"]]
    assert lefts == sorted(lefts, reverse=True)
    assert lefts[0] <= record["left_after_random_bits"] + 1e-3
    assert Image.open(finished / "next_view.png").size == (640, 710)
    assert json.loads((finished / "next_view.json").read_text())["views"] == record["views"]
    assert main(["next-view", str(finished)]) == 0
    assert "bits are open about which scene" in capsys.readouterr().out


def test_verbs_of_the_command_line_take_scenes(weights, finished, tmp_path, capsys):
    picture(30).save(tmp_path / "second.png")
    own = ["--weights", str(weights), "--device", "cpu", "--json"]
    refined = ["refine", str(finished), "--photo", str(tmp_path / "second.png"), "--yaw", "90", "--fov", "70"]
    assert main([*refined, "--output-dir", str(tmp_path / "a"), "--no-resample", *own]) == 0
    assert "reweighted" in json.loads(capsys.readouterr().out)
    judged = ["feedback", str(finished), "--keep", "0", "--output-dir", str(tmp_path / "b"), "--no-resample"]
    assert main([*judged, *own]) == 0
    assert main(["refine", str(finished), *own]) == 2
    assert "--undo-station" in capsys.readouterr().err
    assert main(["refine", str(finished), "--undo-station", "1", "--output-dir", str(tmp_path / "c"), *own]) == 2
    assert "0 stations" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
