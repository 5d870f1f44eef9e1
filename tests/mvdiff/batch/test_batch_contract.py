"""Promises of a batch: what fails is a row, what is done stays, what is missing is made."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from batch_stub import hashes

from mvdiff.batch.driver import run_batch
from recon.core.errors import InputError


def rows(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


def test_every_photo_has_a_row_and_its_files(batch, tmp_path: Path) -> None:
    result = run_batch(batch())
    out = tmp_path / "out"
    assert (result.tally.done, result.totals.done, result.totals.failed) == (5, 5, 0)
    table = rows(out / "summary.parquet")
    assert [row["photo"] for row in table] == ["a.png", "b.png", "c.jpg", "more/a.png", "more/d.png"]
    for row in table:
        assert row["files"] == ["hypotheses/000.glb", "summary.json"]
        assert all((out / row["folder"] / name).is_file() for name in row["files"])
    assert not list((out / ".work").iterdir())


def test_bad_photos_are_rows_of_the_failures(batch, photos: Path, tmp_path: Path) -> None:
    (photos / "b.png").write_text("bad")
    (photos / "more/d.png").write_text("bug")
    result = run_batch(batch())
    assert (result.totals.done, result.totals.failed) == (3, 2)
    failures = {row["photo"]: row for row in rows(tmp_path / "out/failures.parquet")}
    assert failures["b.png"]["error"] == "'b.png' is no picture: give one."
    assert failures["b.png"]["state"] == "bad"
    assert "RuntimeError: a bug" in failures["more/d.png"]["error"]


def test_a_second_run_makes_nothing(batch, photos: Path, tmp_path: Path, calls) -> None:
    (photos / "b.png").write_text("bad")
    run_batch(batch())
    before, done = hashes(tmp_path / "out"), calls()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/runs").rglob("*")}
    result = run_batch(batch())
    assert (result.tally.done, result.tally.failed, result.tally.skipped) == (0, 0, 5)
    assert calls() == done
    assert hashes(tmp_path / "out") == before
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out/runs").rglob("*")}
    assert len(rows(tmp_path / "out/summary.parquet")) == 4


def test_bad_photos_are_tried_again_only_if_asked(batch, photos: Path, tmp_path: Path) -> None:
    (photos / "b.png").write_text("bad")
    run_batch(batch())
    (photos / "b.png").write_text("good now")
    assert run_batch(batch()).totals.failed == 1
    result = run_batch(batch(retry_failed=True))
    assert (result.tally.done, result.totals.done, result.totals.failed) == (1, 5, 0)
    assert not list((tmp_path / "out/manifests").rglob("*.bad.json"))
    assert rows(tmp_path / "out/failures.parquet") == []


def test_failures_that_may_pass_are_tried_again(batch, photos: Path) -> None:
    (photos / "b.png").write_text("bug")
    assert run_batch(batch()).totals.failed == 1
    (photos / "b.png").write_text("mended")
    result = run_batch(batch())
    assert (result.tally.done, result.totals.failed) == (1, 0)


def test_what_was_removed_is_made_again_to_the_same_bytes(batch, tmp_path: Path) -> None:
    run_batch(batch())
    before = hashes(tmp_path / "out")
    lost = next((tmp_path / "out/manifests").rglob("c-*.json"))
    lost.unlink()
    result = run_batch(batch())
    assert (result.tally.done, result.tally.skipped) == (1, 4)
    assert hashes(tmp_path / "out") == before
    assert len(rows(tmp_path / "out/summary.parquet")) == 5


def test_new_photos_of_a_listing_are_added(batch, photos: Path, calls) -> None:
    run_batch(batch())
    (photos / "e.png").write_text("photo e.png")
    assert run_batch(batch()).totals.done == 6
    assert calls()[-1] == "e.png"
    assert len(calls()) == 6


def test_other_settings_are_refused_in_one_sentence(batch, tmp_path: Path) -> None:
    run_batch(batch())
    before = hashes(tmp_path / "out")
    with pytest.raises(InputError, match=r"holds results of other settings \(flavor\): choose") as caught:
        run_batch(batch(setup={"flavor": "other"}))
    assert str(caught.value).count(". ") == 0
    assert hashes(tmp_path / "out") == before


def test_a_folder_of_something_else_is_refused(batch, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no batch"):
        run_batch(batch())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_photo_at_which_workers_die_is_given_up(batch, photos: Path, tmp_path: Path, calls) -> None:
    (photos / "b.png").write_text("die")
    result = run_batch(batch())
    (failure,) = rows(tmp_path / "out/failures.parquet")
    assert failure["error"] == "Its worker ended 3 times while it worked on this photo."
    assert (result.totals.done, result.tally.deaths) == (4, 3)
    assert calls().count("b.png") == 3
    assert sorted(calls()) == sorted(["a.png", "b.png", "b.png", "b.png", "c.jpg", "more/a.png", "more/d.png"])


def test_a_worker_that_dies_once_costs_nothing(batch, photos: Path, tmp_path: Path) -> None:
    (photos / "a.png").write_text("die once")
    result = run_batch(batch(workers=1))
    assert (result.totals.done, result.totals.failed, result.tally.deaths) == (5, 0, 1)
    assert [row["attempts"] for row in rows(tmp_path / "out/summary.parquet")] == [2, 1, 1, 1, 1]


def test_duplicates_in_a_listing_are_made_once(batch, photos: Path, tmp_path: Path, calls) -> None:
    listing = photos / "list.txt"
    listing.write_text("a.png\n# comment\n\nmore/d.png\na.png\n")
    assert run_batch(batch(listing=listing)).totals.done == 2
    assert sorted(calls()) == ["a.png", "more/d.png"]


def test_the_index_holds_every_row(batch, photos: Path, tmp_path: Path) -> None:
    (photos / "b.png").write_text("bad")
    run_batch(batch())
    out = tmp_path / "out"
    assert '"rows": 5' in (out / "index.html").read_text()
    text = (out / "index/rows-00000.js").read_text()
    table = json.loads(text[text.index(",") + 1 : -1])
    assert sorted(row[0] for row in table) == ["a.png", "b.png", "c.jpg", "more/a.png", "more/d.png"]
    for name, place, *_, done in table:
        assert (out / place).is_file() if done else name == "b.png"


def test_names_cannot_leave_the_index_or_the_folder(batch, photos: Path, tmp_path: Path) -> None:
    listing = photos / "list.txt"
    listing.write_text("../photos/a.png\n</script><script>alert(1)</script>.png\n")
    result = run_batch(batch(listing=listing))
    assert (result.totals.done, result.totals.failed) == (1, 1)
    assert "</script>" not in (tmp_path / "out/index/rows-00000.js").read_text()
    assert {path.name for path in tmp_path.iterdir()} <= {"photos", "out", "calls"}
