"""LoRA adapters: saved, loaded, mixed, fused, and refused where they do not belong."""

import json
from pathlib import Path

import pytest
import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mvdiff.cli.main import main
from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator
from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.pipelines.lora_loader import read_lora
from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.sampling.schedulers import make_scheduler
from mvdiff.training.lora import ADAPTER, LoraConfig, add_lora
from mvdiff.weights.packing import save_packed
from recon.core.errors import InputError


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


BOTH = ("transformer", "camera_estimator")


def adapter(base: Path, path: Path, seed: int, components: tuple[str, ...] = BOTH) -> Path:
    """An adapter of ``base`` with random weights."""
    pipeline = MultiViewDiffusionPipeline.from_pretrained(base)
    config = LoraConfig(rank=4, alpha=2.0)
    torch.manual_seed(seed)
    for name in components:
        network = getattr(pipeline, name)
        add_lora(network, config, config.targets if name == "transformer" else config.camera_targets)
        for parameter in network.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.2)
    return pipeline.save_lora_weights(path, ADAPTER, steps=seed)


def predict(pipeline: MultiViewDiffusionPipeline) -> torch.Tensor:
    """What both networks say: a pass of the transformer, then the estimator's mixture."""
    return torch.cat([views(pipeline).flatten(), photo_camera(pipeline).flatten()])


def views(pipeline: MultiViewDiffusionPipeline) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    cameras = torch.eye(4).expand(1, 2, 4, 4), torch.tensor([2.7, 2.7, 0.0, 0.0]).expand(1, 2, 4)
    sample, photo = (torch.randn(1, 2, c, 32, 32, generator=generator) for c in (8, 4))
    with torch.no_grad():
        return pipeline.transformer(sample, torch.full((1, 2), 500.0), photo, *cameras, *cameras).sample


