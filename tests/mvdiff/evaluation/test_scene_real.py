"""Protocol S2 on folders written from a room that is known in closed form."""

from dataclasses import replace

import pytest
import torch
from box_room import box_room, looking
from real_data import write_colmap, write_rgbd

from mvdiff.evaluation.protocols import scene_baselines as baselines
from mvdiff.evaluation.protocols import scene_space
from mvdiff.evaluation.protocols.scene_config import SceneEvaluationConfig
from mvdiff.evaluation.protocols.scene_real import open_frames, real_jobs, up_of, upright
from mvdiff.evaluation.protocols.scene_runner import evaluate_scenes, score_scene
from recon.core.errors import InputError
from recon.io.views import colmap, rgbd

HEAD = {"command": "test", "weights": {"baseline": "test"}, "device": "cpu", "versions": {"mvdiff": "0"}}


@pytest.fixture(autouse=True)
def _coarse(monkeypatch):
    """Fewer cells than an evaluation has, which take most of its time."""
    monkeypatch.setattr(scene_space, "CELLS", 12_000)


def room_views(size: int = 48):
    cameras = looking([(0.1 * k, 0.0, -0.1 * k) for k in range(6)], [10.0 * k for k in range(6)], size)
    return box_room(cameras)


def test_frames_of_color_depth_and_pose_are_read(tmp_path):
    views = room_views()
    folder = write_rgbd(views, tmp_path / "kitchen")
    with pytest.warns(UserWarning, match="1 frames"):
        sequence = rgbd.RgbdSequence.open(folder)
    assert len(sequence) == 6
    read = sequence.load([1, 4], (48, 48))
    torch.testing.assert_close(read.rgb, views.rgb[:, [1, 4]], atol=3e-3, rtol=0)
    assert (read.depth[0, :, 0, 0, :2] == 0).all()
    torch.testing.assert_close(read.depth[..., 1:, :], views.depth[:, [1, 4], :, 1:], atol=6e-4, rtol=0)
    torch.testing.assert_close(read.cameras.intrinsics, views.cameras.intrinsics[:, [1, 4]])
    squeezed = sequence.load([0], (24, 12))
    assert squeezed.cameras.intrinsics[0, 0, 1, 1] == views.cameras.intrinsics[0, 0, 1, 1] / 4


def test_a_missing_lens_is_a_kinects_and_said(tmp_path):
    folder = write_rgbd(room_views(), tmp_path / "kitchen", intrinsics=False)
    with pytest.warns(UserWarning, match="Kinect"):
        read = rgbd.RgbdSequence.open(folder).load([0], (48, 48))
    assert read.cameras.intrinsics[0, 0, 0, 0].item() == pytest.approx(585 * 48 / 640)


def test_sparse_points_tell_the_depth_of_a_picture(tmp_path):
    views = room_views()
    folder = write_colmap(views, tmp_path / "room")
    medians = colmap.median_depths(folder)
    for median, depth in zip(medians, views.depth[0, :, 0], strict=True):
        assert median == pytest.approx(float(depth[4::8, 4::8].median()), rel=1e-3)
    read = colmap.load(folder, whole=True)
    torch.testing.assert_close(read.rgb, views.rgb, atol=3e-3, rtol=0)
    assert (read.alpha == 1).all()


def test_the_world_is_turned_upright():
    views = room_views()
    torch.testing.assert_close(up_of(views.cameras.c2w[0]), torch.tensor([0.0, 1.0, 0.0]), atol=1e-5, rtol=0)
    for axis in ([0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [0.6, 0.0, -0.8]):
        up = torch.tensor(axis)
        camera = views.cameras.c2w[0, :1].clone()
        camera[0, :3, 1] = -up
        camera[0, :3, 2] = torch.nn.functional.normalize(torch.linalg.cross(up, torch.tensor([0.3, 0.5, 0.1])), dim=0)
        camera[0, :3, 0] = torch.linalg.cross(camera[0, :3, 1], camera[0, :3, 2])
        turned = upright(replace(views, cameras=replace(views.cameras, c2w=camera[None].expand(1, 6, 4, 4))), up)
        torch.testing.assert_close(up_of(turned.cameras.c2w[0]), torch.tensor([0.0, 1.0, 0.0]), atol=1e-5, rtol=0)


def test_measured_pixels_alone_are_judged(tmp_path):
    folder = write_rgbd(room_views(), tmp_path / "kitchen")
    config = SceneEvaluationConfig(model="mean", data=folder, scenes=1, held_frames=3, reach=0.35)
    with pytest.warns(UserWarning, match="incomplete"):
        (job,) = real_jobs(config)
    case = job.make()
    assert case.unit == pytest.approx(1.5, abs=1e-4)
    assert not case.judged[0, 0, :5].any()
    assert case.judged[0, 3:].all()
    truth = score_scene(case, case.truth)
    assert truth["photo_abs_rel"] == [0]
    assert truth["psnr_seen"] == truth["psnr_own_seen"] == [100]
    assert truth["f1"] == [1]


def test_real_data_go_through_the_evaluation(tmp_path):
    folder = write_colmap(room_views(), tmp_path / "room")
    config = SceneEvaluationConfig(
        model="mean", data=folder, scenes=2, held_frames=3, reach=5, num_hypotheses=1, output=tmp_path / "s2.json"
    )
    jobs = real_jobs(config)
    assert [job.name for job in jobs] == ["room/1", "room/4"]
    results = evaluate_scenes(config, jobs, baselines.mean_color, HEAD, lambda _: None)
    assert results["protocol"] == "s2"
    assert results["summary"]["photo_abs_rel"] is None
    assert 5 < results["summary"]["psnr"] < 40
    assert results["summary"]["psnr_own_seen"] is not None


def test_data_without_scale_are_refused(tmp_path):
    with pytest.raises(InputError, match="known scale"):
        open_frames(tmp_path)
    with pytest.raises(InputError, match=r"points3D\.txt"):
        open_frames(write_colmap(room_views(16), tmp_path / "room", points=False))
    folder = write_rgbd(room_views(16), tmp_path / "kitchen")
    with pytest.warns(UserWarning, match="incomplete"), pytest.raises(InputError, match="--reach"):
        real_jobs(SceneEvaluationConfig(model="mean", data=folder, reach=1e-3))
    (folder / "frame-000000.pose.txt").write_text("one two")
    with pytest.raises(InputError, match="no readable matrix"):
        rgbd.RgbdSequence.open(folder)
