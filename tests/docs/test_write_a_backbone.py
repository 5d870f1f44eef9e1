"""docs/write_a_backbone.md, followed to the letter: its file, its entry point, its commands."""

import importlib.util
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from mvdiff import ImageTo3D
from mvdiff.backbones.catalog import CHECKPOINTS
from mvdiff.backbones.registry import backbone_names, load_sampler
from mvdiff.cli.main import main
from mvdiff.runs.folder import FolderStore
from mvdiff.sampling.sampler import ViewSampler
from mvdiff.testing import check_backbone

PAGE = Path(__file__).resolve().parents[2] / "docs/write_a_backbone.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
PYTHON, TEXT = ([block for kind, block in BLOCKS if kind == name] for name in ("python", "text"))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package as pip leaves it: its module, and its metadata with the entry points of its pyproject.toml."""
    project = tomllib.loads(TEXT[0])["project"]
    site, name = tmp_path / "site", f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    (site / name).mkdir(parents=True)
    (site / "egg_backbone.py").write_text(PYTHON[0])
    (site / name / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    (group, own), *_ = project["entry-points"].items()
    (site / name / "entry_points.txt").write_text(f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in own.items()))
    monkeypatch.syspath_prepend(site)
    yield site
    sys.modules.pop("egg_backbone", None)


def test_the_package_is_found_and_keeps_the_contract(installed: Path) -> None:
    assert "egg" in backbone_names()
    sampler = load_sampler("egg", weights="embedded", device="cpu", dtype=None, lora=None, lora_scale=1.0)
    assert isinstance(sampler, ViewSampler)
    import egg_backbone

    exec(PYTHON[1], vars(egg_backbone))
    assert len(check_backbone(sampler)) > 15


def test_its_commands_run(
    installed: Path, newcomer: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    generate, calibrate = (shlex.split(line)[1:] for line in TEXT[1].splitlines())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main([*generate, "--preset", "fast", "--output-dir", "egg"]) == 0
    store = FolderStore.open("egg")
    assert store.manifest["inputs"]["weights"]["backbone"] == "egg"
    assert store.manifest["inputs"]["config"]["num_inference_steps"] == 1  # its own default
    assert store.summary["calibration"]["name"] is None
    assert any("run `mvdiff calibrate`" in warning for warning in store.summary["warnings"])
    from mvdiff.data.procedural import make
    from recon.io.meshes.files import save_mesh

    for k in range(2):
        save_mesh(make(k).mesh.normalized(), newcomer / f"known_meshes/{k}.ply")
    quick = ["--preset", "fast", "--num-hypotheses", "2", "--framings", "keep", "recentre"]
    assert main([*calibrate, *quick]) == 0
    capsys.readouterr()
    generate = [*generate[:-1], "2", "--coverage", "0.5"]  # two meshes tell no more
    assert main([*generate, "--preset", "fast", "--calibration", "calibration.json", "--output-dir", "known"]) == 0
    assert FolderStore.open("known").summary["calibration"]["name"] is not None
    other = [*generate, "--calibration", "calibration.json", "--output-dir", "other"]  # another reconstruction
    assert main(other) == 0
    found = FolderStore.open("other").summary
    assert found["calibration"]["name"] is None
    said = "Uncalibrated: the calibration was made with other settings (reconstruction)"
    assert any(warning.startswith(said) for warning in found["warnings"])
    embedded = ["generate", "photo.png", "--calibration", "calibration.json", "--output-dir", "embedded"]
    assert main(embedded) == 2
    assert "calibrates other weights" in capsys.readouterr().err


def test_the_library_knows_it_too(installed: Path) -> None:
    assert ImageTo3D.from_pretrained(backbone="egg", device="cpu").sampler.info.name == "egg"


def test_a_broken_promise_is_named(installed: Path) -> None:
    import egg_backbone

    class Forgetful(egg_backbone.EggSampler):
        """Sampler whose objects depend on those beside them."""

        def sample(self, request, on_step=None):
            drawn = super().sample(request, on_step)
            drawn.views.rgb.add_(0.01 * len(request.seeds)).clamp_(0, 1)
            return drawn

    with pytest.raises(AssertionError, match="depends on its own seed only"):
        check_backbone(Forgetful())

    class Silent(egg_backbone.EggSampler):
        def sample(self, request, on_step=None):
            return super().sample(request)

    with pytest.raises(AssertionError, match="on_step is called"):
        check_backbone(Silent())


def test_the_page_of_models_is_the_table() -> None:
    spec = importlib.util.spec_from_file_location("model_table", PAGE.parents[1] / "tools/model_table.py")
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    assert table.PAGE.read_text("utf-8") == table.render(), "run python tools/model_table.py"
    for row in CHECKPOINTS:
        assert (row.name in backbone_names()) == (row.kind != "reconstructor")
        assert row.name == "embedded" or "never run with its real weights" in row.real_weights
