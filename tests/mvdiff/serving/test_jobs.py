"""The table of jobs, run folders and photos, without a server."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvdiff.cli.main import main
from mvdiff.serving.jobs import SAMPLING, TOOLS, Job, JobTable
from mvdiff.serving.metrics import Metrics
from mvdiff.serving.photos import PhotoFolder
from mvdiff.serving.runs import RunFolder, list_runs
from recon.core.errors import InputError
from recon.io.folders import OutputFolder


@pytest.fixture
def table(tmp_path: Path) -> JobTable:
    return JobTable(tmp_path / "state/jobs.sqlite")


def job(name: str, owner: str, created: float, **entries) -> Job:
    return Job(name, "generate", owner, {"seed": 1}, created=created, **entries)


def test_jobs_outlive_the_table(table: JobTable, tmp_path: Path) -> None:
    added = table.add(job("a", "ann", 1.0, previews=[2], notes=["é"], seconds={"sample": 1.5}))
    table.update(added, state="running", done=3)
    table.close()
    again = JobTable(tmp_path / "state/jobs.sqlite").get("a")
    assert again is not None
    assert (again.state, again.done, again.previews, again.notes) == ("running", 3, [2], ["é"])
    assert again.seconds == {"sample": 1.5}


def test_who_was_served_longest_ago_comes_first(table: JobTable) -> None:
    for place in range(3):
        table.add(job(f"ann-{place}", "ann", place))
    table.add(job("bob", "bob", 10.0))
    order = []
    for clock in range(4):
        found = table.next(SAMPLING)
        order.append(found.id)
        table.update(found, state="done", started=100.0 + clock)
    assert order == ["ann-0", "bob", "ann-1", "ann-2"]
    assert table.next(SAMPLING) is None


def test_exports_do_not_wait_for_the_model(table: JobTable) -> None:
    table.add(job("a", "ann", 1.0))
    table.add(Job("b", "export", "ann", {}, created=2.0))
    assert table.next(TOOLS).id == "b"
    assert table.ahead(table.get("b")) == 1


def test_lists_are_of_one_owner(table: JobTable) -> None:
    table.add(job("a", "ann", 1.0, run="x"))
    table.add(job("b", "bob", 2.0, run="y"))
    assert [each.id for each in table.of_owner("ann")] == ["a"]
    assert table.owners() == {"x": "ann", "y": "bob"}


def test_figures_of_ended_jobs() -> None:
    metrics = Metrics()
    metrics.note_job(job("a", "ann", 1.0, state="done", started=3.0, seconds={"sample": 2.5}))
    metrics.note_worker("cuda:0", {"gpu_memory": 7, "memory": 5})
    text = metrics.text().decode()
    assert 'mvdiff_jobs_ended_total{kind="generate",state="done"} 1.0' in text
    assert "mvdiff_wait_seconds_sum 2.0" in text
    assert 'mvdiff_stage_seconds_sum{stage="sample"} 2.5' in text
    assert 'mvdiff_gpu_memory_bytes{device="cuda:0"} 7.0' in text


def test_runs_are_listed_and_damaged_ones_left_out(tmp_path: Path) -> None:
    OutputFolder.create(tmp_path / "begun", {"verb": "views", "photo": {"name": "a.png"}})
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/manifest.json").write_text("{")
    (tmp_path / "other").mkdir()
    (run,) = list_runs(tmp_path)
    record = run.record()
    assert (record["name"], record["complete"], record["photo"]) == ("begun", False, "a.png")
    assert run.hypotheses == 0
    for name in ("..", ".studio", "a/b", "", "none"):
        with pytest.raises(InputError, match="no"):
            RunFolder.find(tmp_path, name)


def png(array: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def test_a_photo_keeps_its_matte_until_it_is_corrected(tmp_path: Path) -> None:
    picture = np.full((64, 80, 3), 250, np.uint8)
    picture[20:50, 30:60] = (180, 40, 30)
    folder = PhotoFolder.add(tmp_path, png(picture), "a <b>.jpeg", 10**6)
    assert folder.record["name"] == "a-b"
    assert folder.record["matte"]["method"] == "plain background"
    assert folder.source == folder.picture
    mask = np.zeros((64, 80), np.uint8)
    mask[20:50, 30:45] = 255
    PhotoFolder.find(tmp_path, folder.id).correct(png(mask), 10**6)
    rgba = np.asarray(Image.open(folder.source))
    assert (rgba[..., 3] == mask).all()
    assert folder.record["matte"]["confidence"] == 1.0
    with pytest.raises(InputError, match="40 x 32 pixels, its photo 80 x 64"):
        folder.correct(png(mask[::2, ::2]), 10**6)
    with pytest.raises(InputError, match="leaves nothing"):
        folder.correct(png(mask * 0), 10**6)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("serve", "--port", "70000"), "between 0 and 65535"),
        (("serve", "--queue-length", "0"), "--queue-length is a positive number"),
        (("app", "--host", "0.0.0.0"), "MVDIFF_API_KEY"),
        (("view", "nothing", "--no-browser"), "no run"),
    ],
)
def test_wrong_options_end_with_a_sentence(arguments, part: str, capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MVDIFF_API_KEY", raising=False)
    assert main(list(arguments)) == 2
    assert part in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_records_are_json(table: JobTable) -> None:
    from mvdiff.serving.web.models import JobRecord

    record = json.loads(JobRecord.of(job("a", "ann", 1.0), ahead=3).model_dump_json())
    assert record["ahead"] == 3
    assert "owner" not in record
