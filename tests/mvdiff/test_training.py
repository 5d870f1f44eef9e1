"""The trainer: what it promises about stopping, resuming, averaging and refusing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.training.checkpoint import checkpoint_tensors, list_checkpoints, save_checkpoint
from mvdiff.training.config import OptimizerConfig, TrainConfig, apply_overrides, load_config
from mvdiff.training.data import load_data
from mvdiff.training.ema import ExponentialMovingAverage
from mvdiff.training.objective import Objective, build_models
from mvdiff.training.optimization import build_optimizer, learning_rate_factor
from mvdiff.training.trainer import Trainer, _clear_nonfinite
from recon.errors import InputError

ROOT = Path(__file__).parents[2]


def tiny(folder: Path, **overrides) -> TrainConfig:
    config = load_config(ROOT / "configs/train/tiny.yaml")
    quiet = {"output_dir": str(folder), "max_steps": 4, "checkpoint_every_steps": 2, "validation": {"objects": 0}}
    apply_overrides(config, quiet | {"data": {"procedural": 3}} | overrides)
    return config


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
        ({"loss": {"flow_weight": 0.0}, "lora": {"rank": 2}}, "nothing to train"),
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
    with pytest.raises(InputError, match="damaged or incomplete"):
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


def test_average_in_closed_form():
    """Weights 0, then 1 for ever: what is left of the 0 is the product of the decays."""
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    ema = ExponentialMovingAverage(module, 0.5)
    nn.init.ones_(module.weight)
    left = 1.0
    for step in range(20):
        ema.update(module, step)
        left *= min(0.5, (1 + step) / (10 + step))
        torch.testing.assert_close(ema.averages["weight"], torch.tensor([[1 - left]]))


def test_overflowed_gradients_leave_adam_without_a_push():
    module = nn.Linear(3, 3)
    optimizer = build_optimizer(module, OptimizerConfig(name="adamw", weight_decay=0.0))
    before = [value.detach().clone() for value in module.parameters()]
    for bad in (float("nan"), float("inf")):
        for value in module.parameters():
            value.grad = torch.ones_like(value)
        module.weight.grad[0, 0] = bad
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        _clear_nonfinite(module)
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_muon_takes_the_matrices_inside_blocks_and_adamw_the_rest(tmp_path):
    config = tiny(tmp_path)
    objective = Objective(*build_models(config), config.loss)
    adamw, muon = build_optimizer(objective, OptimizerConfig()).optimizers
    names = {value: name for name, value in objective.named_parameters()}
    hidden = {names[value] for group in muon.param_groups for value in group["params"]}
    assert hidden == {n for n, v in objective.named_parameters() if ".blocks." in n and v.ndim == 2} - {
        n for n in names.values() if n.endswith("modulation")
    }
    assert [group["weight_decay"] for group in adamw.param_groups] == [OptimizerConfig().weight_decay, 0.0]
    count = sum(len(group["params"]) for group in adamw.param_groups) + len(hidden)
    assert count == len(names)


@pytest.mark.parametrize(("name", "share"), [("adamw", 1e-4), ("muon", 0.1)])
def test_rounded_gradients_move_the_weights_by_a_share_of_a_step(name, share):
    """As sums in another order are rounded: Muon, which orthogonalises in bfloat16, magnifies it a thousand times."""
    before = 0.02 * torch.randn(192, 64)
    gradients = 1e-3 * torch.randn(4, 192, 64)
    rounding = 1 + 2.0**-23 * torch.randint(-1, 2, gradients.shape)

    def weights_after(gradients: torch.Tensor) -> torch.Tensor:
        module = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(64, 192, bias=False)])})
        (weight,) = module.parameters()
        weight.data.copy_(before)
        optimizer = build_optimizer(module, OptimizerConfig(name=name, weight_decay=0.0))
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        return weight.detach()

    after = weights_after(gradients)
    assert torch.equal(weights_after(gradients), after)
    step = (weights_after(gradients[:1]) - before).abs().max()
    assert (weights_after(gradients * rounding) - after).abs().max() < share * step


def test_rate_warms_up_stays_and_falls():
    config = OptimizerConfig(warmup_steps=10, decay_fraction=0.4, final_rate=0.02)
    assert learning_rate_factor(0, 0.0, config) == pytest.approx(0.1)
    assert learning_rate_factor(9, 0.3, config) == 1.0
    assert learning_rate_factor(100, 0.8, config) == pytest.approx(0.5)
    assert learning_rate_factor(100, 1.0, config) == pytest.approx(0.02)


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


def test_two_processes_stop_together_by_the_main_one_s_clock(tmp_path):
    metrics = launch(2, tmp_path, "--max-seconds", "5", "--max-steps", "100000")
    assert (tmp_path / "raw" / "model_index.json").exists()
    assert metrics[-1]["step"] > 0


def assert_same_run(together: list[dict], two: Path, alone: Trainer) -> None:
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
    for name, value in alone.objective.named_parameters():
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
    assert_same_run(together, tmp_path / "two", alone)


def test_processes_that_share_the_weights_out_take_the_same_steps_and_leave_the_same_files(tmp_path, one_thread):
    two, one = tmp_path / "two", tmp_path / "one"
    often = ("--max-steps", "4", "--logging.every-steps", "1", "--checkpoint-every-steps", "2")
    together = launch(2, two, *often, "--checkpoints-total-limit", "5", kind="fsdp")
    overrides = {"gradient_accumulation_steps": 2, "logging": {"every_steps": 1}, "checkpoints_total_limit": 5}
    alone = Trainer(tiny(one, **overrides))
    alone.train()
    assert_same_run(together, two, alone)
    provenance = json.loads((two / "ema" / "provenance.json").read_text())
    assert provenance["parameters_per_process"] <= 0.51 * sum(p.numel() for p in alone.objective.parameters())
    # One process goes on from their checkpoint, and they from it bit for bit as if never interrupted.
    resumed = Trainer(tiny(tmp_path / "resumed", resume=str(two / "checkpoint-0000002"), **overrides))
    resumed.train()
    assert_same_run(together, two, resumed)
    launch(2, tmp_path / "again", *often, "--resume", str(two / "checkpoint-0000002"), kind="fsdp")
    for part in ("raw", "ema", "optimizer"):
        first, second, single = (
            load_file(run / "checkpoint-0000004" / f"{part}.safetensors") for run in (two, tmp_path / "again", one)
        )
        assert first.keys() == single.keys()
        for name, value in first.items():
            assert torch.equal(value, second[name]), name
            assert value.shape == single[name].shape
