"""Kills, full disks and other settings: a run goes on as if nothing had happened, or says why not."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from training_runs import ROOT, assert_same_run, changed

from mvdiff.training.checkpoint import checkpoint_tensors, list_checkpoints, recover, save_checkpoint
from mvdiff.training.config import apply_overrides, changed_settings
from mvdiff.training.tracking import read_metrics
from mvdiff.training.trainer import Trainer
from recon.core.errors import InputError


@pytest.mark.parametrize(
    "kind",
    [
        {"lora": {"rank": 2, "dropout": 0.2}},
        {"lora": {"rank": 0}, "gradient_accumulation_steps": 2, "model": {"gradient_checkpointing": True}},
        {"data": {"capacity": 5, "refresh_per_step": 2}, "mixed_precision": "bf16"},
        {"mixed_precision": "fp16"},
    ],
    ids=["lora", "full", "stream", "fp16"],
)
def test_resumed_is_unbroken_bit_for_bit(config, tmp_path, kind):
    unbroken = Trainer(changed(config, tmp_path / "a", **kind))
    unbroken.train()
    resumed = Trainer(changed(config, tmp_path / "b", resume=str(tmp_path / "a" / "checkpoint-0000002"), **kind))
    assert resumed.step == 2
    resumed.train()
    assert_same_run(unbroken, resumed)


@pytest.mark.timeout(300)
def test_killed_again_and_again_it_ends_where_an_unbroken_run_does(config, tmp_path, one_thread):
    """SIGKILL at arbitrary moments, while checkpoints are written all the time."""
    config = changed(config, tmp_path / "killed", max_steps=40, checkpoint_every_steps=1, checkpoints_total_limit=2)
    settings = tmp_path / "run.yaml"
    settings.write_text(json.dumps(config, default=vars))
    command = [sys.executable, "tools/train.py", "--config", str(settings)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run, folder = None, tmp_path / "killed"
    for kill, delay in enumerate((0.05, 0.25)):
        known = len(read_metrics(folder / "metrics.jsonl"))
        steps = {path.name for path in folder.glob("checkpoint-*")}
        resume = ["--resume_from_checkpoint", "latest"] if kill else []
        run = subprocess.Popen([*command, *resume], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        while {path.name for path in folder.glob("checkpoint-*")} == steps and run.poll() is None:
            time.sleep(0.01)
        time.sleep(delay)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
        assert list_checkpoints(folder) or any(folder.glob(".checkpoint-*.old"))
        assert len(read_metrics(folder / "metrics.jsonl")) >= min(known, 1)
    ended = Trainer(changed(config, folder, resume="latest"))
    assert 0 < ended.step < 40
    ended.train()
    unbroken = Trainer(changed(config, tmp_path / "unbroken", checkpoint_every_steps=0))
    unbroken.train()
    assert_same_run(ended, unbroken)
    steps = [line["step"] for line in read_metrics(folder / "metrics.jsonl")]
    assert steps == sorted(set(steps))


def test_what_a_kill_leaves_is_put_right(tmp_path):
    for name in (
        ".checkpoint-0000002.old",
        ".checkpoint-0000003.partial",
        ".checkpoint-0000001.old",
        "checkpoint-0000001",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text("{}")
    recover(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-0000001", "checkpoint-0000002"]


def test_a_full_disk_is_told_and_the_last_checkpoint_stays(config, tmp_path):
    trainer = Trainer(config)
    arguments = (checkpoint_tensors(trainer.objective, trainer.ema, trainer.optimizer), {"seconds": 0.0}, 3)
    first = save_checkpoint(tmp_path, 1, *arguments)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"Cannot write to .* resume from the last checkpoint"):
            save_checkpoint(tmp_path, 2, *arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list_checkpoints(tmp_path) == [first]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_full_disk_between_checkpoints_is_told_too(config, tmp_path, monkeypatch):
    """Room for the first lines of metrics.jsonl only."""
    trainer = Trainer(changed(config, config.output_dir, checkpoint_every_steps=1, logging={"every_steps": 1}))
    write, limits = trainer.tracker.log, resource.getrlimit(resource.RLIMIT_FSIZE)

    def log(step, seconds, values):
        if step < 3:
            return write(step, seconds, values)
        resource.setrlimit(resource.RLIMIT_FSIZE, (trainer.tracker.path.stat().st_size + 10, limits[1]))
        try:
            write(step, seconds, values)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(trainer.tracker, "log", log)
    with pytest.raises(InputError, match=r"Cannot write to .*metrics\.jsonl.* resume from the last checkpoint\.$"):
        trainer.train()
    folder = Path(config.output_dir)
    assert [path.name for path in list_checkpoints(folder)][-1] == "checkpoint-0000002"
    assert {line["step"] for line in read_metrics(folder / "metrics.jsonl")} == {1, 2}
    Trainer(changed(config, config.output_dir, max_steps=3, resume="latest", logging={"every_steps": 1})).train()
    assert {line["step"] for line in read_metrics(folder / "metrics.jsonl")} == {1, 2, 3}


def test_resuming_with_other_settings_is_told(config, tmp_path, caplog):
    Trainer(config).train()
    again = changed(config, config.output_dir, resume="latest", max_steps=6, optimizer={"learning_rate": 0.5})
    Trainer(again)
    assert "optimizer.learning_rate is 0.5, was 0.0006" in caplog.text
    assert "max_steps is 6, was 4" in caplog.text
    assert "resume" not in caplog.text.replace("Resuming", "")
    for fatal in (
        {"lora": {"rank": 4}},
        {"lora": {"rank": 0}},
        {"lora": {"camera_targets": []}},
        {"optimizer": {"name": "muon"}},
    ):
        with pytest.raises(InputError, match="was made with"):
            Trainer(changed(config, config.output_dir, resume="latest", **fatal))


def test_checkpoints_of_before_estimators_were_adapted_say_how_to_go_on(config):
    before = json.loads(json.dumps(asdict(config)))
    del before["lora"]["camera_targets"]
    with pytest.raises(InputError, match=r"lora\.camera_targets \[\], not"):
        changed_settings(before, config)
    config.lora.camera_targets = ()
    assert not changed_settings(before, config)
    before["lora"]["rank"] = config.lora.rank = 0
    config.lora.camera_targets = ("head.2",)
    assert not changed_settings(before, config)


def test_a_folder_with_another_run_s_checkpoints_is_not_written_to(config):
    Trainer(config).train()
    with pytest.raises(InputError, match="--resume latest"):
        Trainer(config)
    config.overwrite = True
    Trainer(config)
    assert not list_checkpoints(Path(config.output_dir))


def test_a_finished_run_that_is_resumed_says_nothing_twice(config, tmp_path):
    config = changed(config, tmp_path / "run", max_steps=2, checkpoint_every_steps=1, logging={"every_steps": 1})
    apply_overrides(config, {"validation": {"objects": 2, "every_steps": 1}})
    Trainer(config).train()
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    validated = [line["step"] for line in lines if "validation/loss" in line]
    assert validated == [1, 2]
    for _ in range(2):
        Trainer(changed(config, tmp_path / "run", resume="latest")).train()
        assert read_metrics(tmp_path / "run" / "metrics.jsonl") == lines
