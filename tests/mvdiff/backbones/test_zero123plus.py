"""The backbone zero123plus with tiny weights: its contract, its streams, the whole way, and what it refuses."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from safetensors.torch import load_file, save_file

from mvdiff import ImageTo3D
from mvdiff.backbones.memory import memory_told
from mvdiff.backbones.registry import load_sampler
from mvdiff.backbones.zero123 import sheet
from mvdiff.backbones.zero123.attention import ReferenceAttention
from mvdiff.backbones.zero123.denoising import Reference, denoise
from mvdiff.backbones.zero123plus import Zero123PlusSampler
from mvdiff.cli.main import main
from mvdiff.runs.folder import FolderStore
from mvdiff.sampling.calibrations import owner_of
from mvdiff.sampling.candidates import generators
from mvdiff.sampling.conditions import Conditions
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.sampler import SamplingRequest
from mvdiff.testing import check_backbone
from mvdiff.weights.folders import load_network
from recon import ReconstructionConfig
from recon.core.errors import InputError

SETTINGS = {"num_hypotheses": 2, "num_inference_steps": 2}


def test_it_keeps_the_contract(sampler: Zero123PlusSampler) -> None:
    kept = check_backbone(sampler)
    assert any("own seed only" in text for text in kept)


def test_hypothesis_k_of_one_is_that_of_three(sampler: Zero123PlusSampler) -> None:
    """Every draw has the stream of its hypothesis; in upstream's pipeline N = 1 and N = 2 differ by 0.2."""
    networks, size = sampler.networks, (96, 64)
    picture = sampler.picture(sampler.prepare("mvdiff/assets/demo.png"))

    def latents(seeds: list[int]) -> torch.Tensor:
        streams = generators(seeds)
        with torch.no_grad():
            reference = Reference.encode(networks, picture, streams, 4.0)
            colors = denoise(networks, reference, streams, 4, size)
            control = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)).expand(len(seeds), -1, -1, -1)
            return torch.cat([colors, denoise(networks, reference, streams, 4, size, control)], 1)

    together = latents([5, 6, 7])
    for k, seed in enumerate([5, 6, 7]):
        assert float((latents([seed])[0] - together[k]).abs().max()) < 1e-5
    assert float((together[0] - together[1]).abs().max()) > 0.1


def test_a_control_of_one_hypothesis_does_not_reach_another(sampler: Zero123PlusSampler) -> None:
    networks, size = sampler.networks, (96, 64)
    picture = sampler.picture(sampler.prepare("mvdiff/assets/demo.png"))

    def latents(second: float) -> torch.Tensor:
        streams = generators([5, 6])
        control = torch.stack([torch.zeros(3, *size), torch.full((3, *size), second)])
        with torch.no_grad():
            return denoise(networks, Reference.encode(networks, picture, streams, 4.0), streams, 2, size, control)

    one, other = latents(0.0), latents(1.0)
    assert float((one[0] - other[0]).abs().max()) < 1e-6
    assert float((one[1] - other[1]).abs().max()) > 1e-3


def test_the_photo_is_the_first_view(sampler: Zero123PlusSampler) -> None:
    """At its own elevation, by the lens of the others, on nothing."""
    reference = sampler.prepare("mvdiff/assets/demo.png")
    request = SamplingRequest(reference, [1], GenerationConfig(num_inference_steps=1, candidates=1), elevation=20.0)
    drawn = sampler.sample(request)
    first = drawn.views.select_views([0])
    assert float(drawn.photo_cameras.elevation) == pytest.approx(20.0, abs=1e-3)
    expected = sheet.rig(48).cameras(torch.tensor([20.0]))
    assert torch.equal(drawn.views.cameras.c2w, expected.c2w)
    mean = (reference.rgba[:3] * reference.rgba[3:]).sum((1, 2)) / reference.rgba[3].sum()
    own = (first.rgb * first.alpha).sum((0, 1, 3, 4)) / first.alpha.sum()
    assert float((mean - own).abs().max()) < 0.05
    assert 0.1 < float(first.alpha.mean()) < 0.9
    assert float(first.normal.abs().max()) == 0


def test_known_photo_cameras_are_kept(sampler: Zero123PlusSampler) -> None:
    reference = sampler.prepare("mvdiff/assets/demo.png")
    cameras = sampler.draw_photo_cameras(reference, [3, 4], elevation=33.0)
    settings = GenerationConfig(num_inference_steps=1, candidates=1)
    drawn = sampler.sample(SamplingRequest(reference, [1, 2], settings, conditions=Conditions(photo_cameras=cameras)))
    assert torch.equal(drawn.photo_cameras.parameters, cameras.parameters)


