"""The pool of scenes, data sets of scenes, defects of photos."""

import numpy as np
import pytest
import torch

from mvdiff.cli.main import main
from mvdiff.data.scenes.augment import PhotoDefects, augment_photos, line_drawing
from mvdiff.data.scenes.dataset import SCENES, SHEET
from mvdiff.data.scenes.record import SceneConfig, record_arrays
from mvdiff.data.scenes.stream import SceneJob, SceneStream, SceneStreamConfig
from mvdiff.data.stores.shards import ShardReader

TINY = SceneConfig(size=16, places=1, photos=1, paths=0)


def stream_of(**more) -> SceneStream:
    return SceneStream(SceneStreamConfig(capacity=3, seed=20, kind="corridor", record=TINY, **more))


def test_the_oldest_scene_is_replaced_first():
    stream = stream_of()
    stream.fill()
    before = stream.store.rgba.clone()
    assert len(stream) == 3
    assert stream.store.kinds == ["corridor"] * 3
    assert stream.refresh(1) == 1
    assert stream.count == 4
    assert torch.equal(stream.store.rgba[1:], before[1:])
    assert not torch.equal(stream.store.rgba[0], before[0])
    fresh = SceneJob("corridor", 23, config=TINY).run()
    assert np.array_equal(stream.store.rgba[0].numpy(), fresh.rgba)
    assert stream.store.hidden[0] == fresh.hidden


def test_processes_make_the_same_scenes():
    alone, stream = stream_of(), stream_of(workers=1)
    try:
        stream.fill()
        alone.fill()
        for name in record_arrays(TINY):
            assert torch.equal(getattr(alone.store, name), getattr(stream.store, name))
    finally:
        stream.close()


def command(folder, *more: str) -> list[str]:
    small = ["--size", "16", "--places", "1", "--paths", "0", "--kind", "corridor", "--seed", "40"]
    return ["data", "render-scenes", str(folder), "--scenes", "2", *small, *more]


def test_a_data_set_of_scenes_is_read_back_and_goes_on_where_it_stopped(tmp_path, capsys):
    assert main(command(tmp_path / "scenes")) == 0
    assert "2 scenes of 9 views" in capsys.readouterr().out
    reader = ShardReader(tmp_path / "scenes", SCENES)
    assert reader.config == TINY
    assert len(reader) == 2
    made = SceneJob("corridor", 41, config=TINY).run()
    record = list(reader.read(0))[1].record
    for name in record_arrays(TINY):
        assert np.array_equal(getattr(record, name), getattr(made, name))
    assert (record.kind, record.hidden, record.seed, record.split) == ("corridor", made.hidden, 41, "train")
    shard = tmp_path / "scenes" / "shard-00000.tar"
    stamp = shard.stat().st_mtime_ns
    assert main(command(tmp_path / "scenes")) == 0
    assert shard.stat().st_mtime_ns == stamp
    assert (tmp_path / "scenes" / SHEET).is_file()


def test_other_settings_do_not_overwrite_and_bad_ones_are_told(tmp_path, capsys):
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "mine.txt").write_text("mine")
    assert main(command(tmp_path / "scenes")) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(command(tmp_path / "new", "--photos", "0")) == 2
    assert main(command(tmp_path / "new", "--packs", str(tmp_path / "none.npz"))) == 2
    assert "none.npz" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def photos(count: int = 64):
    generator = torch.Generator().manual_seed(0)
    rgb = torch.rand(count, 3, 32, 32, generator=generator)
    normal = torch.zeros(count, 3, 32, 32)
    normal[:, 2, :, :16], normal[:, 0, :, 16:] = 1.0, 1.0
    depth = torch.full((count, 32, 32), 2.0)
    depth[:, 16:, :] = 5.0
    return rgb, normal, depth, generator


def test_no_defects_leave_photos_as_they_are():
    rgb, normal, depth, generator = photos()
    none = PhotoDefects(0, 0, 0, 0, 0, 0, 0)
    assert torch.allclose(augment_photos(rgb, normal, depth, generator, none), rgb, atol=1e-4)


def test_defects_stay_in_range_repeat_with_the_seed_and_differ_between_photos():
    rgb, normal, depth, _ = photos()
    rgb[:] = rgb[:1]
    one, two = (augment_photos(rgb, normal, depth, torch.Generator().manual_seed(3), PhotoDefects()) for _ in range(2))
    assert torch.equal(one, two)
    assert one.min() >= 0
    assert one.max() <= 1
    assert len({round(float(photo.sum()), 3) for photo in one}) > 0.8 * len(one)  # drawings are alike


def test_as_many_photos_become_drawings_as_asked_for():
    rgb, normal, depth, generator = photos(2000)
    only = PhotoDefects(0, 0, 0, 0, 0, 0, drawing=0.08)
    drawn = (augment_photos(rgb, normal, depth, generator, only) - rgb).abs().flatten(1).amax(1) > 0.01
    assert abs(float(drawn.float().mean()) - 0.08) < 0.025


def test_lines_are_where_surfaces_end_or_bend_and_nowhere_on_a_slanted_plane():
    rgb, normal, depth, _ = photos(1)
    page = line_drawing(rgb, normal, depth, torch.zeros(1, 1, 1, 1))[0].mean(0)
    assert page[8, 15] < 0.4
    assert page[15, 8] < 0.4
    assert page[8, 8] == 1
    assert page[26, 26] == 1
    ramp = torch.linspace(1, 1.5, 32).expand(1, 32, 32)
    flat = line_drawing(rgb, torch.zeros_like(normal), ramp, torch.zeros(1, 1, 1, 1))
    assert flat.min() > 0.99


def test_small_pools_are_refused():
    with pytest.raises(Exception, match="capacity"):
        SceneStreamConfig(capacity=0)
