"""Atomic writes and output folders: whole or not at all, resumable, never over foreign files."""

import json

import pytest

from recon.core.errors import InputError
from recon.io.folders import MANIFEST, OutputFolder, atomic_write, write_json
from recon.io.locks import LOCK

INPUTS = {"photo": "abc", "seed": 3, "scale": 0.1}


def _names(folder) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != LOCK}


def test_atomic_write_replaces(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    for text in ("one", "two"):
        with atomic_write(target) as temporary:
            assert temporary.suffix == ".txt"
            assert temporary.parent == target.parent
            temporary.write_text(text)
        assert target.read_text() == text
    assert _names(tmp_path) == {"deep/file.txt"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_write_leaves_the_old_file(tmp_path, error):
    (tmp_path / "a").write_text("old")

    def write() -> None:
        with atomic_write(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert (tmp_path / "a").read_text() == "old"
    assert _names(tmp_path) == {"a"}


def test_errors_of_the_writer_itself_are_not_renamed(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a"):
        (tmp_path / "other").read_text()


def test_bad_places(tmp_path):
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file" / "below", tmp_path, tmp_path / ("n" * 300), "/proc/nothing/here"):
        with pytest.raises(InputError, match="Cannot write"), atomic_write(target):
            pass


def test_json_is_strict(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not _names(tmp_path)
    assert json.loads(write_json(tmp_path / "a.json", {"ü": [1, None]}).read_text("utf-8")) == {"ü": [1, None]}


def test_new_folder_then_resume(tmp_path):
    out = OutputFolder.create(tmp_path / "out", INPUTS)
    assert not out.resumed
    with out.write("hypotheses/000.glb") as temporary:
        temporary.write_bytes(b"glb")
    assert out.has("hypotheses/000.glb")
    assert not out.has("hypotheses/001.glb")
    (out.path / "hypotheses" / ".001.partial-00ff.glb").write_bytes(b"killed")
    del out  # as the end of its process would

    again = OutputFolder.create(tmp_path / "out", dict(reversed(INPUTS.items())))
    assert again.resumed
    assert again.has("hypotheses/000.glb")
    again.finish(seconds=1.5)
    assert again.manifest["complete"]
    assert again.manifest["seconds"] == 1.5
    assert _names(tmp_path / "out") == {MANIFEST, "hypotheses/000.glb"}


def test_interrupted_file_is_not_taken_for_done(tmp_path):
    out = OutputFolder.create(tmp_path, INPUTS)
    with pytest.raises(KeyboardInterrupt), out.write("a"):
        raise KeyboardInterrupt
    assert not OutputFolder.create(tmp_path, INPUTS).has("a")


def test_other_inputs_need_overwrite_and_leave_foreign_files(tmp_path):
    out = OutputFolder.create(tmp_path, INPUTS)
    with out.write("hypotheses/007.glb") as temporary:
        temporary.write_bytes(b"old")
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match=r"other inputs.*--overwrite"):
        OutputFolder.create(tmp_path, {**INPUTS, "seed": 4})
    assert out.has("hypotheses/007.glb")
    fresh = OutputFolder.create(tmp_path, {**INPUTS, "seed": 4}, overwrite=True)
    assert not fresh.resumed
    assert _names(tmp_path) == {MANIFEST, "mine.txt"}


def test_overwrite_also_restarts_the_same_inputs(tmp_path):
    with OutputFolder.create(tmp_path, INPUTS).write("a") as temporary:
        temporary.write_text("x")
    assert not OutputFolder.create(tmp_path, INPUTS, overwrite=True).has("a")


@pytest.mark.parametrize("manifest", [None, "{}", "not json", '{"format": "mvdiff-output/1", "inputs": 3}'])
def test_foreign_folder_is_refused(tmp_path, manifest):
    (tmp_path / "thesis.tex").write_text("years")
    if manifest is not None:
        (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(InputError, match=r"not empty.*--overwrite"):
        OutputFolder.create(tmp_path, INPUTS)
    OutputFolder.create(tmp_path, INPUTS, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years"


def test_file_in_the_way_and_unwritable(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "out", "/proc/mvdiff-out"):
        with pytest.raises(InputError):
            OutputFolder.create(place, INPUTS)


def test_a_manifest_cannot_reach_outside(tmp_path):
    outside = tmp_path / "precious"
    outside.write_text("x")
    out = OutputFolder.create(tmp_path / "out", INPUTS)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("x")
    (out.path / "linked").symlink_to(tmp_path / "folder")
    for name in ("../precious", str(outside), "linked/file", "linked", "a/../../precious", "n" * 300, "nul\0"):
        out.update(files=[name])
        with pytest.raises(InputError, match="inside"):
            OutputFolder.create(tmp_path / "out", {"seed": 1}, overwrite=True)
        with pytest.raises(InputError, match="inside"), out.write(name):
            pass
        out.update(files=[])
    assert outside.exists()
    assert (tmp_path / "folder" / "file").read_text() == "x"


def test_names_that_are_no_text_are_written(tmp_path):
    """As old archives have them: bytes that are not UTF-8."""
    inputs = {"photo": b"\xff\xfe.png".decode(errors="surrogateescape")}
    assert not OutputFolder.create(tmp_path, inputs).resumed
    assert OutputFolder.create(tmp_path, inputs).resumed
