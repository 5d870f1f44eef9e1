"""Training on scenes: what is learned, resuming, a room learned by heart, and the weights that come out."""

import pytest
import torch
from box_rooms import box_store, box_stream
from training_runs import assert_same_run

from mvdiff.data.scenes.stream import SceneStore
from mvdiff.models import MultiViewTransformer
from mvdiff.models.encoding import SceneCode
from mvdiff.pipelines.scene_diffusion import SceneDiffusionPipeline
from mvdiff.training.config import TrainConfig, apply_overrides
from mvdiff.training.scenes import recipe
from mvdiff.training.scenes.batch import draw_batch
from mvdiff.training.scenes.config import SceneBatchConfig, SceneLossConfig, SceneMixture
from mvdiff.training.scenes.data import ScenePictures
from mvdiff.training.scenes.groups import Task
from mvdiff.training.scenes.losses import flow_loss
from mvdiff.training.scenes.memory import Memory
from mvdiff.training.scenes.noise import SceneLevels
from mvdiff.training.scenes.objective import warm_start
from mvdiff.training.trainer import Trainer
from recon.core.errors import InputError
from recon.rendering.warp import forward_warp

SIZE = 32
TINY = {"sample_size": SIZE, "patch_size": 8, "reference_channels": 0, "width": 64, "depth": 2, "heads": 2}


@pytest.fixture
def rooms(monkeypatch) -> SceneStore:
    """Two rooms to train on and to validate on, in place of the workers' scenes."""
    store = box_store(2, SIZE)

    def load(data, batch, seed, device, process_index) -> ScenePictures:
        return ScenePictures(box_stream(2, SIZE), store, batch, renewed=False)

    monkeypatch.setattr(recipe, "load_scenes", load)
    return store


def tiny(folder, **overrides) -> TrainConfig:
    config = TrainConfig()
    quiet = {
        "output_dir": str(folder),
        "task": "scenes",
        "batch_size": 8,
        "max_steps": 4,
        "mixed_precision": "no",
        "checkpoint_every_steps": 2,
        "checkpoints_total_limit": 5,
        "model": {"transformer": TINY},
        "optimizer": {"warmup_steps": 2},
        "validation": {"objects": 0},
    }
    apply_overrides(config, quiet | overrides)
    return config


def test_resumed_run_ends_bit_for_bit_where_an_unbroken_one_does(tmp_path, rooms):
    unbroken = Trainer(tiny(tmp_path / "a"))
    unbroken.train()
    resumed = Trainer(tiny(tmp_path / "b", resume=str(tmp_path / "a" / "checkpoint-0000002")))
    assert resumed.step == 2
    resumed.train()
    assert_same_run(unbroken, resumed)


def test_two_rooms_are_learned_and_the_run_can_be_sampled_from(tmp_path, rooms):
    validation = {"objects": 4, "sampled_objects": 1, "hypotheses": 2, "num_inference_steps": 2, "every_steps": 0}
    rate = {"warmup_steps": 5, "learning_rate": 3e-3, "ema_decay": 0.9}
    trainer = Trainer(
        tiny(tmp_path, max_steps=24, batch_size=6, optimizer=rate, validation=validation, checkpoint_every_steps=0)
    )
    trainer.validate()
    before = trainer.last_validation
    trainer.train()
    after = trainer.last_validation
    for task in ("sphere", "station"):
        assert after[f"validation/{task}_depth"] < 0.9 * before[f"validation/{task}_depth"]
        assert after[f"validation/{task}_color"] < before[f"validation/{task}_color"]
    assert after["validation/sphere_photo_abs_rel"] < before["validation/sphere_photo_abs_rel"]
    assert (tmp_path / "validation" / "0000024.png").is_file()
    pipeline = SceneDiffusionPipeline.from_pretrained(tmp_path)
    averages = trainer.ema.part("transformer")
    for name, value in pipeline.transformer.named_parameters():
        assert torch.equal(value, averages[name]), name


def test_what_is_known_is_not_learned_and_changes_no_loss(rooms):
    batch = draw_batch(rooms, 2, 40, torch.Generator().manual_seed(0), SceneBatchConfig())
    levels = SceneLevels.of(batch, torch.Generator().manual_seed(0), SceneLossConfig(drop_photo=0.5))
    assert not levels.learned[:, 0, 0].any()  # the photo's colors, hidden or not
    shown = ~levels.dropped
    assert (levels.level[shown, 0, 0] == 0).all()
    assert (levels.level[~shown, 0, 0] == 1).all()
    spheres, videos = batch.task == Task.SPHERE, batch.task == Task.KNOWN_RGB
    assert levels.learned[spheres, :, 1].all()
    assert levels.learned[spheres, 1:, 0].all()
    assert (levels.level[videos, 1:, 0] == 0).all()
    assert not levels.learned[videos, :, 0].any()
    for k in range(batch.stations.start, 40):
        given = int(batch.given[k])
        assert (levels.level[k, 1 : 1 + given] <= 0.3).all()
        assert not levels.learned[k, : 1 + given].any()
        assert levels.learned[k, 1 + given :].all()
    wrong = batch.views.clone()
    for group, channels in enumerate((slice(0, 3), slice(3, 8))):
        known = ~levels.learned[..., group]
        wrong[:, :, channels] += known[:, :, None, None, None] * 5.0
    assert float(flow_loss(wrong, batch.views, levels, SceneLossConfig())[0]) == 0


