"""Folders of published weights: what cannot be used is refused in one sentence that names all of it."""

import hashlib
import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tiny_zero123 import save_tiny

from mvdiff.cli.main import main
from mvdiff.weights.convert import convert
from mvdiff.weights.folders import load_network, read_shapes
from mvdiff.weights.manifest import FILE, make_manifest, read_manifest
from recon.core.errors import InputError


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("published") / "weights")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "weights"))


UNET = "unet/diffusion_pytorch_model.safetensors"


def test_loading_opens_no_socket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    unet = load_network(UNet2DConditionModel, folder / "unet", torch.float32)
    assert torch.equal(unet.conv_in.weight, load_file(folder / UNET)["conv_in.weight"])
    assert not unet.training


def test_remote_code_is_refused(folder: Path) -> None:
    config = json.loads((folder / "unet/config.json").read_text())
    (folder / "unet/config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(InputError, match=r"auto_map.*never run"):
        load_network(UNet2DConditionModel, folder / "unet")


def test_pickles_are_refused(folder: Path) -> None:
    (folder / UNET).unlink()
    (folder / "unet/diffusion_pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(InputError, match=r"diffusion_pytorch_model\.bin.*models convert"):
        load_network(UNet2DConditionModel, folder / "unet")


def test_every_missing_shard_is_named(folder: Path) -> None:
    names = [f"part-{k}.safetensors" for k in range(3)]
    tensors = load_file(folder / UNET)
    (folder / UNET).unlink()
    weight_map = {name: names[k % 3] for k, name in enumerate(tensors)}
    (folder / "unet/model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    own = {name: value for name, value in tensors.items() if weight_map[name] == names[1]}
    save_file(own, folder / "unet" / names[1])
    with pytest.raises(InputError, match=r"part-0\.safetensors, part-2\.safetensors"):
        read_shapes(folder / "unet")


def test_a_shard_outside_of_the_folder_is_refused(folder: Path) -> None:
    index = {"weight_map": {"a": "../../secret.safetensors"}}
    (folder / "unet/model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError):
        read_shapes(folder / "unet")


def test_every_key_that_does_not_fit_is_named(folder: Path) -> None:
    tensors = load_file(folder / UNET)
    tensors["conv_in.bias"] = torch.zeros(7)
    tensors["surplus.weight"] = tensors.pop("conv_out.weight")
    save_file(tensors, folder / UNET)
    with pytest.raises(InputError) as caught:
        load_network(UNet2DConditionModel, folder / "unet")
    for words in ("1 missing: conv_out.weight", "1 unknown: surplus.weight", "conv_in.bias [7] instead of [32]"):
        assert words in str(caught.value)


def test_a_cut_file_is_refused(folder: Path) -> None:
    data = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="no readable file of weights"):
        load_network(UNet2DConditionModel, folder / "unet")


def test_vaes_of_earlier_versions_still_load(folder: Path, whole: Path) -> None:
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    names = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}
    old = {}
    for name, value in load_file(path).items():
        for new, earlier in names.items():
            name = name.replace(new, earlier) if ".attentions.0." in name else name
        old[name] = value
    assert any("proj_attn" in name for name in old)
    save_file(old, path)
    one, other = (load_network(AutoencoderKL, place / "vae").state_dict() for place in (folder, whole))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_verify_names_a_changed_file(folder: Path, capsys: pytest.CaptureFixture) -> None:
    make_manifest("zero123plus", "CC-BY-NC-4.0", {}, folder).save(folder)
    assert main(["models", "verify", str(folder)]) == 0
    data = bytearray((folder / UNET).read_bytes())
    data[-1] ^= 1
    (folder / UNET).write_bytes(data)
    capsys.readouterr()
    assert main(["models", "verify", str(folder)]) == 2
    assert UNET in capsys.readouterr().err
    (folder / UNET).unlink()
    assert main(["models", "verify", str(folder)]) == 2
    assert UNET in capsys.readouterr().err


def test_keys_come_from_headers_alone(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["models", "keys", str(folder)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"unet", "vae", "vision_encoder", "text_encoder", "controlnet"}
    assert found["unet"] == {name: list(value.shape) for name, value in load_file(folder / UNET).items()}


class Harmful:
    """Pickle that runs code when it is opened."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("harm-was-done"),))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_conversion_checks_the_hash_first_and_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Harmful()}, "bad.ckpt")
    with pytest.raises(InputError, match="is another file or damaged"):
        convert(Path("bad.ckpt"), "0" * 64, Path("out.safetensors"))
    with pytest.raises(InputError, match="ask its publisher for safetensors"):
        convert(Path("bad.ckpt"), sha256(Path("bad.ckpt")), Path("out.safetensors"))
    assert not Path("harm-was-done").exists()
    assert not Path("out.safetensors").exists()


def test_conversion_keeps_one_network_of_a_trainers_checkpoint(tmp_path: Path) -> None:
    shared = torch.randn(4, 3)
    state = {"net.a": shared, "net.b": shared.T, "loss.c": torch.ones(1)}
    torch.save({"state_dict": state, "step": 3}, tmp_path / "a.ckpt")
    output = tmp_path / "a.safetensors"
    arguments = ["--sha256", sha256(tmp_path / "a.ckpt").upper(), "--output", str(output), "--prefix", "net."]
    assert main(["models", "convert", str(tmp_path / "a.ckpt"), *arguments]) == 0
    found = load_file(output)
    assert set(found) == {"a", "b"}
    assert torch.equal(found["b"], shared.T)
    with pytest.raises(InputError, match="its names start with loss, net"):
        convert(tmp_path / "a.ckpt", sha256(tmp_path / "a.ckpt"), output, "unet.")


def test_a_converted_file_enters_the_manifest(folder: Path, tmp_path: Path) -> None:
    torch.save(load_file(folder / UNET), tmp_path / "white.bin")
    (folder / UNET).unlink()
    make_manifest("zero123plus-white", "CC-BY-NC-4.0", {}, folder).save(folder)
    before = read_manifest(folder)
    convert(tmp_path / "white.bin", sha256(tmp_path / "white.bin"), folder / UNET)
    after = read_manifest(folder)
    assert UNET not in before.files
    assert after.files[UNET].sha256 == sha256(folder / UNET)
    assert after.sha256 != before.sha256
    load_network(UNet2DConditionModel, folder / "unet")
    assert (folder / FILE).is_file()
