"""``mvdiff models pull`` from a hub on this machine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_hub import COMMIT, LocalHub, local_hub
from tiny_zero123 import save_tiny

from mvdiff.weights.manifest import FILE, read_manifest, verify

BASE, NORMALS = "sudo-ai/zero123plus-v1.2", "sudo-ai/controlnet-zp12-normal-gen-v1"
REVISIONS = ("--revision", f"{BASE}={COMMIT}", f"{NORMALS}={COMMIT}")
ACCEPT = ("--accept-license", "cc-by-nc-4.0")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[LocalHub]:
    root = tmp_path_factory.mktemp("hub")
    save_tiny(root / BASE)
    shutil.move(root / BASE / "controlnet", root / NORMALS)
    (root / BASE / "unet/pipeline.py").write_text("raise SystemExit")
    (root / BASE / "unet/diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    (root / BASE / "safety_checker").mkdir()
    (root / BASE / "safety_checker/model.safetensors").write_bytes(b"of no use here")
    (root / "only/pickles").mkdir(parents=True)
    (root / "only/pickles/model.bin").write_bytes(b"a pickle")
    with local_hub(root) as served:
        yield served


@pytest.fixture
def models(hub: LocalHub, tmp_path: Path) -> Run:
    """``mvdiff models …`` in a process of its own: the hub's client reads its settings when it is imported."""
    places = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    hub.served.clear()

    def run(*arguments: str, **more: str) -> tuple[int, str, str]:
        own = os.environ | places | {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_PROGRESS_BARS": "1"} | more
        command = [sys.executable, "-m", "mvdiff", "models", *arguments]
        done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def pulled(tmp_path: Path) -> Path:
    return tmp_path / "home/mvdiff/zero123plus"


def test_a_license_is_accepted_once_and_a_commit_is_needed(models: Run, hub: LocalHub, tmp_path: Path) -> None:
    code, _, error = models("pull", "zero123plus", *REVISIONS)
    assert code == 2
    assert "pass --accept-license cc-by-nc-4.0 once if you agree" in error
    code, _, error = models("pull", "zero123plus", *ACCEPT)
    assert code == 2
    assert "No revision" in error
    code, _, error = models("pull", "zero123plus", "--revision", "main")  # accepted before
    assert code == 2
    assert "names of branches and tags may move" in error
    assert not hub.served
    assert not (tmp_path / "home/mvdiff").exists()


def test_settings_and_safetensors_of_the_commit_come_and_nothing_else(models: Run, hub: LocalHub, pulled: Path) -> None:
    code, output, error = models("pull", "zero123plus", *REVISIONS, *ACCEPT)
    assert code == 0, error
    assert "GB into" in output.splitlines()[0]
    kinds = {path.suffix for path in pulled.rglob("*") if path.is_file() and ".cache" not in path.parts}
    assert kinds == {".json", ".safetensors", ".txt"}
    assert not (pulled / "safety_checker").exists()
    manifest = read_manifest(pulled)
    verify(manifest, pulled)
    assert manifest.revision == f"{BASE}@{COMMIT}, {NORMALS}@{COMMIT}"
    hub.served.clear()
    assert models("pull", "zero123plus", *REVISIONS)[0] == 0
    assert not hub.served  # everything is here already
    assert models("verify", "zero123plus")[0] == 0


def test_the_size_alone_fetches_nothing(models: Run, hub: LocalHub, pulled: Path) -> None:
    code, output, _ = models("pull", "zero123plus", *REVISIONS, *ACCEPT, "--size-only")
    assert code == 0
    assert "zero123plus: 0.01 GB into" in output
    assert not hub.served
    assert not pulled.exists()


def test_a_damaged_file_is_refused_and_fetched_again(models: Run, hub: LocalHub, pulled: Path) -> None:
    hub.damaged.add("model.safetensors")
    try:
        code, _, error = models("pull", "zero123plus", *REVISIONS, *ACCEPT)
    finally:
        hub.damaged.clear()
    assert code == 2
    assert "text_encoder/model.safetensors, vision_encoder/model.safetensors is not the hub's" in error
    assert not (pulled / FILE).exists()
    hub.served.clear()
    assert models("pull", "zero123plus", *REVISIONS)[0] == 0
    assert sorted(hub.served) == ["config.json", "diffusion_pytorch_model.safetensors"] + ["model.safetensors"] * 2


def test_a_half_finished_download_is_not_taken_for_whole(models: Run, pulled: Path, hub: LocalHub) -> None:
    assert models("pull", "zero123plus", *REVISIONS, *ACCEPT)[0] == 0
    (pulled / FILE).unlink()
    code, _, error = models("verify", "zero123plus")
    assert code == 2
    assert "to its end" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--revision", "0" * 40), "has no such commit"),
        (("--repo", f"{BASE}=nobody/nothing", "--revision", COMMIT, "--no-normals"), "is not on the hub"),
        (("--repo", f"{BASE}=only/pickles", "--revision", COMMIT, "--no-normals"), "only pickles (model.bin)"),
        (("--revision", f"some/thing={COMMIT}"), "has no repository some/thing"),
    ],
)
def test_what_the_hub_does_not_have_is_one_sentence(
    models: Run, pulled: Path, arguments: tuple[str, ...], words: str
) -> None:
    if "some/thing" not in words and "--no-normals" not in arguments:
        arguments = (*arguments, "--no-normals")
    code, _, error = models("pull", "zero123plus", *ACCEPT, *arguments)
    assert code == 2
    assert words in error
    assert error.count("\n") == 1
    assert not pulled.exists()


def test_offline_is_one_sentence(models: Run) -> None:
    code, _, error = models("pull", "zero123plus", *REVISIONS, *ACCEPT, HF_HUB_OFFLINE="1")
    assert code == 2
    assert "HF_HUB_OFFLINE is set" in error
    code, _, error = models("pull", "zero123plus", *REVISIONS, HF_ENDPOINT="http://127.0.0.1:9")
    assert code == 2
    assert "cannot be asked" in error
    assert models("pull", "embedded")[0] == 2
