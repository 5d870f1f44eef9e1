"""Fine-tuning as a user does it: own data, LoRA or all weights, kills, full disks, other settings."""

import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from mvdiff.cli.main import main
from mvdiff.data.dataset import render_dataset
from mvdiff.data.packing import PackMeshes, pack_meshes
from mvdiff.data.procedural import make
from mvdiff.data.record import RecordConfig
from mvdiff.data.render_config import RenderDataset
from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator
from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.training import sharding
from mvdiff.training.arguments import parse_arguments
from mvdiff.training.checkpoint import checkpoint_tensors, list_checkpoints, recover, save_checkpoint
from mvdiff.training.config import TrainConfig, apply_overrides
from mvdiff.training.data import held_out, load_data
from mvdiff.training.lora import LoraConfig
from mvdiff.training.optimization import build_optimizer, learning_rate_factor
from mvdiff.training.patience import Patience
from mvdiff.training.tracking import read_metrics
from mvdiff.training.trainer import Trainer, check_distribution
from recon.errors import InputError
from recon.io.mesh_files import save_mesh

ROOT = Path(__file__).parents[2]
SIZES = {"size": 32, "supersample": 1, "ring_views": 6, "references": 2}


@pytest.fixture(scope="module")
def views(tmp_path_factory) -> Path:
    """A small data set of twelve objects."""
    folder = tmp_path_factory.mktemp("data") / "views"
    list(render_dataset(RenderDataset(output=folder, procedural=12, **SIZES)))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    transformer = MultiViewTransformer(sample_size=32, reference_size=32, width=64, depth=2, heads=2, bottleneck=16)
    estimator = PhotoCameraEstimator(sample_size=32, width=32, depth=1, heads=2)
    for parameter in transformer.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.02)
    MultiViewDiffusionPipeline(transformer, estimator, MultiViewDiffusionPipeline.default_scheduler()).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(autouse=True)
def _precision_of_its_own():
    """accelerate keeps the first run's precision for the whole process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def config(views: Path, base: Path, tmp_path: Path) -> TrainConfig:
    made = TrainConfig(output_dir=str(tmp_path / "run"), batch_size=2, max_steps=4, mixed_precision="no")
    overrides = {
        "checkpoint_every_steps": 2,
        "checkpoints_total_limit": 5,
        "model": {"init_from": str(base)},
        "lora": {"rank": 2},
        "data": {"stores": [str(views)]},
        "optimizer": {"name": "adamw", "warmup_steps": 1},
        "validation": {"objects": 0, "sampled_objects": 0},
    }
    apply_overrides(made, overrides)
    return made


def changed(config: TrainConfig, folder: Path, **overrides) -> TrainConfig:
    apply_overrides(made := TrainConfig(), json.loads(json.dumps(config, default=vars)))
    apply_overrides(made, {"output_dir": str(folder)} | overrides)
    return made


def trained(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value for name, value in trainer.objective.named_parameters() if value.requires_grad}


def assert_same_run(one: Trainer, other: Trainer) -> None:
    assert trained(one).keys() == trained(other).keys()
    for name, value in trained(one).items():
        assert torch.equal(value, trained(other)[name]), name
        assert torch.equal(one.ema.averages[name], other.ema.averages[name]), name


# LoRA and full runs


def test_a_lora_run_trains_the_adapter_alone_and_leaves_a_file_to_generate_with(config, base, tmp_path, capsys):
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
    own = dict(pipeline.transformer.named_parameters())
    for name, average in trainer.ema.averages.items():
        torch.testing.assert_close(own[name.removeprefix("transformer.")], average)
    card = (run / "README.md").read_text()
    assert "--lora" in card
    assert "| Apache-2.0 | 12 |" in card
    assert "8 objects to train on, 4 held out" in card
    capsys.readouterr()
    assert main(["info", "--weights", str(base), "--lora", str(run)]) == 0
    said = capsys.readouterr().out
    assert "step 4" in said
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


def test_gradient_checkpointing_changes_no_number(config, tmp_path):
    plain = Trainer(changed(config, tmp_path / "a"))
    frugal = Trainer(changed(config, tmp_path / "b", model={"gradient_checkpointing": True}))
    plain.train()
    frugal.train()
    for name, value in trained(plain).items():
        torch.testing.assert_close(value, trained(frugal)[name])


# Data


def test_held_out_objects_are_not_trained_on(config, views):
    data = load_data(config.data, 0, torch.device("cpu"))
    assert (len(data.store), len(data.validation)) == (8, 4)
    assert not set(data.store.names) & set(data.validation.names)
    assert data.licences == {"Apache-2.0": 12}


def test_licences_of_packs_and_folders_reach_the_card(tmp_path):
    """A pack's come from the manifest beside it."""
    for name in ("a", "b", "c"):
        save_mesh(make(0, "bowl").mesh, tmp_path / "meshes" / f"{name}.ply")
    (tmp_path / "credits.csv").write_text("name,licence\na,CC0-1.0\nb,CC-BY-4.0\n")
    pack = PackMeshes((tmp_path / "meshes",), tmp_path / "pack.npz", credits=tmp_path / "credits.csv")
    pack_meshes(pack)
    config = TrainConfig().data
    config.packs, config.procedural = [str(tmp_path / "pack.npz"), str(tmp_path / "meshes")], 1
    config.record = RecordConfig(**SIZES)
    data = load_data(config, 0, torch.device("cpu"))
    assert data.licences == {"unknown": 4, "CC0-1.0": 1, "CC-BY-4.0": 1, "Apache-2.0": 1}
    assert data.store.names == ["a", "b", "c", "a", "b", "c", "procedural/1000000"]