def test_depth_of_the_sky_counts_a_fifth(rooms):
    batch = draw_batch(
        rooms, 2, 4, torch.Generator().manual_seed(0), SceneBatchConfig(mixture=SceneMixture(1, 0, 0, 0))
    )
    levels = SceneLevels(torch.ones(4, 9, 2), torch.ones(4, 9, 2).bool(), torch.zeros(4).bool())
    sky = (batch.views[:, :, 3] < 0).float()
    assert 0 < float(sky.mean()) < 0.5
    off = [batch.views.clone() for _ in range(2)]
    off[0][:, :, 7] += sky
    off[1][:, :, 7] += 1 - sky
    losses = [float(flow_loss(x, batch.views, levels, SceneLossConfig())[0]) for x in off]
    share = float(sky.mean())
    assert losses[0] / losses[1] == pytest.approx(0.2 * share / (1 - share), rel=1e-3)


def test_known_views_are_warped_into_the_unknown_ones_only(rooms):
    batch = draw_batch(
        rooms, 2, 8, torch.Generator().manual_seed(3), SceneBatchConfig(mixture=SceneMixture(0, 1, 0, 0))
    )
    still = SceneLossConfig().warp
    still.drop = still.shift = still.erode = 0.0
    condition = Memory.of(batch).warped(batch, torch.Generator().manual_seed(0), still)
    valid = condition[:, :, 4]
    for k in range(8):
        assert not valid[k, : 1 + int(batch.given[k])].any()
        assert valid[k, 1 + int(batch.given[k]) :].float().mean() > (0.05 if batch.alone[k] else 0.2)
    error = ((condition[:, :, :3] - batch.views[:, :, :3]).abs() * valid[:, :, None]).sum() / valid.sum() / 3
    assert float(error) < 0.06
    dropped = Memory.of(batch).warped(
        batch, torch.Generator().manual_seed(0), SceneLossConfig().warp.__class__(drop=1.0)
    )
    assert not dropped.any()


def test_a_photo_that_alone_is_known_is_warped_alone_also_as_the_network_sees_it(rooms):
    here = SceneBatchConfig(mixture=SceneMixture(0, 1, 0, 0), stations_here=1.0)
    batch = draw_batch(rooms, 2, 6, torch.Generator().manual_seed(3), here)
    assert batch.alone.all()
    network = MultiViewTransformer(**TINY, noise_groups=2, condition_channels=6)
    memory = Memory.of(batch).predicted(network, batch, torch.Generator().manual_seed(0), 0.5)
    assert torch.equal(memory.sources, memory.sources[:, :1].expand_as(memory.sources))
    still = SceneLossConfig().warp.__class__(drop=0.0, shift=0.0, erode=0.0)
    code = SceneCode()
    photo = code.decode(memory.sources[:, :1], batch.source_cameras[:, :1])
    expected = code.condition(forward_warp(photo, batch.cameras))
    found = memory.warped(batch, torch.Generator().manual_seed(0), still)
    assert torch.equal(found[:, 1:], expected[:, 1:])


def test_predicted_memory_keeps_the_photos_colors(rooms):
    mixture = SceneBatchConfig(mixture=SceneMixture(0, 1, 0, 0), stations_here=0.0)
    batch = draw_batch(rooms, 2, 10, torch.Generator().manual_seed(3), mixture)
    network = MultiViewTransformer(**TINY, noise_groups=2, condition_channels=6)
    memory = Memory.of(batch)
    seen = memory.predicted(network, batch, torch.Generator().manual_seed(0), 0.4)
    assert torch.equal(seen.sources[4:], memory.sources[4:])
    assert torch.equal(seen.sources[:4, 0, :3], memory.sources[:4, 0, :3])
    assert not torch.equal(seen.sources[:4, 1:], memory.sources[:4, 1:])
    views = seen.into(batch)
    for k in range(10):
        given = int(batch.given[k])
        assert torch.equal(views[k, : 1 + given], seen.sources[k, : 1 + given])
        assert torch.equal(views[k, 1 + given :], batch.views[k, 1 + given :])


def test_blocks_are_taken_from_weights_of_another_patch_size():
    objects = MultiViewTransformer(sample_size=32, patch_size=16, width=64, depth=2, heads=2)
    scenes = MultiViewTransformer(**TINY, noise_groups=2, condition_channels=6)
    fresh = warm_start(scenes, objects)
    assert torch.equal(scenes.blocks[1].mlp.up.weight, objects.blocks[1].mlp.up.weight)
    assert fresh == [
        "embed_condition.weight",
        "embed_group_time.weight",
        "embed_view.weight",
        "proj_out.bias",
        "proj_out.weight",
    ]
    with pytest.raises(InputError, match="another width"):
        warm_start(scenes, MultiViewTransformer(sample_size=32, width=32, depth=2, heads=2))
