"""Verbs that act on a finished run: next view, refinement, feedback."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image


def sentence(error: str) -> str:
    """The one line that is no progress bar."""
    lines = [line for line in error.splitlines() if line.startswith("mvdiff: ")]
    assert len(lines) == 1
    assert lines[0].rstrip().endswith(".")
    return lines[0]


def test_next_view_writes_its_ranking_and_its_map(run, finished, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    code, text, error = run("next-view", out, "--num-views", 2, "--json")
    assert code == 0, error
    record = json.loads(text)
    assert len(record["views"]) == 2
    assert json.loads((out / "next_view.json").read_text()) == {k: v for k, v in record.items() if k != "output_dir"}
    assert Image.open(out / "next_view.png").width == 960
    code, text, _ = run("next-view", out)
    assert code == 0
    assert "bits" in text


@pytest.mark.parametrize("verb", ["next-view"])
def test_folders_without_a_complete_run_are_refused(run, finished, tmp_path: Path, verb: str) -> None:
    code, _, error = run(verb, tmp_path / "nowhere")
    assert code == 2
    assert "nowhere" in sentence(error)
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    (out / "posterior.npz").unlink()
    code, _, error = run(verb, out)
    assert code == 2
    assert "not complete" in sentence(error)
    assert not (out / "next_view.json").exists()


def test_next_view_needs_a_view(run, finished) -> None:
    code, _, error = run("next-view", finished[0], "--num-views", 0)
    assert code == 2
    assert "at least 1" in sentence(error)
