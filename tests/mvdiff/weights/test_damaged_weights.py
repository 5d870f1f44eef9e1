"""Folders of weights that lack something or lie: one sentence, no network, no memory."""

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mvdiff.cli.main import main
from mvdiff.pipelines import MultiViewDiffusionPipeline
from recon.core.errors import InputError


@pytest.fixture
def packed(weights: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(weights, tmp_path / "packed"))


@pytest.fixture(scope="module")
def saved_once(weights: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    MultiViewDiffusionPipeline.from_pretrained(weights).save_pretrained(folder)
    return folder


@pytest.fixture
def saved(saved_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_once, tmp_path / "saved"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch) -> None:
    def refuse(*arguments):
        raise AssertionError(f"a socket was opened: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _refused(folder: Path, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        MultiViewDiffusionPipeline.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def _edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


PARTS = ("transformer", "camera_estimator")


@pytest.mark.parametrize("part", [*PARTS, "transformer/config.json", "camera_estimator/config.json"])
@pytest.mark.parametrize("kind", ["packed", "saved"])
def test_a_missing_part_is_named(request, kind: str, part: str):
    folder = request.getfixturevalue(kind)
    shutil.rmtree(folder / part) if (folder / part).is_dir() else (folder / part).unlink()
    _refused(folder, part.split("/")[0])


def test_a_relative_name_is_no_repository(packed: Path, monkeypatch):
    shutil.rmtree(packed / "transformer")
    monkeypatch.chdir(packed.parent)
    _refused(Path("packed"), "lacks transformer/config.json")


@pytest.mark.parametrize(
    "changes",
    [
        *({"depth": 10**6}, {"width": 10**5}, {"depth": "2"}, {"heads": 0}, {"heads": 3}, {"sample_size": -1}),
        *({"mlp_ratio": 1e9}, {"width": 16_384, "depth": 256}, {"patch_size": [16]}),
    ],
)
@pytest.mark.parametrize("kind", ["packed", "saved"])
def test_configs_out_of_range(request, kind: str, changes: dict):
    folder = request.getfixturevalue(kind)
    _edit(folder / "transformer" / "config.json", **changes)
    _refused(folder, "readable folder of weights|another architecture")


@pytest.mark.parametrize(
    "text", [b"", b"[", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": "mvdiff-packed/1"}', b'{"format": 3}']
)
@pytest.mark.parametrize("name", ["packed.json", "transformer/config.json"])
def test_damaged_text_of_packed_weights(packed: Path, name: str, text: bytes):
    (packed / name).write_bytes(text)
    _refused(packed, "readable|another architecture")


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "", "n" * 300, "link/a.safetensors"])
def test_weights_stay_inside_their_folder(packed: Path, name: str):
    (packed / "link").symlink_to(packed.parent)
    _edit(packed / "packed.json", files={"transformer": [name], "camera_estimator": []})
    _refused(packed, "not a file inside")


def test_weights_of_nan(packed: Path):
    path = next((packed / "transformer").glob("*.safetensors"))
    state = load_file(path)
    name = next(name for name, value in state.items() if value.is_floating_point())
    save_file(state | {name: torch.full_like(state[name], float("nan"))}, path)
    _refused(packed, "NaN")


@pytest.mark.parametrize(
    "entry", [["os", "system"], ["diffusers", "UNet2DModel"], ["antigravity", "PhotoCameraEstimator"]]
)
def test_only_own_classes_are_loaded(saved: Path, entry: list[str]):
    _edit(saved / "model_index.json", camera_estimator=entry)
    _refused(saved, "readable folder of weights")


def test_info_knows_nothing_of_weights_that_are_not_there(packed: Path, tmp_path: Path, capsys):
    assert main(["info", "--weights", str(tmp_path / "nowhere")]) == 2
    assert "no weights at" in capsys.readouterr().err
    for part in PARTS:
        folder = Path(shutil.copytree(packed, tmp_path / f"without-{part}"))
        shutil.rmtree(folder / part)
        assert main(["info", "--weights", str(folder)]) == 2
        assert part in capsys.readouterr().err
