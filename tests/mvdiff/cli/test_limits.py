"""Numbers beyond all use, names that no file can have and folders that vanish: one sentence, nothing half-written."""

import shutil
from pathlib import Path

import pytest

from mvdiff.data.dataset import render_dataset
from mvdiff.data.render.config import RenderDataset
from mvdiff.data.stores.store import ViewStore
from recon.core.errors import InputError

LONG = "n" * 300
HUGE = 10**12
GENERATE = ("generate", "PHOTO")


def _refused(run, arguments: tuple, photo: Path, source: Path, out: Path) -> str:
    named = {"PHOTO": photo, "RUN": source}
    code, text, error = run(*(named.get(each, each) for each in arguments), "--output-dir", out)
    told = [line for line in error.splitlines() if line.startswith("mvdiff: ")]
    assert (code, text, len(told)) == (2, "", 1), error
    assert not out.exists()
    return told[0]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((*GENERATE, "--num-hypotheses", HUGE), "at most 1,024"),
        ((*GENERATE, "--num-inference-steps", HUGE), "at most 1,000"),
        ((*GENERATE, "--candidates", HUGE), "at most 64"),
        ((*GENERATE, "--seed", 2**53), "seed"),
        (("views", "PHOTO", "--num-hypotheses", HUGE), "at most 1,024"),
        (("scene", "PHOTO", "--num-hypotheses", HUGE), "1024"),
        (("feedback", "RUN", "--keep", 0, "--num-hypotheses", HUGE), "at most 1,024"),
        (("refine", "RUN", "--photo", "PHOTO", "--azimuth", 90, "--num-hypotheses", HUGE), "at most 1,024"),
    ],
)
def test_numbers_have_an_upper_limit(run, photo, finished, tmp_path, arguments: tuple, told: str) -> None:
    assert told in _refused(run, arguments, photo, finished[0], tmp_path / "out")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--points", HUGE), "at most 50,000,000"),
        (("--resolution", HUGE), "between 8 and 512"),
        (("--size-mm", 1e30), "between 0 and 10000"),
    ],
)
def test_exports_have_an_upper_limit(run, finished, tmp_path, arguments: tuple, told: str) -> None:
    code, _, error = run("export", finished[0], "--format", "points", "--output", tmp_path / "out", *arguments)
    assert code == 2
    assert told in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["size", "supersample", "ring_views", "references", "variants", "workers"])
def test_data_sets_have_an_upper_limit(tmp_path: Path, name: str) -> None:
    config = RenderDataset(output=tmp_path / "views", procedural=1, **{name: 6 * HUGE})
    with pytest.raises(InputError, match="is at most"):
        config.check()


def test_plans_of_photos_have_an_upper_limit(run, finished) -> None:
    code, _, error = run("next-view", finished[0], "--num-views", HUGE)
    assert code == 2
    assert "at most 64" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", LONG),
        (*GENERATE, "--weights", LONG),
        (*GENERATE, "--lora", LONG),
        (*GENERATE, "--calibration", LONG),
        ("reconstruct", LONG),
        ("refine", LONG, "--photo", "PHOTO", "--azimuth", 90),
        ("refine", "RUN", "--photo", LONG, "--azimuth", 90),
        ("refine", "RUN", "--edited-view", LONG),
        ("feedback", LONG, "--keep", 0),
        ("scene", LONG),
    ],
)
def test_names_that_no_file_has(run, photo, finished, tmp_path, arguments: tuple) -> None:
    _refused(run, arguments, photo, finished[0], tmp_path / "out")


@pytest.mark.parametrize("verb", [("next-view", LONG), ("export", LONG, "--output", "x.glb"), ("data", "check", LONG)])
def test_names_that_no_file_has_elsewhere(run, verb: tuple) -> None:
    code, _, error = run(*verb)
    assert code == 2
    assert error.count("mvdiff: ") == 1


def test_places_that_no_folder_can_have(run, photo, finished, tmp_path: Path) -> None:
    for arguments in (("generate", photo), ("feedback", finished[0], "--keep", 0)):
        code, _, error = run(*arguments, "--output-dir", tmp_path / LONG)
        assert code == 2
        assert "Cannot write" in error


def test_a_data_set_whose_folder_vanishes_is_not_begun_anew_in_silence(tmp_path: Path) -> None:
    config = RenderDataset(output=tmp_path / "views", procedural=3, size=16, supersample=1, ring_views=6, references=1)
    steps = render_dataset(config)
    next(steps)
    shutil.rmtree(config.output)
    with pytest.raises(InputError, match="was removed"):
        list(steps)
    assert not config.output.exists()
    assert [done for done, _, _ in render_dataset(config)][-1] == 3
    assert len(ViewStore.load(config.output)) == 3


def test_meshes_with_names_that_are_no_text_are_rendered(tmp_path: Path) -> None:
    """As old archives have them: bytes that are not UTF-8."""
    import trimesh

    name = b"\xff\xfe.ply".decode(errors="surrogateescape")
    (tmp_path / "meshes").mkdir()
    trimesh.creation.box().export(tmp_path / "box.ply")
    try:
        (tmp_path / "box.ply").rename(tmp_path / "meshes" / name)
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    small = {"size": 16, "supersample": 1, "ring_views": 6, "references": 1}
    config = RenderDataset(meshes=(tmp_path / "meshes",), output=tmp_path / "views", **small)
    assert [done for done, _, _ in render_dataset(config)][-1] == 1
    assert len(ViewStore.load(config.output)) == 1


@pytest.mark.parametrize("url", ["zip://x::file:///etc/passwd", "zip://x.tar::/etc/hostname", "filecache::file:///etc"])
def test_chains_of_file_systems_are_one_sentence(run, url: str) -> None:
    code, _, error = run("data", "check", url)
    assert code == 2
    assert error.count("mvdiff: ") == 1
