"""LoRA adapters: saved, loaded, mixed, fused, and refused where they do not belong."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mvdiff.cli.main import main
from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator
from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.pipelines.image_to_3d import ImageTo3D
from mvdiff.pipelines.lora_loader import read_lora
from mvdiff.schedulers import make_scheduler
from mvdiff.training.lora import ADAPTER, LoraConfig, add_lora
from mvdiff.weights.packing import save_packed
from recon.errors import InputError


def transformer(width: int = 64) -> MultiViewTransformer:
    made = MultiViewTransformer(sample_size=32, reference_size=32, width=width, depth=2, heads=2)
    for parameter in made.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    return made


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    estimator = PhotoCameraEstimator(sample_size=32, width=32, depth=1, heads=2)
    save_packed({"transformer": transformer(), "camera_estimator": estimator}, folder, {})
    return folder


def adapter(base: Path, path: Path, seed: int, rank: int = 4) -> Path:
    """An adapter of ``base`` with random weights."""
    pipeline = MultiViewDiffusionPipeline.from_pretrained(base)
    add_lora(pipeline.transformer, LoraConfig(rank=rank, alpha=2.0))
    torch.manual_seed(seed)
    for parameter in pipeline.transformer.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    return pipeline.save_lora_weights(path, ADAPTER, steps=seed)


def predict(pipeline: MultiViewDiffusionPipeline) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    cameras = torch.eye(4).expand(1, 2, 4, 4), torch.tensor([2.7, 2.7, 0.0, 0.0]).expand(1, 2, 4)
    sample, photo = (torch.randn(1, 2, c, 32, 32, generator=generator) for c in (8, 4))
    with torch.no_grad():
        return pipeline.transformer(sample, torch.full((1, 2), 500.0), photo, *cameras, *cameras).sample


def load(base: Path, *adapters: Path) -> MultiViewDiffusionPipeline:
    pipeline = MultiViewDiffusionPipeline.from_pretrained(base)
    for path in adapters:
        pipeline.load_lora_weights(path)
    return pipeline


def test_a_fresh_adapter_changes_nothing_and_is_all_that_trains(base: Path):
    pipeline = load(base)
    before = predict(pipeline)
    add_lora(pipeline.transformer, LoraConfig(rank=2))
    torch.testing.assert_close(predict(pipeline), before)
    trained = {name for name, value in pipeline.transformer.named_parameters() if value.requires_grad}
    assert trained
    assert all(".lora_" in name and ".blocks." in f".{name}" for name in trained)


def test_a_loaded_adapter_is_the_saved_one(base: Path, tmp_path: Path):
    path = adapter(base, tmp_path / "lora.safetensors", 1)
    plain, adapted = predict(load(base)), load(base, path)
    assert not torch.allclose(predict(adapted), plain, atol=1e-3)
    torch.testing.assert_close(predict(load(base, tmp_path)), predict(adapted))  # the folder will do
    again = adapted.save_lora_weights(tmp_path / "again.safetensors")
    first, second = read_lora(path), read_lora(again)
    assert first[0].keys() == second[0].keys()
    assert all(torch.equal(first[0][name], second[0][name]) for name in first[0])
    assert first[1]["lora_alpha"] == second[1]["lora_alpha"] == 2.0
    assert first[2]["steps"] == 1
    adapted.unload_lora_weights()
    torch.testing.assert_close(predict(adapted), plain)


def test_fused_is_the_same_and_can_be_undone(base: Path, tmp_path: Path):
    pipeline = load(base, adapter(base, tmp_path / "lora.safetensors", 1))
    adapted, plain = predict(pipeline), predict(load(base))
    pipeline.fuse_lora()
    torch.testing.assert_close(predict(pipeline), adapted, atol=1e-4, rtol=1e-4)
    pipeline.unfuse_lora()
    pipeline.disable_lora()
    torch.testing.assert_close(predict(pipeline), plain, atol=1e-4, rtol=1e-4)


def test_several_adapters_are_mixed_by_their_weights(base: Path, tmp_path: Path):
    paths = [adapter(base, tmp_path / f"{seed}.safetensors", seed) for seed in (1, 2)]
    pipeline = load(base, *paths)
    assert pipeline.get_list_adapters() == {"transformer": ["default_0", "default_1"]}
    pipeline.set_adapters(["default_0", "default_1"], [1.0, 0.0])
    torch.testing.assert_close(predict(pipeline), predict(load(base, paths[0])))
    pipeline.set_adapters("default_1")
    torch.testing.assert_close(predict(pipeline), predict(load(base, paths[1])))
    pipeline.set_adapters(["default_0", "default_1"], [0.5, 0.5])
    mixed = predict(pipeline)
    assert not torch.allclose(mixed, predict(load(base, paths[1])), atol=1e-3)
    pipeline.delete_adapters("default_1")
    assert pipeline.get_list_adapters() == {"transformer": ["default_0"]}


def test_adapters_of_other_weights_are_refused(base: Path, tmp_path: Path):
    path = adapter(base, tmp_path / "lora.safetensors", 1)
    estimator = PhotoCameraEstimator(sample_size=32, width=32, depth=1, heads=2)
    save_packed({"transformer": transformer(), "camera_estimator": estimator}, tmp_path / "other", {})
    with pytest.raises(InputError, match="trained on other weights"):
        load(tmp_path / "other", path)
    wide = MultiViewDiffusionPipeline(transformer(96), estimator, make_scheduler())
    with pytest.raises(InputError, match="another architecture"):
        wide.load_lora_weights(path)


def test_files_that_are_no_adapter_are_refused(base: Path, tmp_path: Path):
    pipeline = load(base)
    with pytest.raises(InputError, match="no LoRA file"):
        pipeline.load_lora_weights(tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(InputError, match="readable"):
        pipeline.load_lora_weights(tmp_path / "cut.safetensors")
    save_file({"proj_out.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="other weights"):
        pipeline.load_lora_weights(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [({"rank": 0}, "rank"), ({"rank": 2, "dropout": 1.0}, "dropout"), ({"rank": 2, "targets": ("to_k",)}, "to_k")],
)
def test_settings_that_make_no_sense_are_refused(bad: dict, reason: str):
    with pytest.raises(InputError, match=reason):
        add_lora(transformer(), LoraConfig(**bad))


def test_generate_takes_a_lora(base: Path, tmp_path: Path, capsys):
    path = adapter(base, tmp_path / "lora.safetensors", 1)
    adapted = ImageTo3D.from_pretrained(base, "cpu", torch.float32, lora=path)
    assert adapted.weights["lora_sha256"] != adapted.weights["sha256"]
    torch.testing.assert_close(predict(adapted.pipeline), predict(load(base, path)), atol=1e-4, rtol=1e-4)
    arguments = ["generate", "mvdiff/assets/demo.png", "--weights", str(base), "--device", "cpu"]
    assert main([*arguments, "--lora", str(tmp_path / "none"), "--output-dir", str(tmp_path / "out")]) == 2
    assert "no LoRA file" in capsys.readouterr().err
