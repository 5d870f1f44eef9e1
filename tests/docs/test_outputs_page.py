"""docs/outputs.md lists exactly what a real run leaves."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

PAGE = (Path(__file__).resolve().parents[2] / "docs/outputs.md").read_text("utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> list[str]:
    """Code spans in the first cell of every row."""
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def stated_arrays(title: str) -> dict[str, tuple[str, list[str]]]:
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \| ([^|]+) \|", section(title), re.MULTILINE)
    return {name: (kind, shape.split()) for name, kind, shape in rows}


def assert_arrays(stated: dict[str, tuple[str, list[str]]], found: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    assert set(stated) == set(found)
    sizes: dict[str, int] = {}
    for name, (kind, shape) in found.items():
        letters = stated[name][1]
        assert kind == stated[name][0], name
        if letters == ["any"]:
            continue
        assert len(letters) == len(shape), name
        for letter, size in zip(letters, shape, strict=True):
            expected = int(letter) if letter.isdigit() else sizes.setdefault(letter, size)
            assert expected == size, f"{name}: axis {letter} is {size}, elsewhere {expected}"


@pytest.fixture(scope="module")
def out(finished_run: Path) -> Path:
    return finished_run / "out"


@pytest.mark.slow
def test_files(out: Path) -> None:
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    names = first_cells(section("Files").split("Other commands")[0])
    patterns = [re.compile(re.sub("KKK|VVV", r"\\d{3}", re.escape(name))) for name in names]
    unlisted = {name for name in found if not any(pattern.fullmatch(name) for pattern in patterns)}
    absent = [pattern.pattern for pattern in patterns if not any(map(pattern.fullmatch, found))]
    assert not unlisted
    assert not absent


@pytest.mark.slow
def test_arrays_of_the_posterior(out: Path) -> None:
    with np.load(out / "posterior.npz", allow_pickle=False) as file:
        found = {name: (str(file[name].dtype), file[name].shape) for name in file.files}
    assert_arrays(stated_arrays("posterior.npz"), found)


@pytest.mark.slow
def test_arrays_of_the_views(out: Path) -> None:
    with safe_open(out / "views/000/views.safetensors", framework="np") as file:
        found = {name: (str(file.get_tensor(name).dtype), file.get_tensor(name).shape) for name in file.keys()}  # noqa: SIM118
    assert_arrays(stated_arrays("views.safetensors"), found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["summary.json", "manifest.json"])
def test_keys(out: Path, name: str) -> None:
    assert set(first_cells(section(name))) - {"mvdiff-output/1"} == set(json.loads((out / name).read_text("utf-8")))