def test_few_objects_are_held_out_of_few():
    assert [sum(held_out(count, 64)) for count in (0, 3, 4, 12, 100, 640, 6400)] == [0, 0, 1, 4, 4, 10, 100]


def test_pictures_of_another_size_than_the_model_s_are_refused(config, tmp_path):
    list(render_dataset(RenderDataset(output=tmp_path / "small", procedural=1, **(SIZES | {"size": 16}))))
    config.data.stores = [str(tmp_path / "small")]
    with pytest.raises(InputError, match="--size 32"):
        Trainer(config)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"data": {"stores": ["nowhere"]}}, "nowhere"),
        ({"data": {"procedural": 2, "capacity": 4}}, "capacity"),
        ({"model": {"init_from": "nowhere"}}, "nowhere"),
        ({"logging": {"trackers": ["clipboard"]}}, "clipboard"),
        ({"lora": {"targets": ["to_k"]}}, "to_k"),
    ],
)
def test_settings_that_lead_nowhere_are_refused(config, tmp_path, overrides, reason):
    with pytest.raises(InputError, match=reason):
        Trainer(changed(config, tmp_path / "run", **overrides))


# Kills, full disks, other settings


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
        with pytest.raises(InputError, match="no room"):
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
    with pytest.raises(InputError, match=r"no room for .*metrics\.jsonl .* resume from the last checkpoint\.$"):
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
    for fatal in ({"lora": {"rank": 4}}, {"lora": {"rank": 0}}, {"optimizer": {"name": "muon"}}):
        with pytest.raises(InputError, match="was made with"):
            Trainer(changed(config, config.output_dir, resume="latest", **fatal))


def test_a_folder_with_another_run_s_checkpoints_is_not_written_to(config):
    Trainer(config).train()
    with pytest.raises(InputError, match="--resume latest"):
        Trainer(config)
    config.overwrite = True
    Trainer(config)
    assert not list_checkpoints(Path(config.output_dir))


# Stopping early, trackers, arguments


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


def test_diffusers_names_are_the_same_settings(tmp_path):
    ours = "--batch-size 3 --max-steps 7 --optimizer.learning-rate 0.1 --lora.rank 4 --data.stores a b --resume latest"
    theirs = (
        "--train_batch_size=3 --max_train_steps 7 --learning_rate 0.1 --rank=4 --data a b "
        "--resume_from_checkpoint latest"
    )
    assert parse_arguments(ours.split()) == parse_arguments(theirs.split())
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


def test_the_8_bit_optimiser_asks_for_its_package(config, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    config.optimizer.name = "adamw8bit"
    with pytest.raises(InputError, match="bitsandbytes"):
        build_optimizer(torch.nn.Linear(2, 2), config.optimizer)


def test_lora_settings_reach_the_objective(config):
    config.lora = LoraConfig(rank=3, targets=("to_qkv",))
    trainer = Trainer(config)
    assert {value.shape[0] for name, value in trained(trainer).items() if "lora_A" in name} == {3}
    assert all("to_qkv" in name for name in trained(trainer))