def test_without_a_bank_attention_is_the_stock_one(sampler: Zero123PlusSampler) -> None:
    unet = sampler.networks.unet
    assert all(isinstance(each, ReferenceAttention) for each in unet.attn_processors.values())
    state, text = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 32)
    with torch.no_grad():
        own = unet(state, 10, text).sample
        kept = unet.attn_processors
        unet.set_attn_processor(AttnProcessor2_0())
        stock = unet(state, 10, text).sample
        unet.set_attn_processor(kept)
    assert torch.equal(own, stock)


def test_the_picture_stands_on_the_background_of_its_unet(sampler: Zero123PlusSampler) -> None:
    reference = sampler.prepare("mvdiff/assets/demo.png")
    assert sampler.picture(reference).getpixel((0, 0)) == (127, 127, 127)
    assert replace(sampler, background="white").picture(reference).getpixel((0, 0)) == (255, 255, 255)


@pytest.fixture
def model(sampler: Zero123PlusSampler) -> ImageTo3D:
    return ImageTo3D(sampler, ReconstructionConfig.preset("fast"))


def test_a_run_carries_backbone_and_license_everywhere(model: ImageTo3D, photo: Path, tmp_path: Path) -> None:
    model.generate(photo, tmp_path / "run", **SETTINGS)
    store = FolderStore.open(tmp_path / "run")
    assert store.manifest["inputs"]["weights"]["backbone"] == "zero123plus"
    assert store.manifest["inputs"]["config"]["guidance_scale"] == 4.0  # the backbone's default
    assert store.summary["model"]["license"] == "CC-BY-NC-4.0"
    assert store.summary["calibration"]["name"] is None
    assert "CC-BY-NC-4.0" in (tmp_path / "run/report.html").read_text("utf-8")
    data = (tmp_path / "run/hypotheses/000.glb").read_bytes()
    header = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    assert header["scenes"][0]["extras"]["weights_license"] == "CC-BY-NC-4.0"
    assert header["scenes"][0]["extras"]["backbone"] == "zero123plus"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"candidates": 2}, r"no depth by which candidates are compared: pass --candidates 1"),
        ({"scheduler": "euler"}, r"no such setting: leave out --scheduler"),
        ({"shift": 2.0}, r"no such setting: leave out --shift"),
    ],
)
def test_settings_without_effect_are_refused(
    model: ImageTo3D, photo: Path, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        model.generate(photo, tmp_path / "run", **SETTINGS, **settings)
    assert not (tmp_path / "run").exists()


def test_feedback_reweights_and_says_that_it_cannot_sample(model: ImageTo3D, photo: Path, tmp_path: Path) -> None:
    from mvdiff.runs.evidence import SecondPhoto
    from mvdiff.runs.refine import feedback, refine

    model.generate(photo, tmp_path / "run", **SETTINGS)
    with pytest.raises(InputError, match="cannot be conditioned on views of kept hypotheses: pass --no-resample"):
        feedback(model, tmp_path / "run", tmp_path / "new", keep=[0], num_hypotheses=2)
    second = SecondPhoto(model.prepare(photo), 90.0)
    with pytest.raises(InputError, match="cannot be conditioned on a second photo: pass --no-resample"):
        refine(model, tmp_path / "run", second, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert refine(model, tmp_path / "run", second, tmp_path / "refined", resample=False).record["after"]
    assert feedback(model, tmp_path / "run", tmp_path / "judged", keep=[0], resample=False).record["after"]


@pytest.mark.parametrize("verb", ["generate", "views"])
def test_the_command_line_says_what_is_missing(
    verb: str, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "home"))
    command = [verb, str(photo), "--backbone", "zero123plus", "--output-dir", str(tmp_path / "out")]
    assert main(command) == 2
    assert "pass --accept-license cc-by-nc-4.0 once" in capsys.readouterr().err
    assert main([*command, "--accept-license", "cc-by-nc-4.0"]) == 2
    assert "run `mvdiff models pull zero123plus`" in capsys.readouterr().err
    (tmp_path / "home/mvdiff/zero123plus").mkdir(parents=True)
    assert main(command) == 2
    assert "is not finished" in capsys.readouterr().err
    assert main([*command[:2], "--backbone", "nothing"]) == 2
    assert "There is no backbone 'nothing': choose one of embedded" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_defaults_of_the_command_line_are_the_backbones(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["generate", "--backbone", "zero123plus", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Denoising steps. (default: 36)" in text
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    assert "Denoising steps. (default: 6)" in " ".join(capsys.readouterr().out.split())


def _lora(path: Path, layer: str, rank: int, inner: int, outer: int) -> tuple[Path, torch.Tensor]:
    """A LoRA file in the names of diffusers, and the change of the layer's weight."""
    generator = torch.Generator().manual_seed(3)
    down, up = torch.randn(rank, inner, generator=generator), torch.randn(outer, rank, generator=generator)
    save_file({f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up}, path)
    return path, up @ down


def test_a_lora_is_fused_into_the_unet_by_its_scale(zero123_folder: Path, licensed: None, tmp_path: Path) -> None:
    plain = load_sampler("zero123plus", weights=zero123_folder, device="cpu", dtype=torch.float32)
    layer = next(name for name, module in plain.networks.unet.named_modules() if name.endswith("attn1.to_q"))
    before = plain.networks.unet.get_submodule(layer).weight
    path, change = _lora(tmp_path / "a.safetensors", layer, 2, before.shape[1], before.shape[0])
    options = {"weights": zero123_folder, "device": "cpu", "dtype": torch.float32, "lora": path}
    adapted = load_sampler("zero123plus", **options, lora_scale=0.5)
    after = adapted.networks.unet.get_submodule(layer).weight
    torch.testing.assert_close(after, before + 0.5 * change, atol=1e-5, rtol=1e-5)
    others = {n: v for n, v in adapted.networks.unet.state_dict().items() if not n.startswith(layer)}
    assert all(torch.equal(value, plain.networks.unet.state_dict()[name]) for name, value in others.items())
    assert adapted.info.weights["lora_scale"] == 0.5
    assert owner_of(adapted.info.weights) != owner_of(plain.info.weights)


def test_a_lora_that_does_not_fit_is_named(zero123_folder: Path, licensed: None, tmp_path: Path) -> None:
    options = {"weights": zero123_folder, "device": "cpu", "dtype": torch.float32}
    path, _ = _lora(tmp_path / "a.safetensors", "mid_block.attentions.7.to_q", 2, 8, 8)
    with pytest.raises(InputError, match=r"does not fit this UNet \(unet\.mid_block\.attentions\.7\.to_q"):
        load_sampler("zero123plus", **options, lora=path)
    (tmp_path / "b.safetensors").write_bytes(b"none")
    with pytest.raises(InputError, match="is no readable LoRA file"):
        load_sampler("zero123plus", **options, lora=tmp_path / "b.safetensors")
    with pytest.raises(InputError, match="There is no LoRA file"):
        load_sampler("zero123plus", **options, lora=tmp_path / "c.safetensors")


def test_offloaded_networks_give_the_same_views_and_rest_in_the_memory_of_the_cpu(
    sampler: Zero123PlusSampler, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU as device: each network is moved there before its use and back after it, whatever happens."""
    request = SamplingRequest(sampler.prepare(photo), [3], GenerationConfig(num_inference_steps=1, candidates=1))
    expected = sampler.sample(request).views.rgb
    networks = replace(sampler.networks, execution=torch.device("cpu"))
    places, move = [], torch.nn.Module.to
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, place: places.append((module, str(place))) or module)
    found = replace(sampler, networks=networks).sample(request).views.rgb
    monkeypatch.setattr(torch.nn.Module, "to", move)
    assert torch.equal(found, expected)
    names = {id(getattr(networks, name)): name for name in ("unet", "vae", "vision", "control")}
    used = [names[id(module)] for module, _ in places]
    assert {"unet", "vae", "vision", "control"} == set(used)
    assert len(places) % 2 == 0


def test_weights_of_half_precision_under_their_own_names_are_read(zero123_folder: Path, tmp_path: Path) -> None:
    from diffusers import UNet2DConditionModel

    folder = tmp_path / "unet"
    shutil.copytree(zero123_folder / "unet", folder)
    (whole,) = folder.glob("*.safetensors")
    halved = {name: value.half() for name, value in load_file(whole).items()}
    whole.unlink()
    save_file(halved, folder / "diffusion_pytorch_model.fp16.safetensors")
    loaded = load_network(UNet2DConditionModel, folder, torch.float16)
    assert loaded.dtype == torch.float16
    assert all(torch.equal(value, halved[name]) for name, value in loaded.state_dict().items())


def test_a_lack_of_memory_says_how_much_and_what_to_pass() -> None:
    said = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has"
    words = r"8 objects at a time need more memory than cpu has \(2.50 GiB more were asked for\)"
    with pytest.raises(InputError, match=words) as error, memory_told(torch.device("cpu"), 8):
        raise torch.OutOfMemoryError(said)
    assert "pass --chunk-size 4, or pass --offload" in str(error.value)
    alone = "One object needs more memory than cpu has: pass --offload"
    with pytest.raises(InputError, match=alone), memory_told(torch.device("cpu"), 1):
        raise torch.OutOfMemoryError("none")
