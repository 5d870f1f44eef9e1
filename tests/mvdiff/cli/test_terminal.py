"""Closed and full outputs, names with control characters, empty arguments, one bad photo among good ones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = {**os.environ, "PYTHONPATH": "."}


def mvdiff(*arguments, **streams) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mvdiff", *map(os.fspath, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, timeout=120, stderr=subprocess.PIPE, **streams)


def test_a_closed_pipe_is_silent():
    reader, writer = os.pipe()
    os.close(reader)
    ended = mvdiff("--help", stdout=writer)
    os.close(writer)
    assert ended.returncode == 141
    assert ended.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_output_is_one_sentence():
    with open("/dev/full", "w") as full:
        ended = mvdiff("--help", stdout=full)
    assert ended.returncode == 2
    assert ended.stderr.count(b"\n") == 1
    assert b"Standard output cannot be written" in ended.stderr


@pytest.mark.parametrize(
    "name",
    [b"\x1b]0;owned\x07.png", b"a\nb.png", b"\xff\xfe.png", "\u202egnp.exe".encode(), b"n" * 300, b"\x9b31m.png"],
)
def test_odd_names_are_told_in_plain_characters(name: bytes):
    ended = mvdiff("export", os.fsdecode(name), "--output", "x.glb", stdout=subprocess.PIPE)
    assert ended.returncode == 2
    text = ended.stderr.decode()
    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    "arguments", [("generate", ""), ("views", "x.png", "--output-dir", ""), ("info", "--weights=")]
)
def test_empty_arguments_are_no_paths(arguments: tuple[str, ...]):
    ended = mvdiff(*arguments, stdout=subprocess.PIPE)
    assert ended.returncode == 2
    assert b"is empty" in ended.stderr


def test_one_bad_photo_is_named_and_stops_no_other(run, photo: Path, tmp_path: Path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in (2, 10):
        shutil.copy(photo, photos / f"{number}.png")
    (photos / "3.png").write_bytes(photo.read_bytes()[:60])
    (photos / "4.heif").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    arguments = ("--output-dir", tmp_path / "out", "--num-hypotheses", 1, "--num-inference-steps", 1)
    code, out, error = run("views", photos, *arguments)
    assert code == 2
    assert out.index("out/2:") < out.index("out/10:")
    assert "2 of 4 photos were left out" in error
    assert "3.png" in error
    assert "4.heif" in error
    assert "left out" in error.splitlines()[-1]
    for number in (2, 10):
        assert (tmp_path / "out" / str(number) / "views").is_dir()
