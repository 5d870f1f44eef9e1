"""The verb with a tiny network, every other part real: the files are those of ``mvdiff generate``."""

import base64
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

QUICK = ("--num-inference-steps", "2", "--candidates", "1", "--num-hypotheses", "2", "--preset", "fast")
#: Names of files that tell times, or of the job that made them.
_OF_THE_MOMENT = {"manifest.json"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, photo: Path) -> Path:
    folder = tmp_path_factory.mktemp("batch") / "photos"
    folder.mkdir()
    (folder / "mug.png").write_bytes(photo.read_bytes())
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[10:50, 14:50] = (40, 160, 90, 255)
    Image.fromarray(rgba).save(folder / "box.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def made(run, photos: Path, weights: Path) -> tuple[Path, dict]:
    """A batch of two photos and a broken one, and its record."""
    out = photos.parent / "out"
    options = ("--weights", weights, "--device", "cpu", "--workers", "1", "--cores-per-worker", "1", "--json")
    code, text, error = run("batch", photos, out, *QUICK, *options)
    assert code == 0, error
    return out, json.loads(text)


def files_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in _OF_THE_MOMENT
    }


@pytest.mark.slow
def test_results_are_those_of_generate(made, run, photos: Path, weights: Path, tmp_path: Path, one_thread) -> None:
    out, record = made
    assert (record["made"]["done"], record["made"]["failed"]) == (2, 1)
    (row,) = (each for each in pq.read_table(out / "summary.parquet").to_pylist() if each["photo"] == "mug.png")
    code, _, error = run("generate", photos / "mug.png", "--output-dir", tmp_path / "alone", *QUICK)
    assert code == 0, error
    alone, batched = files_of(tmp_path / "alone"), files_of(out / row["folder"])
    assert alone.keys() == batched.keys()
    assert {name for name in alone if alone[name] != batched[name]} <= {"report.html"}
    summary = json.loads((tmp_path / "alone/summary.json").read_text())
    assert row["ambiguity"] == summary["ambiguity"]["value"]
    assert row["modes"] == len(summary["modes"])
    assert row["hypotheses"] == 2
    assert row["seconds"] > row["seconds_sample"] > 0


@pytest.mark.slow
def test_the_broken_photo_is_named_as_in_the_listing(made) -> None:
    out, _ = made
    (failure,) = pq.read_table(out / "failures.parquet").to_pylist()
    assert failure["photo"] == "broken.png"
    assert failure["error"].startswith("'broken.png' is no")
    assert ".work" not in failure["error"]


@pytest.mark.slow
def test_thumbnails_show_the_photo_and_the_hypothesis(made) -> None:
    out, _ = made
    text = (out / "index/thumbs-00000.js").read_text()
    strips = [each for each in json.loads(text[text.index(",") + 1 : -1]) if each]
    assert len(strips) == 2
    for strip in strips:
        picture = Image.open(io.BytesIO(base64.b64decode(strip)))
        assert picture.size == (256, 64)
        assert np.asarray(picture.convert("RGB"))[:, :64].std() > 20


@pytest.mark.slow
def test_only_what_is_to_be_kept_is_there(run, photos: Path, weights: Path, tmp_path: Path) -> None:
    options = ("--weights", weights, "--device", "cpu", "--workers", "1", "--cores-per-worker", "1")
    code, _, error = run("batch", photos, tmp_path / "out", *QUICK, *options, "--keep", "summary,glb")
    assert code == 0, error
    for row in pq.read_table(tmp_path / "out/summary.parquet").to_pylist():
        names = ["hypotheses/000.glb", "hypotheses/001.glb", "posterior.glb", "summary.json"]
        assert row["files"] == names
        found = files_of(tmp_path / "out" / row["folder"])
        assert sorted(found) == names
        assert row["bytes"] == sum((tmp_path / "out" / row["folder"] / name).stat().st_size for name in names)


def test_words_of_keep_are_checked(run, photos: Path, tmp_path: Path) -> None:
    code, _, error = run("batch", photos, tmp_path / "out", "--keep", "glb,everything")
    assert code == 2
    assert "--keep takes names out of all, glb, summary, report, views, posterior, photo" in error
    assert not (tmp_path / "out").exists()
