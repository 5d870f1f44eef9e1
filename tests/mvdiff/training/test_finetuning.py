"""Fine-tuning as a user does it: an adapter or all weights, watched, stopped in time, and used."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_runs import changed, trained

from mvdiff.cli.main import main
from mvdiff.models.encoding import encode_reference
from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.training.checkpoint import list_checkpoints
from mvdiff.training.config import apply_overrides
from mvdiff.training.lora import LoraConfig
from mvdiff.training.patience import Patience
from mvdiff.training.tracking import read_metrics
from mvdiff.training.trainer import Trainer


def test_a_lora_run_trains_the_adapters_alone_and_leaves_a_file_to_generate_with(config, base, tmp_path, capsys):
    config.validation.objects, config.validation.sampled_objects = 2, 1
    config.validation.num_inference_steps = 2
    trainer = Trainer(config)
    before = {n: v.clone() for n, v in trainer.objective.named_parameters()}
    trainer.train()
    for name, value in trainer.objective.named_parameters():
        assert torch.equal(value, before[name]) == (".lora_" not in name), name
    run = Path(config.output_dir)
    assert not (run / "ema").exists()
    pipeline = MultiViewDiffusionPipeline.from_pretrained(base)
    pipeline.load_lora_weights(run / "lora.safetensors")
    for component in ("transformer", "camera_estimator"):
        own, averages = dict(getattr(pipeline, component).named_parameters()), trainer.ema.part(component)
        assert averages
        for name, average in averages.items():
            torch.testing.assert_close(own[name], average)
    card = (run / "README.md").read_text()
    assert "--lora" in card
    assert "| adapts | transformer, camera_estimator |" in card
    assert "| Apache-2.0 | 12 |" in card
    assert "8 objects to train on, 4 held out" in card
    capsys.readouterr()
    assert main(["info", "--weights", str(base), "--lora", str(run)]) == 0
    said = capsys.readouterr().out
    assert "step 4" in said
    assert "adapts transformer and camera_estimator" in said
    checkpoint = load_file(list_checkpoints(run)[-1] / "raw.safetensors")
    assert set(checkpoint) == set(trained(trainer))


def test_a_full_run_s_folder_is_weights_for_generate(config, tmp_path, capsys):
    config.lora.rank = 0
    Trainer(config).train()
    pipeline = MultiViewDiffusionPipeline.from_pretrained(config.output_dir)
    average = load_file(list_checkpoints(Path(config.output_dir))[-1] / "ema.safetensors")
    for name, value in pipeline.transformer.named_parameters():
        torch.testing.assert_close(value, average[f"transformer.{name}"])
    capsys.readouterr()
    assert main(["info", "--weights", config.output_dir]) == 0
    assert "step 4" in capsys.readouterr().out


def test_an_adapted_estimator_knows_the_photos_better_and_the_file_says_the_same(config, base):
    config.loss.flow_weight, config.loss.camera_weight = 0.0, 1.0  # the estimator alone: its adapter is all that trains
    config.max_steps, config.optimizer.learning_rate, config.optimizer.ema_decay = 60, 0.01, 0.9
    trainer = Trainer(config)
    trainer.train()
    assert all(name.startswith("camera_estimator.") for name in trained(trainer))
    pipeline = MultiViewDiffusionPipeline.from_pretrained(base)
    batch = trainer.data.batch(8, torch.Generator().manual_seed(0), trainer.device)
    photos, cameras = encode_reference(batch.camera_photos).flatten(0, 1), batch.photo_camera.flatten(0, 1)
    with torch.no_grad():
        before = pipeline.camera_estimator(photos)
        pipeline.load_lora_weights(config.output_dir)
        after, trained_one = pipeline.camera_estimator(photos), trainer.averaged().camera_estimator(photos)
    assert pipeline.get_list_adapters() == {"camera_estimator": ["default_0"]}
    assert after.log_prob(cameras).mean() > before.log_prob(cameras).mean() + 0.5
    for name, value in vars(after).items():
        torch.testing.assert_close(value, getattr(trained_one, name))


@pytest.mark.parametrize(
    ("lora", "camera_weight", "layers"),
    [
        ({"camera_targets": ("head.2",)}, 0.1, {"to_qkv", "head.2"}),
        ({"camera_targets": ()}, 0.1, {"to_qkv"}),
        ({}, 0.0, {"to_qkv"}),
    ],
)
def test_lora_settings_reach_the_objective(config, lora, camera_weight, layers):
    config.lora = LoraConfig(rank=3, targets=("to_qkv",), **lora)
    config.loss.camera_weight = camera_weight
    own = trained(Trainer(config))
    assert {value.shape[0] for name, value in own.items() if "lora_A" in name} == {3}
    adapted = {layer for layer in LoraConfig().camera_targets if any(f".{layer}." in name for name in own)}
    assert adapted == layers


def test_gradient_checkpointing_changes_no_number(config, tmp_path):
    plain = Trainer(changed(config, tmp_path / "a"))
    frugal = Trainer(changed(config, tmp_path / "b", model={"gradient_checkpointing": True}))
    plain.train()
    frugal.train()
    for name, value in trained(plain).items():
        torch.testing.assert_close(value, trained(frugal)[name])


def test_patience_ends_the_run_and_keeps_the_best(tmp_path):
    module = torch.nn.Linear(1, 1, bias=False)
    patience = Patience(2, tmp_path)
    for step, (value, ends) in enumerate([(3.0, False), (1.0, False), (2.0, False), (1.5, True)], 1):
        torch.nn.init.constant_(module.weight, value)
        assert patience.spent(value, step, module) == ends
    assert patience.best_step == 2
    patience.restore(module)
    assert module.weight.item() == 1.0
    resumed = Patience(2, tmp_path)
    resumed.load(patience.state())
    assert (resumed.best, resumed.worse) == (1.0, 2)


def test_a_run_that_gets_no_better_stops(config, tmp_path):
    config = changed(config, tmp_path / "run", max_steps=50, optimizer={"learning_rate": 0.0})
    apply_overrides(config, {"validation": {"objects": 2, "every_steps": 1, "patience": 2}})
    trainer = Trainer(config)
    trainer.train()
    assert trainer.step == 3  # the first is the best, two are no better


def test_trackers_get_figures_and_pictures(config, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    config = changed(config, tmp_path / "run", max_steps=2, logging={"every_steps": 1, "wandb": "offline"})
    config.logging.trackers = ["wandb", "tensorboard"]
    apply_overrides(config, {"validation": {"objects": 2, "sampled_objects": 1, "num_inference_steps": 2}})
    Trainer(config).train()
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 2]
    for name in ("mask_iou", "psnr_best", "energy", "diversity", "normal_error", "psnr/view_6", "flow"):
        assert f"validation/{name}" in lines[-1]
    assert list((tmp_path / "run").rglob("events.out.tfevents*"))
    assert list((tmp_path / "run").rglob("*.wandb"))
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')  # killed while writing
    assert read_metrics(tmp_path / "run" / "metrics.jsonl") == lines
