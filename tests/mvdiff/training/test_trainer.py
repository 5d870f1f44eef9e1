"""The trainer: what it promises about resuming, ending, checkpoints and refusing."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from training_runs import tiny

from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.training.checkpoint import checkpoint_tensors, list_checkpoints, save_checkpoint
from mvdiff.training.config import OptimizerConfig
from mvdiff.training.data import load_data
from mvdiff.training.ema import ExponentialMovingAverage
from mvdiff.training.optimization import build_optimizer
from mvdiff.training.trainer import Trainer
from recon.core.errors import InputError


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainer.objective.named_parameters()}


def test_resumed_run_ends_bit_for_bit_where_an_unbroken_one_does(tmp_path):
    # The rate's schedule is a function of steps / max_steps, so the first part must know the whole run's length.
    unbroken = Trainer(tiny(tmp_path / "a", checkpoints_total_limit=5))
    unbroken.train()
    resume = str(tmp_path / "a" / "checkpoint-0000002")
    resumed = Trainer(tiny(tmp_path / "b", resume=resume))
    assert resumed.step == 2
    resumed.train()
    for name, value in weights(unbroken).items():
        assert torch.equal(value, weights(resumed)[name]), name
        assert torch.equal(unbroken.ema.averages[name], resumed.ema.averages[name]), name


def test_moments_in_8_bits_are_resumed_bit_for_bit(tmp_path):
    pytest.importorskip("bitsandbytes", reason="the extra bitsandbytes is not installed")
    settings = {"optimizer": {"name": "adamw8bit"}, "checkpoints_total_limit": 5}
    unbroken = Trainer(tiny(tmp_path / "a", **settings))
    unbroken.train()
    resume = tmp_path / "a" / "checkpoint-0000002"
    moments = load_file(resume / "optimizer.safetensors")
    assert moments["transformer.blocks.0.mlp.up.weight|state1"].dtype == torch.uint8
    resumed = Trainer(tiny(tmp_path / "b", resume=str(resume), **settings))
    resumed.train()
    for name, value in weights(unbroken).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_the_camera_estimator_learns_alone_from_photographs_without_views(tmp_path):
    overrides = {
        "loss": {"flow_weight": 0.0, "camera_weight": 1.0},
        "data": {"procedural": 3, "record": {"ring_views": 0}, "batch": {"camera_photos": 2}},
        "validation": {"objects": 2, "every_steps": 2},
    }
    trainer = Trainer(tiny(tmp_path, **overrides))
    before = weights(trainer)
    trainer.train()
    assert trainer.data.store.targets.shape[1] == 0
    changed = {name for name, value in weights(trainer).items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("camera_estimator.") for name in changed)
    assert "validation/flow" not in trainer.last_validation
    assert 0 < trainer.last_validation["validation/elevation_error"] < 90
    # The run's folder is a whole pipeline all the same: the other network is the one it began with.
    exported = MultiViewDiffusionPipeline.from_pretrained(tmp_path).transformer.state_dict()
    for name, value in exported.items():
        assert torch.equal(value, before[f"transformer.{name}"]), name


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"data": {"record": {"ring_views": 0}}}, "flow_weight"),
        ({"loss": {"flow_weight": 0.0, "camera_weight": 0.0}}, "nothing to train"),
        *(({"loss": {"camera_patches": share}}, "share above 0 and at most 1") for share in (0.0, 50.0)),
        ({"loss": {"flow_weight": 0.0}, "lora": {"rank": 2, "camera_targets": []}}, "nothing to train"),
    ],
)
def test_losses_and_pictures_that_do_not_fit_are_refused(tmp_path, overrides, reason):
    with pytest.raises(InputError, match=reason):
        Trainer(tiny(tmp_path, **overrides))


def test_truncated_checkpoint_is_refused_with_a_sentence(tmp_path):
    Trainer(tiny(tmp_path, max_steps=1)).train()
    path = list_checkpoints(tmp_path)[-1]
    whole = (path / "raw.safetensors").read_bytes()
    (path / "raw.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="no readable checkpoint"):
        Trainer(tiny(tmp_path, resume="latest"))


def test_seconds_bound_the_run_photographing_included(tmp_path):
    trainer = Trainer(tiny(tmp_path, max_seconds=1e-3, max_steps=1000))
    trainer.train()
    assert trainer.step == 0
    assert (tmp_path / "ema" / "model_index.json").exists()


def test_stores_alone_hold_nothing_out_and_say_so(tmp_path, caplog):
    config = tiny(tmp_path).data
    load_data(config, 0, torch.device("cpu")).store.save(tmp_path / "store")
    config.stores, config.procedural = [str(tmp_path / "store")], 0
    with caplog.at_level("WARNING"):
        load_data(config, 0, torch.device("cpu"))
    assert "held out" in caplog.text


def test_the_newest_checkpoint_survives_any_limit(tmp_path):
    module = nn.Linear(2, 2)
    ema, optimizer = ExponentialMovingAverage(module, 0.9), build_optimizer(module, OptimizerConfig(name="adamw"))
    tensors = checkpoint_tensors(module, ema, optimizer)
    for step in (1, 2, 2):
        save_checkpoint(tmp_path, step, tensors, {"seconds": 0.0}, total_limit=0)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-0000002"]
