"""Settings of a run: flags, recipes, schedules, and what is refused."""

import runpy
from dataclasses import replace

import pytest
import torch
from training_runs import ROOT, changed

from mvdiff.training import sharding
from mvdiff.training.arguments import parse_arguments
from mvdiff.training.config import TrainConfig, apply_overrides
from mvdiff.training.optimization import build_optimizer, learning_rate_factor
from mvdiff.training.trainer import Trainer, check_distribution
from recon.core.errors import InputError


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"data": {"stores": ["nowhere"]}}, "nowhere"),
        ({"data": {"procedural": 2, "capacity": 4}}, "capacity"),
        ({"model": {"init_from": "nowhere"}}, "nowhere"),
        ({"logging": {"trackers": ["clipboard"]}}, "clipboard"),
        ({"lora": {"targets": ["to_k"]}}, "to_k"),
        ({"lora": {"camera_targets": ["head.1"]}}, r"head\.1"),
    ],
)
def test_settings_that_lead_nowhere_are_refused(config, tmp_path, overrides, reason):
    with pytest.raises(InputError, match=reason):
        Trainer(changed(config, tmp_path / "run", **overrides))


def test_diffusers_names_are_the_same_settings(tmp_path):
    ours = "--batch-size 3 --max-steps 7 --optimizer.learning-rate 0.1 --lora.rank 4 --data.stores a b --resume latest"
    theirs = (
        "--train_batch_size=3 --max_train_steps 7 --learning_rate 0.1 --rank=4 --data a b "
        "--resume_from_checkpoint latest"
    )
    assert parse_arguments(ours.split()) == parse_arguments(theirs.split())
    assert parse_arguments(["--lora.camera-targets"]).lora.camera_targets == ()
    more = "--report_to wandb tensorboard --mixed_precision fp16 --lr_scheduler cosine --gradient_checkpointing"
    more += " --use_8bit_adam --checkpointing_steps 5 --pretrained_model_name_or_path embedded"
    more = parse_arguments(more.split())
    assert more.logging.trackers == ["wandb", "tensorboard"]
    assert (more.mixed_precision, more.optimizer.scheduler, more.optimizer.name) == ("fp16", "cosine", "adamw8bit")
    assert more.model.gradient_checkpointing
    assert (more.checkpoint_every_steps, more.model.init_from) == (5, "embedded")


@pytest.mark.parametrize("name", ["finetune_lora", "finetune_full", "embedded", "tiny"])
def test_recipes_can_be_read(name):
    config = parse_arguments(["--config", str(ROOT / f"configs/train/{name}.yaml"), "--seed", "5"])
    assert config.seed == 5
    assert (config.lora.rank > 0) == (name == "finetune_lora")


@pytest.mark.parametrize(
    ("scheduler", "values"),
    [
        ("constant", [1.0, 1.0, 1.0]),
        ("constant_with_warmup", [0.1, 1.0, 1.0]),
        ("linear", [0.1, 0.5, 0.0]),
        ("cosine", [0.1, 0.5, 0.0]),
    ],
)
def test_schedules(scheduler, values):
    config = replace(TrainConfig().optimizer, scheduler=scheduler, warmup_steps=10)
    points = [(0, 0.0), (50, 0.5), (100, 1.0)]
    assert [learning_rate_factor(*point, config) for point in points] == pytest.approx(values, abs=1e-9)


def test_one_process_in_the_place_of_several_is_told(tmp_path, monkeypatch):
    """As accelerate launch --cpu --num_processes 2 calls the script."""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(InputError, match="ACCELERATE_USE_CPU=true"):
        runpy.run_path(str(ROOT / "tools/train.py"))["main"](["--output-dir", str(tmp_path / "run")])


def test_deepspeed_is_refused():
    with pytest.raises(InputError, match="--multi_gpu"):
        check_distribution("DEEPSPEED")
    for kind in ("MULTI_GPU", "FSDP"):
        check_distribution(kind)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"FSDP_VERSION": "1"}, "fsdp.yaml"),
        ({"FSDP_VERSION": "2", "FSDP_OFFLOAD_PARAMS": "true"}, "fsdp_offload_params"),
        ({"FSDP_VERSION": "2", "FSDP_ACTIVATION_CHECKPOINTING": "true"}, "--gradient_checkpointing"),
    ],
)
def test_what_fsdp_cannot_do_is_refused(monkeypatch, asked, reason):
    assert not sharding.asked_for()
    for name, value in ({"ACCELERATE_USE_FSDP": "true"} | asked).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=reason):
        sharding.asked_for()


@pytest.mark.parametrize(
    ("settings", "reason"), [({"optimizer": {"name": "adamw8bit"}}, "adamw"), ({"mixed_precision": "fp16"}, "bf16")]
)
def test_settings_that_need_whole_weights_are_refused_with_fsdp(config, settings, reason):
    sharding.check_shardable(config)
    apply_overrides(config, settings)
    with pytest.raises(InputError, match=reason):
        sharding.check_shardable(config)


def test_the_8_bit_optimizer_asks_for_its_package(config, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    config.optimizer.name = "adamw8bit"
    with pytest.raises(InputError, match="bitsandbytes"):
        build_optimizer(torch.nn.Linear(2, 2), config.optimizer)


@pytest.mark.parametrize(
    "overrides",
    [
        {"mixed_precision": "int3"},
        {"batch_size": None},
        {"batch_size": True},
        {"optimizer": {"name": "sgd"}},
        {"max_steps": "many"},
        {"stepz": 1},
        {"data": None},
    ],
)
def test_settings_that_make_no_sense_are_refused(overrides):
    with pytest.raises(InputError, match=r"\.$"):
        apply_overrides(TrainConfig(), overrides)


def test_null_where_nothing_is_a_value():
    config = TrainConfig()
    apply_overrides(config, {"max_seconds": None, "resume": None, "optimizer": {"learning_rate": 1}})
    assert config.max_seconds is None
    assert config.optimizer.learning_rate == 1.0
