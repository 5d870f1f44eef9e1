"""Several processes: they take the steps of one, stop together and leave the same files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_runs import ROOT, tiny, trained

from mvdiff.pipelines.lora_loader import read_lora
from mvdiff.training.checkpoint import list_checkpoints
from mvdiff.training.trainer import Trainer


@pytest.mark.parametrize(("main", "sharded", "copies"), [(True, False, 1), (False, False, 0), (False, True, 1)])
def test_networks_are_copied_where_the_copy_is_used_or_shares_must_meet(tmp_path, monkeypatch, main, sharded, copies):
    trainer, made = Trainer(tiny(tmp_path, validation={"objects": 2, "sampled_objects": 0})), []
    twin = trainer.objective.twin
    monkeypatch.setattr(trainer.objective, "twin", lambda: made.append(twin()) or made[-1])
    monkeypatch.setattr(type(trainer.accelerator), "is_main_process", main)
    trainer.sharded = sharded
    trainer.validate()
    assert len(made) == copies
    trainer.export()
    assert len(made) == 3 * copies
    assert (tmp_path / "ema").exists() == main


def launch(processes: int, folder: Path, *arguments: str, kind: str = "multi_gpu") -> list[dict]:
    """Run tools/train.py with configs/train/tiny.yaml under accelerate on the CPU; returns its metrics."""
    # On the CPU, --cpu would start one process whatever the number (it waits for MPI).
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", f"configs/accelerate/{kind}.yaml"]
    command += ["--num_processes", str(processes), "--mixed_precision", "no", "--main_process_port", "0"]
    command += ["tools/train.py", f"--config={ROOT / 'configs/train/tiny.yaml'}", "--output-dir", str(folder)]
    command += ["--data.procedural", "3", "--validation.objects", "0", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_stop_together_by_the_main_one_s_clock(tmp_path):
    metrics = launch(2, tmp_path, "--max-seconds", "5", "--max-steps", "100000")
    assert (tmp_path / "raw" / "model_index.json").exists()
    assert metrics[-1]["step"] > 0


def assert_same_steps(together: list[dict], two: Path, alone: Trainer) -> None:
    """Losses, gradients and last weights of two processes against those of one, which may have begun later."""
    one = Path(alone.config.output_dir)
    lines = [json.loads(line) for line in (one / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in together] == [1, 2, 3, 4]
    together = together[-len(lines) :]
    assert [line["step"] for line in together] == [line["step"] for line in lines]
    for name in ("loss", "flow", "camera_nll", "grad_norm"):
        assert [line[name] for line in together] == pytest.approx([line[name] for line in lines], rel=1e-5), name
    saved = load_file(list_checkpoints(two)[-1] / "raw.safetensors")
    _, *muon = alone.optimizer.optimizers
    magnified = {id(value) for optimizer in muon for group in optimizer.param_groups for value in group["params"]}
    assert saved.keys() == trained(alone).keys()
    for name, value in trained(alone).items():
        # For what Muon takes two fifths of a step, see the test of rounded gradients: other processors round otherwise.
        atol = 1.5e-4 if id(value) in magnified else 1e-6
        torch.testing.assert_close(saved[name], value.detach(), rtol=0, atol=atol)


def test_two_processes_take_the_steps_that_one_takes_with_twice_the_micro_batches(tmp_path, one_thread):
    """With AdamW for all weights: rounding does not hide other gradients then."""
    arguments = ("--max-steps", "4", "--logging.every-steps", "1", "--optimizer.name", "adamw")
    together = launch(2, tmp_path / "two", *arguments)
    overrides = {"gradient_accumulation_steps": 2, "logging": {"every_steps": 1}, "optimizer": {"name": "adamw"}}
    alone = Trainer(tiny(tmp_path / "one", **overrides))
    alone.train()
    assert_same_steps(together, tmp_path / "two", alone)


def test_processes_that_share_the_weights_out_take_the_same_steps_and_leave_the_same_files(tmp_path, one_thread):
    two, one = tmp_path / "two", tmp_path / "one"
    often = ("--max-steps", "4", "--logging.every-steps", "1", "--checkpoint-every-steps", "2")
    together = launch(2, two, *often, "--checkpoints-total-limit", "5", kind="fsdp")
    overrides = {"gradient_accumulation_steps": 2, "logging": {"every_steps": 1}, "checkpoints_total_limit": 5}
    alone = Trainer(tiny(one, **overrides))
    alone.train()
    assert_same_steps(together, two, alone)
    provenance = json.loads((two / "ema" / "provenance.json").read_text())
    assert provenance["parameters_per_process"] <= 0.51 * sum(p.numel() for p in alone.objective.parameters())
    # One process goes on from their checkpoint, and they from it bit for bit as if never interrupted.
    resumed = Trainer(tiny(tmp_path / "resumed", resume=str(two / "checkpoint-0000002"), **overrides))
    resumed.train()
    assert_same_steps(together, two, resumed)
    launch(2, tmp_path / "again", *often, "--resume", str(two / "checkpoint-0000002"), kind="fsdp")
    for part in ("raw", "ema", "optimizer"):
        first, second, single = (
            load_file(run / "checkpoint-0000004" / f"{part}.safetensors") for run in (two, tmp_path / "again", one)
        )
        assert first.keys() == single.keys()
        for name, value in first.items():
            assert torch.equal(value, second[name]), name
            assert value.shape == single[name].shape


def test_adapters_that_are_shared_out_take_the_same_steps_and_are_whole_in_their_file(tmp_path, one_thread):
    arguments = ("--max-steps", "4", "--logging.every-steps", "1", "--optimizer.name", "adamw", "--rank", "2")
    together = launch(2, tmp_path / "two", *arguments, kind="fsdp")
    overrides = {"gradient_accumulation_steps": 2, "optimizer": {"name": "adamw"}, "lora": {"rank": 2}}
    alone = Trainer(tiny(tmp_path / "one", logging={"every_steps": 1}, **overrides))
    alone.train()
    assert_same_steps(together, tmp_path / "two", alone)
    shared, single = (read_lora(tmp_path / run / "lora.safetensors")[0] for run in ("two", "one"))
    assert shared.keys() == single.keys() == {"transformer", "camera_estimator"}
    for component, values in single.items():
        for name, value in values.items():
            torch.testing.assert_close(shared[component][name], value, rtol=0, atol=1e-6)