def photo_camera(pipeline: MultiViewDiffusionPipeline) -> torch.Tensor:
    photo = torch.rand(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        said = pipeline.camera_estimator(photo)
    return torch.cat([said.log_weights[..., None], said.means, said.log_stds], -1)


def load(base: Path, *adapters: Path) -> MultiViewDiffusionPipeline:
    pipeline = MultiViewDiffusionPipeline.from_pretrained(base)
    for path in adapters:
        pipeline.load_lora_weights(path)
    return pipeline


@pytest.mark.parametrize(("name", "parts"), zip(BOTH, [{"blocks"}, {"blocks", "head"}], strict=True))
def test_a_fresh_adapter_changes_nothing_and_is_all_that_trains(base: Path, name: str, parts: set[str]):
    pipeline, config = load(base), LoraConfig(rank=2)
    before, network = predict(pipeline), getattr(pipeline, name)
    add_lora(network, config, config.targets if name == "transformer" else config.camera_targets)
    torch.testing.assert_close(predict(pipeline), before)
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    assert all(".lora_" in name for name in trained)
    assert {name.partition(".")[0] for name in trained} == parts


def test_a_loaded_adapter_is_the_saved_one(base: Path, tmp_path: Path):
    path = adapter(base, tmp_path / "lora.safetensors", 1)
    plain, adapted = predict(load(base)), load(base, path)
    for said in (views, photo_camera):
        assert not torch.allclose(said(adapted), said(load(base)), atol=1e-3)
    assert {name.partition(".")[0] for name in load_file(path)} == set(BOTH)
    torch.testing.assert_close(predict(load(base, tmp_path)), predict(adapted))  # the folder will do
    again = adapted.save_lora_weights(tmp_path / "again.safetensors")
    first, second = read_lora(path), read_lora(again)
    for name in BOTH:
        assert first[0][name].keys() == second[0][name].keys()
        assert all(torch.equal(value, second[0][name][key]) for key, value in first[0][name].items())
        assert first[1][name]["lora_alpha"] == second[1][name]["lora_alpha"] == 2.0
    assert first[2]["steps"] == 1
    adapted.unload_lora_weights()
    torch.testing.assert_close(predict(adapted), plain)


@pytest.mark.parametrize("component", BOTH)
def test_an_adapter_of_one_network_leaves_the_other_as_it_is(base: Path, tmp_path: Path, component: str):
    both = adapter(base, tmp_path / "both.safetensors", 1)
    one = adapter(base, tmp_path / "one.safetensors", 2, (component,))
    # The other network goes back to the base: an adapter that is loaded is active alone.
    pipeline = load(base, both, one)
    assert pipeline.get_active_adapters() == ["default_1"]
    own, other = (views, photo_camera) if component == "transformer" else (photo_camera, views)
    torch.testing.assert_close(other(pipeline), other(load(base)))
    torch.testing.assert_close(own(pipeline), own(load(base, one)))
    assert not torch.allclose(own(pipeline), own(load(base)), atol=1e-3)
    pipeline.set_adapters(["default_0", "default_1"], [1.0, 0.0])
    torch.testing.assert_close(predict(pipeline), predict(load(base, both)))
    alone = load(base, one)
    assert alone.get_list_adapters() == {component: ["default_0"]}
    before = predict(alone)
    alone.fuse_lora()
    torch.testing.assert_close(predict(alone), before, atol=1e-4, rtol=1e-4)
    alone.unfuse_lora()
    alone.unload_lora_weights()
    torch.testing.assert_close(predict(alone), predict(load(base)), atol=1e-4, rtol=1e-4)


def test_a_file_of_before_estimators_were_adapted_is_the_transformer_s(base: Path, tmp_path: Path):
    """Its settings say of no network that they are its."""
    path = adapter(base, tmp_path / "lora.safetensors", 1, ("transformer",))
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    settings = json.loads(header[LORA_ADAPTER_METADATA_KEY])
    header[LORA_ADAPTER_METADATA_KEY] = json.dumps({k.removeprefix("transformer."): v for k, v in settings.items()})
    save_file(load_file(path), tmp_path / "old.safetensors", metadata=header)
    assert "r" in json.loads(header[LORA_ADAPTER_METADATA_KEY])
    torch.testing.assert_close(predict(load(base, tmp_path / "old.safetensors")), predict(load(base, path)))


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
    assert pipeline.get_list_adapters() == {name: ["default_0", "default_1"] for name in BOTH}
    pipeline.set_adapters(["default_0", "default_1"], [1.0, 0.0])
    torch.testing.assert_close(predict(pipeline), predict(load(base, paths[0])))
    pipeline.set_adapters("default_1")
    torch.testing.assert_close(predict(pipeline), predict(load(base, paths[1])))
    pipeline.set_adapters(["default_0", "default_1"], [0.5, 0.5])
    for said in (views, photo_camera):
        assert not torch.allclose(said(pipeline), said(load(base, paths[1])), atol=1e-3)
    with pytest.raises(InputError, match="'default_1' already"):
        pipeline.load_lora_weights(paths[0], adapter_name="default_1")
    pipeline.delete_adapters("default_1")
    assert pipeline.get_list_adapters() == {name: ["default_0"] for name in BOTH}


def test_adapters_of_other_weights_are_refused(base: Path, tmp_path: Path):
    path = adapter(base, tmp_path / "lora.safetensors", 1)
    estimator = PhotoCameraEstimator(sample_size=32, width=32, depth=1, heads=2)
    save_packed({"transformer": transformer(), "camera_estimator": estimator}, tmp_path / "other", {})
    with pytest.raises(InputError, match="trained on other weights"):
        load(tmp_path / "other", path)
    wide = MultiViewDiffusionPipeline(transformer(96), estimator, make_scheduler())
    with pytest.raises(InputError, match="another architecture"):
        wide.load_lora_weights(path)
    other = MultiViewDiffusionPipeline(transformer(), PhotoCameraEstimator(32, width=48, heads=2), make_scheduler())
    with pytest.raises(InputError, match=r"another architecture \(camera_estimator"):
        other.load_lora_weights(path)
    assert not other.get_list_adapters()  # not even of the network that it fits


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
    foreign = {f"text_encoder.up.lora_{which}.weight": torch.zeros(2, 2) for which in "AB"}
    save_file(foreign, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match=r"another architecture .*text_encoder\.up"):
        pipeline.load_lora_weights(tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match="no adapter 'mine'"):
        pipeline.save_lora_weights(tmp_path / "mine.safetensors", "mine")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [({"rank": 0}, "rank"), ({"rank": 2, "dropout": 1.0}, "dropout"), ({"rank": 2, "targets": ("to_k",)}, "to_k")],
)
def test_settings_that_make_no_sense_are_refused(bad: dict, reason: str):
    config = LoraConfig(**bad)
    with pytest.raises(InputError, match=reason):
        add_lora(transformer(), config, config.targets)


def test_generate_takes_a_lora(base: Path, tmp_path: Path, capsys):
    path = adapter(base, tmp_path / "lora.safetensors", 1)
    adapted = ImageTo3D.from_pretrained(base, "cpu", torch.float32, lora=path)
    assert adapted.weights["lora_sha256"] != adapted.weights["sha256"]
    torch.testing.assert_close(predict(adapted.sampler.pipeline), predict(load(base, path)), atol=1e-4, rtol=1e-4)
    half = ImageTo3D.from_pretrained(base, "cpu", torch.float32, lora=path, lora_scale=0.5)
    fused, between = (
        model.sampler.pipeline.transformer.blocks[0].mlp.up.base_layer.weight for model in (adapted, half)
    )
    torch.testing.assert_close(between, (load(base).transformer.blocks[0].mlp.up.weight + fused) / 2)
    assert half.weights["lora_scale"] == 0.5
    arguments = ["generate", "mvdiff/assets/demo.png", "--weights", str(base), "--device", "cpu"]
    arguments += ["--output-dir", str(tmp_path / "out")]
    for flags, reason in ((["--lora", tmp_path / "none"], "no LoRA file"), (["--lora-scale", 0], "a positive number")):
        assert main([*arguments, *map(str, flags)]) == 2
        assert reason in capsys.readouterr().err
